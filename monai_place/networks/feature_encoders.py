"""Image encoders behind one face: features of a PLACE model, or of any network of timm, by their kind.

Shapes: `B` studies, `E` features of the encoder, `N` patches, `K` pathology queries, `D` joint features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import timm
import torch
from timm.models import group_parameters
from torch import nn

from monai_place.networks.depth import vit_layer_depth
from monai_place.networks.place import PLACEModel

__all__ = ["FeatureKind", "PLACEFeatureEncoder", "TimmFeatureEncoder", "build_timm_encoder", "check_feature_kind"]

FeatureKind = Literal["global", "patch_mean", "observations"]

# Parts of timm's networks that have patch tokens and nothing else in front of them tell so by this attribute.
PREFIX = "num_prefix_tokens"


def check_feature_kind(kind: str, known: Sequence[str] = get_args(FeatureKind)) -> None:
    """Raise ValueError for a kind of features that an encoder does not have.

    Example:
        >>> check_feature_kind("global")
    """
    if kind not in known:
        raise ValueError(f"features are {kind!r}, expected one of {tuple(known)}")


class PLACEFeatureEncoder(nn.Module):
    """The image side of PLACE before its projection into the joint space.

    | kind | shape | is |
    |---|---|---|
    | `global` | (B, E) | what the image projection is given: the class token, or the mean of the patches |
    | `patch_mean` | (B, E) | the mean of the last block's patch tokens |
    | `observations` | (B, K, D) | V-PORs, unit norm |

    Args:
        model: whose parts are taken, not copied.
        kinds: that will be asked for; without `observations` there is no extractor, so that every parameter is used.

    Raises:
        ValueError: a kind is unknown.

    Example:
        >>> from monai_place.networks import PLACEModel, place_preset
        >>> encoder = PLACEFeatureEncoder(PLACEModel(place_preset("place_tiny")), ["observations"])
        >>> encoder(torch.zeros(2, 1, 128, 128), "observations").shape, encoder.width("global")
        (torch.Size([2, 16, 128]), 192)
    """

    def __init__(self, model: PLACEModel, kinds: Sequence[str] = get_args(FeatureKind)) -> None:
        super().__init__()
        for kind in kinds:
            check_feature_kind(kind)
        self.kinds = tuple(kinds)
        self.image_encoder = model.image_encoder
        self.extractor = model.extractor if "observations" in kinds else None
        self.value_level: int = model.config.value_level
        self.joint_dim: int = model.config.joint_dim
        self.pools_token = model.config.image_pool == "cls" and bool(self.image_encoder.vit.has_class_token)

    def width(self, kind: str) -> int:
        """Return the size of the last axis of the features."""
        return self.joint_dim if kind == "observations" else self.image_encoder.embed_dim

    def forward(self, image: torch.Tensor, kind: str = "global") -> torch.Tensor:
        """Return the features of one kind of images (B, 1, H, W)."""
        return self.features(image, [kind])[kind]

    def features(self, image: torch.Tensor, kinds: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return several kinds of one pass."""
        for kind in kinds:
            check_feature_kind(kind, self.kinds)
        tokens, early = self.image_encoder(image, self.value_level)
        patches = tokens[:, self.image_encoder.prefix_tokens :]
        mean = patches.mean(dim=1)
        found = {"global": tokens[:, 0] if self.pools_token else mean, "patch_mean": mean}
        if "observations" in kinds and self.extractor is not None:
            found["observations"] = self.extractor(patches, early)[0]
        return {kind: found[kind] for kind in kinds}

    def layer_depth(self, name: str) -> tuple[int, int]:
        """Return the layer of a parameter and the number of layers; the extractor is of the last."""
        return vit_layer_depth(name.removeprefix("image_encoder.vit."), self.image_encoder.depth)

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that take no weight decay (timm's protocol)."""
        return {f"image_encoder.vit.{name}" for name in self.image_encoder.vit.no_weight_decay()}


class TimmFeatureEncoder(nn.Module):
    """A network of timm, by its protocol: `forward_features`, `forward_head`.

    `global` is what timm's own classifier would be given; `patch_mean` is the mean over places of the last feature map,
    without class and register tokens. There are no observations.

    Args:
        network: of timm, with one input channel; its classifier is not used.

    Example:
        >>> encoder = TimmFeatureEncoder(timm.create_model("test_vit", in_chans=1, num_classes=0))
        >>> encoder(torch.zeros(2, 1, 160, 160)).shape == (2, encoder.width("global"))
        True
    """

    kinds = ("global", "patch_mean")

    network: Any

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        depths = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
        self._depths: dict[str, int] = {name: int(depth) for name, depth in depths.items()}

    def width(self, kind: str) -> int:
        """Return the size of the last axis of the features."""
        size = self.network.head_hidden_size if kind == "global" else self.network.num_features
        return int(size)

    def forward(self, image: torch.Tensor, kind: str = "global") -> torch.Tensor:
        """Return the features of one kind of images (B, 1, H, W)."""
        return self.features(image, [kind])[kind]

    def features(self, image: torch.Tensor, kinds: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return several kinds of one pass."""
        for kind in kinds:
            check_feature_kind(kind, self.kinds)
        found: dict[str, torch.Tensor] = {}
        last = self.network.forward_features(image)
        if "global" in kinds:
            found["global"] = self.network.forward_head(last, pre_logits=True)
        if "patch_mean" in kinds:
            found["patch_mean"] = self._mean_over_places(last)
        return {kind: found[kind] for kind in kinds}

    def layer_depth(self, name: str) -> tuple[int, int]:
        """Return the layer of a parameter, by timm's own grouping, and the number of layers."""
        layers = max(self._depths.values()) + 1
        return self._depths.get(name.removeprefix("network."), layers - 1), layers

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that take no weight decay (timm's protocol)."""
        tell: Any = getattr(self.network, "no_weight_decay", set)
        return {f"network.{name}" for name in tell()}

    def _mean_over_places(self, last: torch.Tensor) -> torch.Tensor:
        if last.ndim == 3:
            return last[:, getattr(self.network, PREFIX, 0) :].mean(dim=1)  # (B, N, E) -> (B, E)
        channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
        return last.mean(dim=(1, 2) if channels_last else (2, 3))


def build_timm_encoder(
    arch: str,
    *,
    image_size: int | None = None,
    state: Mapping[str, torch.Tensor] | None = None,
    pretrained: bool = False,
    seed: int = 0,
) -> TimmFeatureEncoder:
    """Return a network of timm for one-channel radiographs.

    Three-channel weights are summed over the channels, and position embeddings resampled, as timm does.

    Args:
        arch: name of timm.
        image_size: side of the input in pixels, for networks that are made for one size; None takes timm's.
        state: weights of `arch`, with or without a classifier.
        pretrained: take the weights that timm names for `arch`; they are fetched where they are not there.
        seed: of the weights where there are none.

    Raises:
        ValueError: timm has no such network, or `state` lacks weights of it.
    """
    if not timm.is_model(arch):
        raise ValueError(f"timm has no network {arch!r}")
    plain = _create(arch, image_size, seed)
    if state is None:
        return TimmFeatureEncoder(_create(arch, image_size, seed, pretrained=True) if pretrained else plain)
    overlay = {"state_dict": dict(state), "custom_load": False}
    try:
        loaded = _create(arch, image_size, seed, pretrained=True, pretrained_cfg_overlay=overlay)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit {arch!r}: {str(error).splitlines()[0]}") from None
    # timm only logs what a file lacks, when the classifier differs. Drawn from one seed, it is as it was.
    drawn = plain.state_dict()
    left = [name for name, value in loaded.state_dict().items() if value.ndim > 1 and torch.equal(value, drawn[name])]
    if left:
        raise ValueError(f"the weights lack {len(left)} parameters of {arch!r}, such as {left[:3]}")
    return TimmFeatureEncoder(loaded)


def _create(arch: str, image_size: int | None, seed: int, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        sizes = {} if image_size is None else {"img_size": image_size}
        try:
            made: nn.Module = timm.create_model(arch, in_chans=1, num_classes=0, **sizes, **options)
        except TypeError:  # a network for any size
            torch.default_generator.manual_seed(seed)
            made = timm.create_model(arch, in_chans=1, num_classes=0, **options)
    return made
