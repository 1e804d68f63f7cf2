"""The folder of a report generator: all of its weights, its tokenizers, and what they are.

| file | what it is |
|---|---|
| `model.pt` | plain state dict: the encoder under `place.`, the decoder and the bridges between them |
| `tokenizer/` | of the decoder |
| `place_tokenizer/` | of PLACE's report encoder; where it is the decoder's, it is left out |
| `generator.json` | configs, preprocessing, format of the report, version, fingerprints; written last |
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from monai_place.atomic import write_json_atomic
from monai_place.preprocess import PreprocessSpec
from monai_place.weights.backbone import compact
from monai_place.weights.description import read_description
from monai_place.weights.folder import SavableModel, report_config, settled_config
from monai_place.weights.writing import write_state_dict

if TYPE_CHECKING:
    from monai_place.data.tokens import ReportTokenizer

__all__ = ["GeneratorDescription", "SavableGenerator", "read_generator_json", "save_generator_folder"]

FORMAT_VERSION = 1


class SavableGenerator(Protocol):
    """What `save_generator_folder` needs of a `ReportGenerator`; the networks stand on the same floor."""

    config: Any
    decoder: Any
    place: Any

    def state_dict(self) -> dict[str, Any]:
        """Return the weights."""


@dataclass(frozen=True)
class GeneratorDescription:
    """The content of `generator.json`.

    Args:
        generator: fields of `ReportGeneratorConfig`; it names nothing to fetch.
        decoder: settings of the decoder, for `rebuild_decoder`.
        report_encoder: config of PLACE's BERT where it came from the hub or a folder.
        preprocess: how a radiograph becomes the model's input.
        report_format: fields of `ReportFormat`.
        classes: findings of the data set it was trained on.
        package_version: of monai-place that wrote it.
        fingerprints: of `tokenizer` and `place_tokenizer`.
        extra: whatever the writer added.
    """

    generator: dict[str, Any]
    decoder: dict[str, Any]
    report_encoder: dict[str, Any] | None
    preprocess: PreprocessSpec
    report_format: dict[str, Any]
    classes: tuple[str, ...]
    package_version: str
    fingerprints: dict[str, str]
    extra: dict[str, Any] = field(default_factory=dict)


def save_generator_folder(
    folder: str | os.PathLike[str],
    model: SavableGenerator,
    *,
    decoder: Mapping[str, Any],
    preprocess: PreprocessSpec,
    tokenizer: ReportTokenizer,
    place_tokenizer: ReportTokenizer,
    report_format: Mapping[str, Any],
    classes: Sequence[str],
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder of a report generator; each part appears whole or not at all, `generator.json` last.

    Args:
        folder: made where it is missing; the parts of an older one are replaced.
        model: a `ReportGenerator`.
        decoder: from `decoder_settings`.
        preprocess: that of the encoder.
        tokenizer: of the decoder.
        place_tokenizer: of PLACE's report encoder.
        report_format: `ReportFormat.to_dict()`.
        classes: findings of the data set.
        extra: plain JSON values to keep beside.

    Raises:
        ValueError: preprocessing or tokenizer do not fit the model; nothing is written.
    """
    from monai_place import __version__

    folder, config = Path(folder), model.config
    if preprocess.image_size != config.image_size:
        raise ValueError(f"preprocess.image_size is {preprocess.image_size}, the model's is {config.image_size}")
    rows = model.decoder.get_input_embeddings().num_embeddings
    if tokenizer.vocab_size > rows:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} tokens, the decoder knows {rows}")
    place: SavableModel = model.place
    generator = {**config.to_dict(), "place": settled_config(place)}
    if (name := generator["decoder_name"]) and Path(name).is_dir():
        generator["decoder_name"] = Path(name).name
    description = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "generator": generator,
        "decoder": dict(decoder),
        "report_encoder": report_config(place),
        "preprocess": preprocess.to_dict(),
        "report_format": dict(report_format),
        "classes": list(classes),
        "fingerprints": {"tokenizer": tokenizer.fingerprint, "place_tokenizer": place_tokenizer.fingerprint},
        "extra": dict(extra or {}),
    }
    json.dumps(description, allow_nan=False)  # what cannot be written must fail before anything is
    state = {key: compact(value) for key, value in model.state_dict().items()}
    write_state_dict(folder / "model.pt", state)
    tokenizer.save(folder / "tokenizer")
    if place_tokenizer.fingerprint != tokenizer.fingerprint:
        place_tokenizer.save(folder / "place_tokenizer")
    write_json_atomic(folder / "generator.json", description)
    return folder


def read_generator_json(path: str | os.PathLike[str]) -> GeneratorDescription:
    """Read `generator.json`.

    Raises:
        WeightsError: it is damaged, or of a later format.
        FileNotFoundError: there is no such file.
    """
    return read_description(path, _generator_description, version=FORMAT_VERSION, what="a report generator")


def _generator_description(content: Mapping[str, Any]) -> GeneratorDescription:
    return GeneratorDescription(
        generator=dict(content["generator"]),
        decoder=dict(content["decoder"]),
        report_encoder=content.get("report_encoder"),
        preprocess=PreprocessSpec.from_dict(content["preprocess"]),
        report_format=dict(content["report_format"]),
        classes=tuple(str(name) for name in content["classes"]),
        package_version=str(content["package_version"]),
        fingerprints={name: str(content["fingerprints"][name]) for name in ("tokenizer", "place_tokenizer")},
        extra=dict(content.get("extra") or {}),
    )
