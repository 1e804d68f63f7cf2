"""The backbone file: the image encoder alone, with all that is needed to build it and to feed it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from monai_place.preprocess import PreprocessSpec
from monai_place.weights.reading import WeightsError, read_safetensors
from monai_place.weights.writing import write_safetensors

__all__ = ["BackboneMetadata", "compact", "hash_tensors", "read_backbone", "write_backbone"]

# By annotation; what is none of these is an object.
KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}


@dataclass(frozen=True)
class BackboneMetadata:
    """What the header of `backbone.safetensors` tells: enough to build the encoder and to feed it.

    Args:
        arch: name of a timm VisionTransformer.
        image_size: side of the square input in pixels.
        patch_size: in pixels.
        in_channels: channels of the input.
        mean: subtracted from a pixel in [0, 1].
        std: divides the result.
        resize_rule: how an image becomes square, see `PreprocessSpec`.
        package_version: of monai-place that wrote the file.
        config_hash: SHA-256 (hex) of the whole model's config.
        stem: `patch` or `conv`.
        image_kwargs: passed to timm (`embed_dim`, `depth`, ...).
    """

    arch: str
    image_size: int
    patch_size: int
    in_channels: int
    mean: float
    std: float
    resize_rule: str
    package_version: str
    config_hash: str
    stem: str = "patch"
    image_kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def preprocess(self) -> PreprocessSpec:
        """The preprocessing as the value that the transforms take."""
        return PreprocessSpec.from_dict(
            {"image_size": self.image_size, "mean": self.mean, "std": self.std, "resize_rule": self.resize_rule}
        )

    def to_header(self) -> dict[str, str]:
        """Return the fields as safetensors wants them: text by text, numbers and objects as JSON."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in asdict(self).items()}

    @classmethod
    def from_header(cls, header: Mapping[str, str]) -> BackboneMetadata:
        """Read the fields from a header; keys of later versions are left alone.

        Raises:
            WeightsError: a field is missing or of another kind.
        """
        if missing := [entry.name for entry in fields(cls) if entry.name not in header]:
            raise WeightsError(f"the metadata of a monai-place backbone lacks {missing}; found {sorted(header)}")
        values: dict[str, Any] = {}
        for entry in fields(cls):
            try:
                values[entry.name] = header[entry.name] if entry.type == "str" else json.loads(header[entry.name])
            except json.JSONDecodeError:
                raise WeightsError(f"metadata {entry.name!r} is {header[entry.name]!r:.80}, expected JSON") from None
            if not isinstance(values[entry.name], KINDS.get(str(entry.type), (dict,))):
                raise WeightsError(f"metadata {entry.name!r} is {header[entry.name]!r:.80}, expected {entry.type}")
        return cls(**values)


def write_backbone(path: str | os.PathLike[str], state: Mapping[str, torch.Tensor], metadata: BackboneMetadata) -> None:
    """Write a backbone file, whole or not at all; its header holds a hash of the tensors."""
    tensors = {key: compact(value) for key, value in state.items()}
    header = {"format": "pt", **metadata.to_header(), "tensors_sha256": hash_tensors(tensors)}
    write_safetensors(path, tensors, header)


def read_backbone(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], BackboneMetadata]:
    """Read a backbone file and compare the hash of its tensors.

    Raises:
        WeightsError: the file is damaged, or none that this project wrote.
        FileNotFoundError: there is no such file.
    """
    state, header = read_safetensors(path)
    name = Path(path).name
    try:
        metadata = BackboneMetadata.from_header(header)
    except WeightsError as error:
        raise WeightsError(f"{name}: {error}") from None
    if header.get("tensors_sha256") != hash_tensors(state):
        raise WeightsError(f"{name}: corrupt: the tensors are not those that were written (SHA-256 differs)")
    return state, metadata


def compact(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the CPU that owns exactly its values, in the plain order of memory."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
        tensor = tensor.clone()
    return tensor


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 (hex) of named tensors: names, types, shapes and values, whatever their order."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key].contiguous()
        digest.update(json.dumps([key, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
