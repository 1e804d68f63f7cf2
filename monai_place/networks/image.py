"""Image encoder: a timm VisionTransformer for one-channel radiographs, with an optional convolutional stem."""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import timm
import torch
from timm.models import adapt_input_conv, load_state_dict
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn
from torch.utils.checkpoint import checkpoint

from monai_place.networks.config import StemChoice

__all__ = ["ConvolutionalStem", "RadiographEncoder"]

logger = logging.getLogger(__name__)


class ConvolutionalStem(nn.Module):
    """Strided 3x3 convolutions that take the place of a ViT's patch projection.

    A transformer trained from scratch on few images learns faster behind a few convolutions; normalization is by
    group, not by batch, so that a study's features do not depend on its neighbors.

    Args:
        in_channels: C.
        embed_dim: E.
        patch_size: p, a power of two of at least 2.

    Raises:
        ValueError: `patch_size` is not a power of two.

    Reference:
        Xiao et al., Early convolutions help transformers see better, NeurIPS 2021.
    """

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int) -> None:
        super().__init__()
        steps = int(math.log2(patch_size)) if patch_size > 1 else 0
        if steps < 1 or 2**steps != patch_size:
            raise ValueError(f"patch_size is {patch_size}, a convolutional stem needs a power of two of at least 2")
        widths = [in_channels] + [max(16, embed_dim // 2 ** (steps - step)) for step in range(1, steps + 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.GroupNorm(1, after), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 1))
        # Measured on a CPU: forward and backward take 0.6 of the time; cuDNN prefers it, too.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (B, E, H/p, W/p)."""
        return self.layers(image)


class RadiographEncoder(nn.Module):
    """A timm ViT that returns the patch tokens of the last block and of one earlier level.

    Args:
        arch: name of a timm VisionTransformer, such as `vit_base_patch16_224` or `vit_small_patch14_dinov2`.
        image_size: side of a square input in pixels, or (H, W).
        in_channels: C; pretrained three-channel weights are summed over the channels.
        stem: `patch` or `conv`.
        weights: a local checkpoint file (safetensors, or a plain state dict), `timm` for the weights that timm names
            for `arch`, or `hf-hub:owner/name` of such weights. None starts from random weights.
        kwargs: passed to timm.

    Raises:
        ValueError: `stem` is unknown, `arch` is not a VisionTransformer of timm, its patches do not tile the image, or
            the checkpoint file lacks parameters of it.
        FileNotFoundError: `weights` looks like a file and is not there.

    Example:
        >>> encoder = RadiographEncoder("vit_tiny_patch16_224", image_size=64, kwargs={"depth": 2})
        >>> encoder(torch.zeros(2, 1, 64, 64))[0].shape
        torch.Size([2, 17, 192])

    Reference:
        Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021.
    """

    def __init__(
        self,
        arch: str,
        *,
        image_size: int | tuple[int, int],
        in_channels: int = 1,
        stem: str = "patch",
        weights: str | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if stem not in get_args(StemChoice):
            raise ValueError(f"stem is {stem!r}, expected one of {get_args(StemChoice)}")
        options: dict[str, Any] = {"img_size": image_size, "in_chans": in_channels, "num_classes": 0, **(kwargs or {})}
        file = _weights_file(weights)
        pretrained = weights is not None and file is None
        # "hf-hub:owner/name" is itself a timm architecture name
        name = weights if weights is not None and pretrained and weights != "timm" else arch
        self.vit = _build(name, options, pretrained=pretrained)
        # Pooling is the model's own affair; parameters without a gradient would stop DistributedDataParallel.
        self.vit.attn_pool = None
        self.embed_dim: int = self.vit.embed_dim
        self.prefix_tokens: int = self.vit.num_prefix_tokens
        self.depth: int = len(self.vit.blocks)
        self.patch_size: int = self.vit.patch_embed.patch_size[0]
        if tuple(cells * self.patch_size for cells in self.grid) != tuple(self.vit.patch_embed.img_size):
            raise ValueError(
                f"image_size is {self.vit.patch_embed.img_size}, and {arch!r} makes {self.grid} patches of side "
                f"{self.patch_size} of it; expected a multiple of the patch size, and patches cut from the image itself"
            )
        if file is not None:
            _load_file(self.vit, file)
        if stem == "conv":
            self.vit.patch_embed.proj = ConvolutionalStem(in_channels, self.embed_dim, self.patch_size)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of the image size that the encoder was built for."""
        return self.vit.patch_embed.grid_size

    def forward(self, image: torch.Tensor, level: int = -1) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a batch of images.

        Args:
            image: (B, C, H, W), normalized.
            level: the block after which the second result is taken; 0 is the patch embedding, -1 the last block.

        Returns:
            All tokens of the last block, normalized, (B, P + N, E), and the patch tokens (B, N, E) of `level`.

        Raises:
            ValueError: there is no such level.
        """
        tokens, early = self.forward_levels(image, [level])
        return tokens, early[0]

    def forward_levels(self, image: torch.Tensor, levels: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode a batch of images, and keep the patch tokens of several levels.

        Args:
            image: (B, C, H, W), normalized.
            levels: as `level` of `forward`, in any order.

        Returns:
            All tokens of the last block, normalized, (B, P + N, E), and for each level its patch tokens (B, N, E).

        Raises:
            ValueError: there is no such level.
        """
        for level in levels:
            if level < -1 or level > self.depth:
                raise ValueError(f"level is {level}, expected -1 to {self.depth}, the number of blocks")
        vit = self.vit
        tokens = vit.patch_embed(image)
        tokens = vit.norm_pre(vit.patch_drop(vit._pos_embed(tokens)))  # (B, P + N, E)
        kept = [tokens for _ in levels]
        for index, block in enumerate(vit.blocks):
            if vit.grad_checkpointing and not torch.jit.is_scripting():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
            kept = [tokens if levels[place] == index + 1 else kept[place] for place in range(len(levels))]
        tokens = vit.fc_norm(vit.norm(tokens))  # one of them is the identity
        last = [level < 0 or level == self.depth for level in levels]
        kept = [tokens if last[place] else kept[place] for place in range(len(levels))]
        return tokens, [early[:, self.prefix_tokens :] for early in kept]

    def set_grad_checkpointing(self, *, enable: bool = True) -> None:
        """Trade time for memory in the blocks (timm's protocol)."""
        self.vit.set_grad_checkpointing(enable)


def _build(name: str, options: dict[str, Any], *, pretrained: bool) -> VisionTransformer:
    """Return timm's model of that name, if it is a VisionTransformer whose tokens are patches."""
    if ":" not in name and not timm.is_model(name):
        raise ValueError(f"image_arch is {name!r}, which timm does not have; expected a timm VisionTransformer")
    try:
        vit = timm.create_model(name, pretrained=pretrained, **options)
    except TypeError as error:
        raise ValueError(
            f"image_arch is {name!r}, which timm does not build from {sorted(options)} ({error}); "
            "expected a timm VisionTransformer"
        ) from error
    if not isinstance(vit, VisionTransformer):
        raise ValueError(f"image_arch is {name!r}, a {type(vit).__name__}; expected a timm VisionTransformer")
    return vit


def _load_file(vit: VisionTransformer, file: Path) -> None:
    """Load a checkpoint of the architecture, whatever its head, its number of input channels and its image size.

    The pickle of a `.pt` file is read by `weights_only`: it cannot run code.
    """
    state = checkpoint_filter_fn(load_state_dict(str(file), weights_only=True), vit, adapt_layer_scale=True)
    kernel = state.get("patch_embed.proj.weight")
    if kernel is not None:
        state["patch_embed.proj.weight"] = adapt_input_conv(vit.in_chans, kernel, base_chans=kernel.shape[1])
    result = vit.load_state_dict(state, strict=False)  # raises on a shape that differs
    if result.missing_keys:
        raise ValueError(
            f"image_weights {file.name!r} lacks {len(result.missing_keys)} of the parameters of image_arch, such as "
            f"{result.missing_keys[:3]}; it has {sorted(state)[:3]}"
        )
    if result.unexpected_keys:
        logger.info("%s: ignored %d entries: %s", file.name, len(result.unexpected_keys), result.unexpected_keys)


def _weights_file(weights: str | None) -> Path | None:
    """Return `weights` as a file if it names one; a hub name is none."""
    if weights is None or weights == "timm" or weights.startswith(("hf-hub:", "hf_hub:")):
        return None
    file = Path(weights)
    if not file.is_file():
        raise FileNotFoundError(
            f"image_weights {file.name!r} is no file; expected a checkpoint file, 'timm', or 'hf-hub:owner/name'"
        )
    return file
