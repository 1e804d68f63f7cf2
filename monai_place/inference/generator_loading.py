"""From a folder to a report generator that is ready, strictly: nothing is fetched and nothing is unpickled."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from monai_place.data.report_format import ReportFormat
from monai_place.data.tokens import ReportTokenizer
from monai_place.inference.loading import build_place
from monai_place.networks import ReportGenerator
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.reading import ImageReading
from monai_place.weights import PlaceDescription, WeightsError, load_weights, read_state_dict
from monai_place.weights.generator_folder import GeneratorDescription, read_generator_json

__all__ = ["LoadedGenerator", "find_generator_folder", "load_generator"]

# Where a generator lies within what a user may point at: its folder, a run of `train-report`, a bundle.
PLACES = ("", "generator", "report/generator")


@dataclass(frozen=True)
class LoadedGenerator:
    """A report generator with all that belongs to it.

    Args:
        model: in evaluation mode.
        preprocess: how a radiograph becomes its input.
        tokenizer: of the decoder.
        place_tokenizer: of PLACE's report encoder.
        report_format: of what it writes.
        classes: findings of the data it was trained on.
        metadata: `package_version` and what the writer added.
        reading: how a file becomes a picture.
    """

    model: ReportGenerator
    preprocess: PreprocessSpec
    tokenizer: ReportTokenizer
    place_tokenizer: ReportTokenizer
    report_format: ReportFormat
    classes: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    reading: ImageReading = field(default_factory=ImageReading)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.kind_tokens.device

    @property
    def pick_temperature(self) -> float:
        """Temperature of a sentence's choice among the observations in pretraining; 0.1 where it is not known."""
        return float((self.metadata.get("loss") or {}).get("pick_temperature", 0.1))


def find_generator_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder of the report generator that `path` means.

    Args:
        path: the folder, a run of `monai-place train-report`, or the root of a bundle.

    Raises:
        FileNotFoundError: there is none; the message says where it was looked for.
    """
    start = Path(path)
    if not start.exists():
        raise FileNotFoundError(f"{start.name!r} does not exist; expected the folder of a report generator")
    for place in PLACES:
        if (start / place / "generator.json").is_file():
            return start / place
    looked = ", ".join(f"{place}/generator.json".lstrip("/") for place in PLACES)
    raise FileNotFoundError(f"{start.name!r} holds no report generator; looked for {looked}")


def load_generator(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu", reading: ImageReading | None = None
) -> LoadedGenerator:
    """Load a report generator.

    Args:
        path: see `find_generator_folder`.
        device: where the model goes.
        reading: a team's own reader and steps; None takes ours.

    Raises:
        FileNotFoundError: there is no generator, or a part of it is missing.
        WeightsError: a part is damaged, or the parts do not belong together.
    """
    folder = find_generator_folder(path)
    description = read_generator_json(folder / "generator.json")
    try:
        report_format = ReportFormat(**description.report_format)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{folder.name}/generator.json: report_format: {error}") from None
    tokenizer = _tokenizer(folder, "tokenizer", description, report_format.max_tokens)
    shared = description.fingerprints["place_tokenizer"] == tokenizer.fingerprint
    longest = int(description.generator["place"].get("max_tokens", report_format.max_tokens))
    place_tokenizer = (
        tokenizer.resized(longest) if shared else _tokenizer(folder, "place_tokenizer", description, longest)
    )
    model = _build(description, folder.name)
    try:
        load_weights(model, read_state_dict(folder / "model.pt"))
    except WeightsError as error:
        raise WeightsError(f"{folder.name}/model.pt: {error}") from None
    return LoadedGenerator(
        model=model.to(device).eval(),
        preprocess=description.preprocess,
        tokenizer=tokenizer,
        place_tokenizer=place_tokenizer,
        report_format=report_format,
        classes=description.classes,
        metadata={"package_version": description.package_version, **description.extra},
        reading=reading or ImageReading(),
    )


def _tokenizer(folder: Path, name: str, description: GeneratorDescription, max_tokens: int) -> ReportTokenizer:
    tokenizer = ReportTokenizer.from_pretrained(folder / name, max_tokens=max_tokens)
    if tokenizer.fingerprint != description.fingerprints[name]:
        raise WeightsError(
            f"{folder.name}/{name} is not the one that the model was trained with: fingerprint "
            f"{tokenizer.fingerprint[:12]}, generator.json says {description.fingerprints[name][:12]}"
        )
    return tokenizer


def _build(description: GeneratorDescription, name: str) -> ReportGenerator:
    encoder = PlaceDescription(
        model=description.generator["place"],
        preprocess=description.preprocess,
        classes=description.classes,
        package_version=description.package_version,
        tokenizer_fingerprint=description.fingerprints["place_tokenizer"],
        report_encoder=description.report_encoder,
    )
    place = build_place(encoder, f"{name}/generator.json")
    try:
        return ReportGenerator(description.generator, place=place, decoder=description.decoder)
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{name}/generator.json: no model can be built from it: {error}") from None
