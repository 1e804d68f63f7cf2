"""From a folder to a model that is ready: where the weights lie, and that all parts belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from monai_place.data.tokens import ReportTokenizer
from monai_place.networks import PLACEConfig, PLACEModel
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.reading import ImageReading
from monai_place.weights import (
    PlaceDescription,
    WeightsError,
    load_weights,
    read_place_json,
    read_state_dict,
)

__all__ = ["LoadedPLACE", "build_place", "find_model_folder", "load_place"]

# The prompts that a zero-shot classifier compares images with: a part of its own beside the model's, in `model.pt` and
# in the `extra` of `place.json`.
PROMPT_BANK = "prompt_bank"

# Where a model folder lies within what a user may point at: the folder itself, a run (`model/` holds the best
# checkpoint), a bundle, a run of checkpoints.
PLACES = ("", "model", "models", "models/place", "best", "last")


@dataclass(frozen=True)
class LoadedPLACE:
    """A model with all that belongs to it.

    Args:
        model: in evaluation mode.
        preprocess: how a radiograph becomes its input.
        tokenizer: of its reports.
        classes: findings of the data it was trained on.
        metadata: `package_version`, `tokenizer_fingerprint` and what the writer added. Its `loss`, where it is there,
            holds the `temperature` and `pick_temperature` of PCMA in training; its `reading`, the names of the reader
            and the steps that made its pictures.
        reading: how a file becomes a picture.
    """

    model: PLACEModel
    preprocess: PreprocessSpec
    tokenizer: ReportTokenizer
    classes: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    reading: ImageReading = field(default_factory=ImageReading)

    @property
    def local_temperature(self) -> float:
        """Temperature of the PCMA contrast in training; 0.1, the default of the loss, where it is not known."""
        return float((self.metadata.get("loss") or {}).get("temperature", 0.1))

    @property
    def pick_temperature(self) -> float:
        """Temperature of a sentence's choice among the observations in training; 0.1 where it is not known."""
        return float((self.metadata.get("loss") or {}).get("pick_temperature", 0.1))


def find_model_folder(path: str | os.PathLike[str]) -> Path:
    """Return the model folder that `path` means.

    Args:
        path: a model folder or a file in it, a run folder (its `model/`), or the root of a bundle (its `models/`).

    Raises:
        FileNotFoundError: there is none; the message says where it was looked for.
    """
    start = Path(path)
    if not start.exists():
        raise FileNotFoundError(f"{start.name!r} does not exist; expected a model folder")
    folder = start if start.is_dir() else start.parent
    for place in PLACES if start.is_dir() else ("",):
        if (folder / place / "place.json").is_file():
            return folder / place
    looked = (
        ", ".join(f"{place}/place.json".lstrip("/") for place in PLACES) if start.is_dir() else "place.json beside it"
    )
    raise FileNotFoundError(f"{start.name!r} holds no model of PLACE; looked for {looked}")


def load_place(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu", reading: ImageReading | None = None
) -> LoadedPLACE:
    """Load a pretrained model; nothing is fetched and nothing is unpickled.

    Args:
        path: see `find_model_folder`.
        device: where the model goes.
        reading: a team's own reader and steps; None takes ours. Those of the training are not found by themselves:
            nothing that a model folder names is ever imported.

    Raises:
        FileNotFoundError: there is no model, or a part of it is missing.
        WeightsError: a part is damaged, or the parts do not belong together.
    """
    folder = find_model_folder(path)
    description = read_place_json(folder / "place.json")
    tokenizer = ReportTokenizer.from_pretrained(folder / "tokenizer", max_tokens=description.model.get("max_tokens"))
    if tokenizer.fingerprint != description.tokenizer_fingerprint:
        raise WeightsError(
            f"{folder.name}/tokenizer is not the one that the model was trained with: fingerprint "
            f"{tokenizer.fingerprint[:12]}, place.json says {description.tokenizer_fingerprint[:12]}"
        )
    model = build_place(description, f"{folder.name}/place.json")
    try:
        state = read_state_dict(folder / "model.pt")
        load_weights(model, {key: value for key, value in state.items() if not key.startswith(f"{PROMPT_BANK}.")})
    except WeightsError as error:
        raise WeightsError(f"{folder.name}/model.pt: {error}") from None
    return LoadedPLACE(
        model=model.to(device).eval(),
        preprocess=description.preprocess,
        tokenizer=tokenizer,
        classes=description.classes,
        metadata={
            "package_version": description.package_version,
            "tokenizer_fingerprint": description.tokenizer_fingerprint,
            **description.extra,
        },
        reading=reading or ImageReading(),
    )


def build_place(description: PlaceDescription, name: str) -> PLACEModel:
    """Build the model with random weights; a BERT of the hub is built from its saved config, without the hub.

    Args:
        description: of the model.
        name: of its file, for errors.

    Raises:
        WeightsError: no model can be built from it.
    """
    try:
        config = PLACEConfig.from_dict(description.model)
        if description.report_encoder is None:
            return PLACEModel(config)
        bert: Mapping[str, Any] = description.report_encoder
        local = config.replace(
            report_name=None,
            vocab_size=bert["vocab_size"],
            report_width=bert["hidden_size"],
            report_depth=1,
            report_heads=1,
        )
        model = PLACEModel(local)
        model.report_encoder.bert = _bert(bert)
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{name}: no model can be built from it: {error}") from None
    model.config = config
    return model


def _bert(values: Mapping[str, Any]) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModel

    settings = {key: value for key, value in values.items() if key != "model_type"}
    config = AutoConfig.for_model(values["model_type"], **settings)
    bert: torch.nn.Module = AutoModel.from_config(config, add_pooling_layer=False)
    return bert
