"""The model folder: whole model, backbone, tokenizer, and what they are (`monai_place.weights` has the table)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from monai_place.atomic import write_json_atomic
from monai_place.preprocess import PreprocessSpec
from monai_place.weights.backbone import BackboneMetadata, compact, write_backbone
from monai_place.weights.description import read_description
from monai_place.weights.fitting import STEM_KEYS
from monai_place.weights.writing import write_state_dict

if TYPE_CHECKING:
    from monai_place.data.tokens import ReportTokenizer

__all__ = [
    "PlaceDescription",
    "SavableModel",
    "read_place_json",
    "report_config",
    "save_model_folder",
    "settled_config",
]

FORMAT_VERSION = 1


class SavableModel(Protocol):
    """What `save_model_folder` needs of a `PLACEModel`; the networks stand on the same floor and are not imported."""

    config: Any
    image_encoder: Any
    report_encoder: Any

    def state_dict(self) -> dict[str, Any]:
        """Return the weights."""


@dataclass(frozen=True)
class PlaceDescription:
    """The content of `place.json`.

    Args:
        model: fields of `PLACEConfig`; it names no weights to fetch.
        preprocess: how a radiograph becomes the model's input.
        classes: findings of the data set it was trained on.
        package_version: of monai-place that wrote it.
        tokenizer_fingerprint: of the tokenizer that belongs to the weights.
        report_encoder: config of the BERT where it came from the hub or a folder, so that neither is asked again.
        extra: whatever the writer added.
    """

    model: dict[str, Any]
    preprocess: PreprocessSpec
    classes: tuple[str, ...]
    package_version: str
    tokenizer_fingerprint: str
    report_encoder: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def save_model_folder(
    folder: str | os.PathLike[str],
    model: SavableModel,
    *,
    preprocess: PreprocessSpec,
    tokenizer: ReportTokenizer,
    classes: Sequence[str],
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder; each part appears whole or not at all, `place.json` last.

    Args:
        folder: made where it is missing; the parts of an older model are replaced.
        model: a `PLACEModel`.
        preprocess: what the model was trained with.
        tokenizer: what the model was trained with.
        classes: findings of the data set.
        extra: plain JSON values to keep beside, such as the epoch and its metrics.

    Raises:
        ValueError: preprocessing or tokenizer do not fit the model; nothing is written.
    """
    folder = Path(folder)
    config = model.config
    if preprocess.image_size != config.image_size:
        raise ValueError(f"preprocess.image_size is {preprocess.image_size}, the model's is {config.image_size}")
    rows = model.report_encoder.bert.get_input_embeddings().num_embeddings
    if tokenizer.vocab_size > rows:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} tokens, the report encoder knows {rows}")
    from monai_place import __version__

    settled = settled_config(model)
    description = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "model": settled,
        "preprocess": preprocess.to_dict(),
        "classes": list(classes),
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "report_encoder": report_config(model),
        "extra": dict(extra or {}),
    }
    json.dumps(description, allow_nan=False)  # what cannot be written must fail before anything is
    state = {key: compact(value) for key, value in model.state_dict().items()}
    write_state_dict(folder / "model.pt", state)
    vit = {key: compact(value) for key, value in model.image_encoder.vit.state_dict().items()}
    metadata = BackboneMetadata(
        arch=settled["image_arch"],
        image_size=config.image_size,
        patch_size=model.image_encoder.patch_size,
        in_channels=next(vit[key].shape[1] for key in STEM_KEYS if key in vit),
        mean=preprocess.mean,
        std=preprocess.std,
        resize_rule=preprocess.resize_rule,
        package_version=__version__,
        config_hash=_hash_json(settled),
        stem=config.stem,
        image_kwargs=config.image_kwargs,
    )
    write_backbone(folder / "backbone.safetensors", vit, metadata)
    tokenizer.save(folder / "tokenizer")
    write_json_atomic(folder / "place.json", description)
    return folder


def read_place_json(path: str | os.PathLike[str]) -> PlaceDescription:
    """Read `place.json`.

    Raises:
        WeightsError: it is damaged, or of a later format.
        FileNotFoundError: there is no such file.
    """
    return read_description(path, _place_description, version=FORMAT_VERSION, what="a model")


def _place_description(content: Mapping[str, Any]) -> PlaceDescription:
    return PlaceDescription(
        model=dict(content["model"]),
        preprocess=PreprocessSpec.from_dict(content["preprocess"]),
        classes=tuple(str(name) for name in content["classes"]),
        package_version=str(content["package_version"]),
        tokenizer_fingerprint=str(content["tokenizer_fingerprint"]),
        report_encoder=content.get("report_encoder"),
        extra=dict(content.get("extra") or {}),
    )


def settled_config(model: SavableModel) -> dict[str, Any]:
    """Return a PLACE model's config without weights to fetch and paths of this machine: the weights lie beside it."""
    values: dict[str, Any] = model.config.to_dict()
    weights, name = values["image_weights"], values["report_name"]
    if weights and weights.startswith(("hf-hub:", "hf_hub:")):  # it named the architecture, too
        values["image_arch"] = model.image_encoder.vit.pretrained_cfg["architecture"]
    values["image_weights"] = None
    if name and Path(name).is_dir():
        values["report_name"] = Path(name).name
    return values


def report_config(model: SavableModel) -> dict[str, Any] | None:
    """Return the config of a BERT that came from the hub or a folder; None for a small one."""
    if model.config.report_name is None:
        return None
    values: dict[str, Any] = json.loads(model.report_encoder.bert.config.to_json_string(use_diff=False))
    return {key: value for key, value in values.items() if key != "_name_or_path"}


def _hash_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
