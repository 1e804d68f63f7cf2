"""PLACEViT: the pretrained image encoder of PLACE as a backbone of MMDetection and MMSegmentation.

The letters: B images, C channels, H W pixels, p patch side, h w patches, E features, P prefix tokens.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn
from torch.utils.checkpoint import checkpoint

from monai_place.mm.loading_weights import load_backbone
from monai_place.mm.preprocessing import warn_of_other_normalization
from monai_place.mm.source import BackboneShape, backbone_file, read_backbone_weights, resolve_shape
from monai_place.mm.windows import WindowGrid, default_global_blocks
from monai_place.networks.depth import vit_layer_depth
from monai_place.networks.image import RadiographEncoder
from monai_place.registry import MODELS
from monai_place.weights import BackboneMetadata, WeightsError, adapt_vit_state

__all__ = ["PLACEViT"]


@ROOT_MODELS.register_module()
@MODELS.register_module()
class PLACEViT(BaseModule):
    """Image encoder of PLACE that returns feature maps.

    Any input size is taken: an image is padded at the bottom and to the right to a whole number of patches, and the
    position embedding is resampled where the grid is not that of `img_size`.

    Args:
        arch: `place_tiny`, `place_small`, `place_base`, or the name of a timm VisionTransformer; `bundle` overrides it.
        img_size: the size to which the position embedding is resampled at load, in pixels: (H, W) or the side of a
            square; None keeps that of the weights.
        out_indices: blocks whose output is returned, from 0; -1 is the last. Blocks after the last of them are not
            built.
        frozen_stages: -1 freezes nothing, 0 the patch embedding, n also the first n blocks, the number of blocks the
            final norm, too. Frozen parts stay in eval mode.
        in_channels: C. Weights of one channel are shared out, so that a gray image in three channels, whatever their
            order, gives the features of the one-channel pretraining.
        drop_path_rate: stochastic depth, of the last block; it grows linearly from 0.
        with_cp: recompute a block in the backward pass instead of keeping its activations.
        norm_out: apply the encoder's final norm to the last block's map.
        window_size: side of an attention window in patches; 0 attends to the whole image in every block.
        global_blocks: blocks that attend to the whole image although `window_size` is set; None takes four, evenly
            spaced.
        init_cfg: `dict(type='Pretrained', checkpoint=..., prefix=None)`: a local file (`backbone.safetensors`,
            `model.pt`, a checkpoint of a toolbox), the folder of a bundle, or `hf-hub:owner/name`. Loaded by
            `init_weights`, as MMEngine does.
        bundle: folder of a bundle, of a run of it or of a model, or `hf-hub:owner/name`: architecture and weights come
            from there, the weights at once.
        stem: `patch` or `conv`; None takes that of `arch`. `bundle` overrides it.
        arch_kwargs: passed to timm beside those of `arch`. `bundle` overrides them.
        pretrained: takes nothing but None. MMSegmentation's models hand their own `pretrained` to the backbone.

    Raises:
        ValueError: an argument is out of its range.
        FileNotFoundError: `bundle` holds no weights.
        WeightsError: the weights cannot be read or do not fit.

    Shape:
        image (B, C, H, W), normalized; returns a tuple of (B, E, ceil(H / p), ceil(W / p)), one per index.

    Example:
        >>> maps = PLACEViT("place_tiny", out_indices=(1, 3))(torch.zeros(1, 3, 100, 64))
        >>> [tuple(level.shape) for level in maps]
        [(1, 192, 7, 4), (1, 192, 7, 4)]

    Reference:
        Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021; Li et al., Exploring plain vision transformer
        backbones for object detection, ECCV 2022 (windows).
    """

    def __init__(
        self,
        arch: str = "place_base",
        img_size: int | Sequence[int] | None = None,
        out_indices: int | Sequence[int] = -1,
        frozen_stages: int = -1,
        in_channels: int = 3,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,  # noqa: FBT001, FBT002 (the toolboxes' own name, given by keyword in configs)
        norm_out: bool = True,  # noqa: FBT001, FBT002
        window_size: int = 0,
        global_blocks: Sequence[int] | None = None,
        init_cfg: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        bundle: str | os.PathLike[str] | None = None,
        stem: str | None = None,
        arch_kwargs: Mapping[str, Any] | None = None,
        pretrained: None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if pretrained is not None:
            raise ValueError(
                f"pretrained is {pretrained!r}, expected None: set pretrained=None in the model of the config, and "
                "give PLACEViT its weights by bundle or init_cfg"
            )
        if not isinstance(drop_path_rate, int | float) or not 0 <= drop_path_rate < 1:
            raise ValueError(f"drop_path_rate is {drop_path_rate!r}, expected at least 0 and below 1")
        _check_integer("in_channels", in_channels, at_least=1)
        self.metadata: BackboneMetadata | None = None
        state: dict[str, torch.Tensor] | None = None
        if bundle:
            shape, state, self.metadata = _from_bundle(bundle)
        else:
            shape = resolve_shape(arch, stem=stem, kwargs=arch_kwargs)
        self.vit = _build_vit(shape, img_size, in_channels=in_channels, drop_path_rate=drop_path_rate)
        del self.vit.num_classes  # timm's 0: MMDetection's NumClassCheckHook takes every module with it for a head
        self.embed_dim: int = self.vit.embed_dim
        self.patch_size: int = self.vit.patch_embed.patch_size[0]
        self.prefix_tokens: int = self.vit.num_prefix_tokens
        self.out_indices = _check_indices(out_indices, len(self.vit.blocks), "out_indices")
        if not self.out_indices:
            raise ValueError("out_indices is empty; expected at least one block")
        last = max(self.out_indices)
        self._keep_blocks(last + 1, norm_out=norm_out)
        self.depth = last + 1
        _check_integer("window_size", window_size, at_least=0)
        _check_integer("frozen_stages", frozen_stages, at_least=-1, at_most=self.depth, told=", the number of blocks")
        self._normalization_checked = False
        self.frozen_stages, self.with_cp, self.window_size = frozen_stages, with_cp, window_size
        chosen = default_global_blocks(self.depth) if global_blocks is None else global_blocks
        self.global_blocks = frozenset(_check_indices(chosen, self.depth, "global_blocks"))
        if state is not None:
            load_backbone(self.vit, state, self.metadata)
        self._freeze()

    def _keep_blocks(self, count: int, *, norm_out: bool) -> None:
        """Leave out what no output needs: a parameter without a gradient stops DistributedDataParallel."""
        whole = count == len(self.vit.blocks)
        self.vit.blocks = self.vit.blocks[:count]
        if not (norm_out and whole):
            self.vit.norm, self.vit.fc_norm = nn.Identity(), nn.Identity()

    def init_weights(self) -> None:
        """Load the weights that `init_cfg` names, strictly; without them, keep those of `bundle` or of timm's start.

        A second call changes nothing, as in MMEngine.

        Raises:
            ValueError: `init_cfg` is of another type, or names no checkpoint.
            WeightsError: no block of the checkpoint fits, or a shape differs.
            FileNotFoundError: there is no such checkpoint.
        """
        if self.is_init:
            print_log("PLACEViT: init_weights has been called before; the weights stay", "current", logging.WARNING)
            return
        for entry in [self.init_cfg] if isinstance(self.init_cfg, Mapping) else self.init_cfg or []:
            if entry.get("type") != "Pretrained":
                raise ValueError(f"init_cfg type is {entry.get('type')!r}, expected 'Pretrained'")
            if not entry.get("checkpoint"):
                raise ValueError("init_cfg has no checkpoint, expected a file, a folder or hf-hub:owner/name")
            state, self.metadata = read_backbone_weights(str(entry["checkpoint"]), entry.get("prefix"))
            load_backbone(self.vit, state, self.metadata)
        self._is_init = True

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Resample the position embedding of a checkpoint of another image size.

        torch would raise, and MMEngine would log the other shape and go on with the embedding as it is.
        """
        key, own = f"{prefix}vit.pos_embed", self.vit.pos_embed
        given = state_dict.get(key)
        if own is not None and given is not None and given.shape != own.shape and given.shape[2:] == own.shape[2:]:
            state_dict[key] = adapt_vit_state({"pos_embed": given}, self.vit)["pos_embed"]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the feature maps of `out_indices`."""
        if self.metadata is not None and not self._normalization_checked:
            self._normalization_checked = True
            warn_of_other_normalization(self.metadata)
        vit = self.vit
        patches = vit.patch_embed(image)  # (B, C, H, W) -> (B, h, w, E)
        rows, columns = patches.shape[1:3]
        tokens = vit.norm_pre(vit._pos_embed(patches))  # (B, P + h w, E)
        grid = self._windows(rows, columns)
        mask = grid.mask(len(image), image.device) if grid else None
        inside, maps = False, {}
        for index, block in enumerate(vit.blocks):
            windowed = grid is not None and index not in self.global_blocks
            if grid is not None and windowed != inside:  # a stretch of windowed blocks begins or ends
                tokens = grid.split(tokens) if windowed else grid.join(tokens)
                inside = windowed
            tokens = self._run(block, tokens, mask if windowed else None)
            if index in self.out_indices:
                whole = grid.join(tokens) if grid is not None and inside else tokens
                maps[index] = self._to_map(whole, rows, columns, final=index == self.depth - 1)
        return tuple(maps[index] for index in self.out_indices)

    def _windows(self, rows: int, columns: int) -> WindowGrid | None:
        """Return how to cut the grid; None where one window covers it."""
        if self.window_size == 0 or max(rows, columns) <= self.window_size:
            return None
        return WindowGrid(rows, columns, self.window_size, self.prefix_tokens)

    def _run(self, block: nn.Module, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if self.with_cp and tokens.requires_grad:
            return checkpoint(block, tokens, mask, use_reentrant=False)
        return block(tokens) if mask is None else block(tokens, attn_mask=mask)

    def _to_map(self, tokens: torch.Tensor, rows: int, columns: int, *, final: bool) -> torch.Tensor:
        if final:
            tokens = self.vit.fc_norm(self.vit.norm(tokens))  # at most one of them is not the identity
        patches = tokens[:, self.prefix_tokens :].reshape(len(tokens), rows, columns, self.embed_dim)
        return patches.permute(0, 3, 1, 2).contiguous()  # (B, h, w, E) -> (B, E, h, w)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Tell how deep a parameter lies, for layer-wise decay of the learning rate (mmpretrain's convention).

        Args:
            param_name: of the whole model.
            prefix: of this backbone in it, such as `backbone.`.

        Returns:
            Its layer, 0 for the embedding, and the number of layers; what is not in a block counts as the last layer.
        """
        if not param_name.startswith(prefix):
            return self.depth + 1, self.depth + 2
        return vit_layer_depth(param_name.removeprefix(prefix).removeprefix("vit."), self.depth)

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that take no weight decay (timm's protocol)."""
        return {f"vit.{name}" for name in self.vit.no_weight_decay()}

    def train(self, mode: bool = True) -> PLACEViT:  # noqa: FBT001, FBT002 (torch's signature)
        """Set the mode; frozen parts stay in eval."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        vit = self.vit
        modules = [vit.patch_embed, vit.pos_drop, vit.norm_pre, *vit.blocks[: self.frozen_stages]]
        if self.frozen_stages == self.depth:
            modules += [vit.norm, vit.fc_norm]
        for module in modules:
            module.eval()
            module.requires_grad_(requires_grad=False)
        for name in ("cls_token", "dist_token", "reg_token", "pos_embed"):
            parameter = getattr(vit, name, None)
            if parameter is not None:
                parameter.requires_grad_(requires_grad=False)


def _from_bundle(bundle: str | os.PathLike[str]) -> tuple[BackboneShape, dict[str, torch.Tensor], BackboneMetadata]:
    file = backbone_file(bundle)
    state, metadata = read_backbone_weights(str(file))
    if metadata is None:
        raise WeightsError(f"{file.name}: lacks the metadata of a monai-place backbone")
    shape = BackboneShape(metadata.arch, metadata.image_size, metadata.stem, dict(metadata.image_kwargs))
    return shape, state, metadata


def _build_vit(
    shape: BackboneShape, img_size: int | Sequence[int] | None, *, in_channels: int, drop_path_rate: float
) -> Any:
    # The position embedding gets its final size here, so that a checkpoint of this very backbone loads as it is.
    size = shape.image_size if img_size is None else _check_size(img_size)
    options = {**shape.kwargs, "dynamic_img_size": True, "dynamic_img_pad": True}
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    encoder = RadiographEncoder(
        shape.arch,
        image_size=size,
        in_channels=in_channels,
        stem=shape.stem,
        kwargs=options,
    )
    return encoder.vit


def _check_size(img_size: int | Sequence[int]) -> tuple[int, int]:
    sides = tuple(img_size) if isinstance(img_size, Sequence) else (img_size,) * 2
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"img_size is {img_size!r}, expected (H, W) or the side of a square, in pixels")
    return sides[0], sides[1]


def _check_integer(name: str, value: object, *, at_least: int, at_most: int | None = None, told: str = "") -> None:
    if not isinstance(value, int) or value < at_least or (at_most is not None and value > at_most):
        allowed = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most}"
        raise ValueError(f"{name} is {value!r}, expected {allowed}{told}")


def _check_indices(indices: int | Iterable[int], depth: int, name: str) -> tuple[int, ...]:
    given = tuple(indices) if isinstance(indices, Iterable) else (indices,)
    if not all(isinstance(index, int) and -depth <= index < depth for index in given):
        raise ValueError(f"{name} is {given}, expected {-depth} to {depth - 1}: the encoder has {depth} blocks")
    counted = tuple(index % depth for index in given)
    if len(set(counted)) < len(counted):
        raise ValueError(f"{name} is {given}, which names a block twice")
    return counted
