"""Where a backbone's architecture and weights come from: a bundle, a file, a folder or the hub; never by unpickling."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from monai_place.networks.presets import PRESETS
from monai_place.weights import BackboneMetadata, WeightsError, read_backbone, read_state_dict

__all__ = ["BackboneShape", "backbone_file", "read_backbone_weights", "resolve_shape"]

BACKBONE_FILE = "backbone.safetensors"
HUB_PREFIXES = ("hf-hub:", "hf_hub:")
# Where the ViT's own keys begin, if several places in a file look like one: in a backbone file, in a whole PLACE model,
# in a detector that was trained with it.
KNOWN_PREFIXES = ("", "image_encoder.vit.", "vit.", "backbone.vit.", "model.image_encoder.vit.")
FIRST_BLOCK = re.compile(r"((?:.*?\.)?)blocks\.0\.")


@dataclass(frozen=True)
class BackboneShape:
    """What a ViT is built from.

    Args:
        arch: name of a timm VisionTransformer.
        image_size: side of the image that its position embedding was made for, in pixels.
        stem: `patch` or `conv`.
        kwargs: passed to timm.
    """

    arch: str
    image_size: int
    stem: str = "patch"
    kwargs: dict[str, Any] = field(default_factory=dict)


def resolve_shape(arch: str, *, stem: str | None = None, kwargs: Mapping[str, Any] | None = None) -> BackboneShape:
    """Return the shape that a preset or a name of timm stands for, with some of it changed.

    Example:
        >>> resolve_shape("place_tiny").stem
        'conv'
    """
    if arch in PRESETS:
        preset = PRESETS[arch]
        shape = BackboneShape(preset.image_arch, preset.image_size, preset.stem, dict(preset.image_kwargs))
    else:
        shape = BackboneShape(arch, 224)
    return BackboneShape(shape.arch, shape.image_size, stem or shape.stem, {**shape.kwargs, **(kwargs or {})})


def backbone_file(bundle: str | os.PathLike[str]) -> Path:
    """Return the backbone file of a bundle, of a run of the bundle, or of a model folder; fetch it from the hub.

    Args:
        bundle: a local folder, or `hf-hub:owner/name`.

    Raises:
        FileNotFoundError: there is no such folder, or it holds no weights yet.
    """
    if str(bundle).startswith(HUB_PREFIXES):
        return _from_hub(str(bundle))
    folder = Path(bundle)
    if folder.is_file():
        raise FileNotFoundError(
            f"bundle {folder.name!r} is a file; expected a bundle, a run or a model folder. One file goes into "
            "init_cfg=dict(type='Pretrained', checkpoint=...), beside arch"
        )
    if not folder.is_dir():
        raise FileNotFoundError(
            f"bundle {folder.name!r} is no folder; expected a bundle, a run or a model folder. Where a checkpoint "
            "brings the weights, bundle=None, and arch, img_size, stem and arch_kwargs of the bundle, do without it"
        )
    for place in (folder / "models" / BACKBONE_FILE, folder / BACKBONE_FILE):
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"bundle {folder.name!r} holds no models/{BACKBONE_FILE}: pretrain it (monai-place pretrain), or put a "
        "pretrained model there; arch='place_base' and the like start from random weights"
    )


def read_backbone_weights(
    checkpoint: str, prefix: str | None = None
) -> tuple[dict[str, torch.Tensor], BackboneMetadata | None]:
    """Read the ViT's weights from a backbone file, a `model.pt`, or a checkpoint of a toolbox.

    Args:
        checkpoint: a local file, the folder of a bundle or model, or `hf-hub:owner/name[/file]`.
        prefix: where the ViT's keys begin, or those of the PLACEViT around it, with or without the last dot, as in
            MMEngine; None finds it.

    Returns:
        The weights under the ViT's own names, and what a backbone file tells of them.

    Raises:
        WeightsError: the file is damaged, would run code, or holds no ViT.
        FileNotFoundError: there is no such file.
    """
    path = _local_file(checkpoint)
    metadata: BackboneMetadata | None = None
    if path.name == BACKBONE_FILE or (path.suffix == ".safetensors" and not prefix):
        try:
            state, metadata = read_backbone(path)
        except WeightsError:
            if path.name == BACKBONE_FILE:
                raise
            state = read_state_dict(path)  # safetensors of somebody else's
    else:
        state = read_state_dict(path)
    found = _find_prefix(state) if prefix is None else _complete_prefix(state, prefix)
    cut = {key[len(found or "") :]: value for key, value in state.items() if key.startswith(found or "")}
    if found is None or not any(key.startswith("blocks.") for key in cut):
        raise WeightsError(f"{path.name}: {_why_none(state, prefix)}; its keys begin like {sorted(state)[:3]}")
    return cut, metadata


def _find_prefix(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return what stands before the first block; of several, one that is known."""
    found = _prefixes(state)
    return found[0] if len(found) == 1 else next((prefix for prefix in KNOWN_PREFIXES if prefix in found), None)


def _complete_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> str:
    """Return a prefix as it stands in the file: MMEngine's may lack the dot, and names the backbone, not its ViT."""
    dotted = prefix if not prefix or prefix.endswith(".") else f"{prefix}."
    found = _prefixes(state)
    return next((name for name in (dotted, f"{dotted}vit.") if name in found), prefix)


def _prefixes(state: Mapping[str, torch.Tensor]) -> list[str]:
    return sorted({match[1] for key in state if (match := FIRST_BLOCK.match(key))})


def _why_none(state: Mapping[str, torch.Tensor], prefix: str | None) -> str:
    found = _prefixes(state)
    if prefix is None and found:
        return f"blocks in it under {found}, and prefix does not say which are the ViT's"
    return "no ViT block in it" + ("" if prefix is None else f" under prefix {prefix!r}, only under {found}")


def _local_file(checkpoint: str) -> Path:
    if checkpoint.startswith(HUB_PREFIXES):
        return _from_hub(checkpoint)
    if "://" in checkpoint:
        raise WeightsError(
            f"checkpoint {checkpoint.split('://', maxsplit=1)[0]}://... is an address; expected a local file or "
            "hf-hub:owner/name: files of unknown origin are not fetched"
        )
    path = Path(checkpoint)
    return backbone_file(checkpoint) if path.is_dir() else path


def _from_hub(name: str) -> Path:
    """Fetch `hf-hub:owner/name[/file][@revision]` into the hub's own cache, or find it there.

    Raises:
        WeightsError: `name` names no repository.
        FileNotFoundError: the file is neither there nor to be had.
    """
    from huggingface_hub import hf_hub_download

    spec, _, revision = name.split(":", maxsplit=1)[1].partition("@")
    parts = spec.split("/", maxsplit=2)
    if len(parts) < 2 or not all(parts):
        raise WeightsError(f"{name!r} names no repository; expected hf-hub:owner/name[/file][@revision]")
    file = parts[2] if len(parts) > 2 else BACKBONE_FILE
    try:
        return Path(hf_hub_download("/".join(parts[:2]), file, revision=revision or None))
    except (OSError, ValueError) as error:  # offline, no such repository, file or revision, a name that cannot be one
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileNotFoundError(
            f"{name!r}: {file} is not in the hub's cache on this machine and could not be fetched: {reason}"
        ) from error
