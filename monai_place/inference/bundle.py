"""From a trained model folder to a MONAI bundle that describes itself, and its evaluation as one call."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_place.atomic import write_json_atomic, write_text_atomic
from monai_place.data.datalist import load_records, read_datalist
from monai_place.engines.bundle import add_bundle_files
from monai_place.engines.ranks import run_on_first_rank
from monai_place.inference.classifier import PLACEFindingClassifier, ScoreMode, image_fields
from monai_place.inference.collect import fit_location_prior
from monai_place.inference.evaluate import evaluate_place
from monai_place.inference.export import build_classifier
from monai_place.inference.loading import PROMPT_BANK, load_place
from monai_place.inference.predictor import PLACEPredictor
from monai_place.inference.prompts import PromptSet
from monai_place.inference.results import Classification
from monai_place.inference.writers import write_overlays
from monai_place.networks import PLACEConfig
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.reading import ImageReading
from monai_place.weights import PlaceDescription, WeightsError, read_place_json, read_state_dict
from monai_place.weights.writing import write_state_dict

__all__ = [
    "add_prompt_bank",
    "bundle_classifier",
    "complete_bundle",
    "describe_classifier",
    "evaluate_bundle",
    "ground_folder",
    "load_classifier_weights",
]

logger = logging.getLogger(__name__)

# What MONAI's parser would take for an expression, a reference or a macro: class names come with the data.
NOT_FOR_A_CONFIG = re.compile(r"[$@%#:]")


def complete_bundle(
    folder: str | os.PathLike[str],
    *,
    bundle_root: str | os.PathLike[str] | None = None,
    model_dir: str | os.PathLike[str] | None = None,
    findings: Sequence[str] | PromptSet | None = None,
) -> bool:
    """Make the folder of a training run a whole bundle, which MONAI's commands take as it is.

    The prompts go into the weights (`add_prompt_bank`), configs, docs and license are copied where they are missing,
    and `configs/metadata.json` tells what these weights are: MONAI builds the network of `inference.json` from there,
    since it does not say where the bundle lies. On several ranks all have to call it; the first works.

    Args:
        folder: of the run.
        bundle_root: the bundle whose files are copied; None takes the package's.
        model_dir: of the model; None takes the folder's `models`. Of a model elsewhere only the prompts are added.
        findings: see `add_prompt_bank`.

    Returns:
        Whether the bundle is complete; false without a model or without findings, which is logged.
    """
    run, models = Path(folder), Path(model_dir) if model_dir is not None else Path(folder, "models")
    if not (models / "place.json").is_file():
        logger.warning("there is no model in %r; the bundle is not complete", models.name)
        return False
    if findings is None and not read_place_json(models / "place.json").classes:
        logger.warning("the model has no classes; name the findings to look for with complete_bundle(..., findings=)")
        return False

    def work() -> None:
        add_prompt_bank(models, findings)
        if models.resolve() != (run / "models").resolve():
            return
        add_bundle_files(run, bundle_root)
        _describe_in_metadata(run / "configs" / "metadata.json", read_place_json(models / "place.json"))

    run_on_first_rank(work)
    return models.resolve() == (run / "models").resolve()


def add_prompt_bank(
    folder: str | os.PathLike[str], findings: Sequence[str] | PromptSet | None = None, *, mode: ScoreMode = "mean"
) -> None:
    """Put the embedded prompts of findings into a model folder, so that its images can be classified without text.

    `model.pt` then holds them under `prompt_bank.`, beside all that it held; `place.json` tells the prompts. An earlier
    bank is replaced.

    Args:
        folder: a model folder, such as a bundle's `models`.
        findings: names, or prompts; None takes the classes that the model was trained on.
        mode: see `PLACEFindingClassifier`.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: no findings are given, and the model has no classes.
    """
    folder = Path(folder)
    loaded = load_place(folder)
    classifier = build_classifier(loaded, findings, mode=mode)
    bank = {f"{PROMPT_BANK}.{key}": value for key, value in classifier.prompt_bank.state_dict().items()}
    state = {key: value for key, value in read_state_dict(folder / "model.pt").items() if key not in bank}
    write_state_dict(folder / "model.pt", {key: value.clone() for key, value in (state | bank).items()})
    arguments = classifier.arguments()
    del arguments["config"]  # it stands in place.json already
    content = json.loads((folder / "place.json").read_text(encoding="utf-8"))
    content["extra"] = {**content.get("extra", {}), PROMPT_BANK: arguments}
    write_json_atomic(folder / "place.json", content)
    logger.info("prompts of %d findings added to %r", len(classifier.classes), folder.name)


def describe_classifier(description: PlaceDescription) -> dict[str, Any]:
    """Return the arguments of the `PLACEFindingClassifier` that a model folder's weights fit.

    Args:
        description: from `read_place_json`.

    Raises:
        WeightsError: the folder has no prompts.
    """
    bank = description.extra.get(PROMPT_BANK)
    if not bank:
        raise WeightsError("place.json tells of no prompts; monai_place.inference.add_prompt_bank(folder) adds them")
    return {"config": image_fields(PLACEConfig.from_dict(description.model)), **bank}


def bundle_classifier(folder: str | os.PathLike[str]) -> PLACEFindingClassifier:
    """Return the zero-shot classifier of a model folder, with its weights, without the text side.

    Args:
        folder: such as a bundle's `models`.

    Raises:
        FileNotFoundError: there is no model.
        WeightsError: it has no prompts, or a part is damaged.
    """
    network = PLACEFindingClassifier(**describe_classifier(read_place_json(Path(folder) / "place.json")))
    load_classifier_weights(network, folder)
    return network.eval()


def load_classifier_weights(
    network: PLACEFindingClassifier,
    folder: str | os.PathLike[str],
    *,
    preprocess: PreprocessSpec | None = None,
    reading: ImageReading | None = None,
) -> None:
    """Load the weights of a model folder into a classifier that was built from a bundle's metadata, strictly.

    Args:
        network: takes the weights, and the true names of its classes.
        folder: such as a bundle's `models`.
        preprocess: what images will be prepared with; None does not compare it.
        reading: how files will be read; another way than in training is logged. None does not compare it.

    Raises:
        FileNotFoundError: there is no model.
        WeightsError: it has no prompts, a part is damaged, or the network or the preprocessing is another one than
            that of the weights.
    """
    folder = Path(folder)
    if not (folder / "place.json").is_file():
        raise FileNotFoundError(f"{folder.name!r} holds no weights (place.json); train first, see the bundle's README")
    description = read_place_json(folder / "place.json")
    expected = {**describe_classifier(description), "mode": network.mode}  # the mode may be chosen anew
    found = {**network.arguments(), "classes": [_plain(name) for name in network.classes]}
    if found != {**expected, "classes": [_plain(name) for name in expected["classes"]]}:
        different = sorted(key for key in expected if key != "classes" and expected[key] != found[key]) or ["classes"]
        raise WeightsError(
            f"metadata.json describes another network than {folder.name}/place.json: {different} differ; write it anew "
            "with monai_place.inference.complete_bundle(folder of the bundle)"
        )
    if preprocess is not None and preprocess != description.preprocess:
        raise WeightsError(f"the weights were trained with {description.preprocess}, images get {preprocess}")
    if reading is not None:
        reading.warn_if_other_than(description.extra.get("reading"))
    try:
        network.load_state_dict(read_state_dict(folder / "model.pt"))
    except RuntimeError as error:
        raise WeightsError(f"{folder.name}/model.pt does not fit the network: {error}") from None
    network.classes = list(expected["classes"])


def evaluate_bundle(
    folder: str | os.PathLike[str],
    datalist: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    split: str = "test",
    limit: int | None = None,
    batch_size: int = 64,
    bootstrap: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    reading: ImageReading | None = None,
) -> dict[str, Any]:
    """Measure a model on a split, see `evaluate_place`, and write the numbers as JSON.

    Args:
        folder: of the model, such as a bundle's `models`.
        datalist: the data.
        output: file to write.
        split: `training`, `validation` or `test`.
        limit: the first so many records only.
        batch_size: studies at a time.
        bootstrap: resamples of the intervals.
        seed: of the bootstrap.
        device: where the model runs.
        reading: a team's own reader and steps; None takes ours.

    Raises:
        ValueError: the split is empty, or none of its images can be read.
    """
    values = evaluate_place(
        load_place(folder, device=device, reading=reading),
        load_records(datalist, split, limit=limit),
        classes=read_datalist(datalist).classes,
        # None where no finding has a mask; the prior is that of the training split, whatever is measured.
        prior=fit_location_prior(load_records(datalist, "training")),
        batch_size=batch_size,
        bootstrap=bootstrap,
        seed=seed,
    )
    write_json_atomic(output, values)
    logger.info("%d studies of split %r measured: %s", values["studies"], split, Path(output).name)
    return values


def ground_folder(
    folder: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    found: Classification,
    sentences: Sequence[str],
    *,
    output: str | os.PathLike[str],
    render: Callable[..., Any] | None = None,
    device: torch.device | str = "cpu",
    reading: ImageReading | None = None,
) -> list[Path]:
    """Write where images show what sentences say, one picture an image and sentence.

    Args:
        folder: of the model, such as a bundle's `models`.
        dataset_dir: of the images.
        found: the results of a run on this folder; its images are grounded.
        sentences: what to look for.
        output: folder for the pictures.
        render: see `write_overlays`.
        device: where the model runs.
        reading: a team's own reader and steps; None takes ours.
    """
    predictor = PLACEPredictor(load_place(folder, device=device, reading=reading))
    files: list[Path] = []
    for result in found.results:
        path = Path(dataset_dir, result.source)
        grounded = [replace(entry, source=result.source) for entry in predictor.ground(path, list(sentences))]
        picture = predictor.loaded.reading.read(path)[0].numpy()
        files += write_overlays(output, picture, grounded, render=render)
    logger.info("%d overlays of %d sentences written; not a medical device", len(files), len(sentences))
    return files


def _describe_in_metadata(path: Path, description: PlaceDescription) -> None:
    """Tell in the bundle's metadata what its weights are; a file that says so already is left alone."""
    content = json.loads(path.read_text(encoding="utf-8"))
    described = {**content, **_metadata(content, description)}
    if described != content:
        write_text_atomic(path, json.dumps(described, indent=4, ensure_ascii=False, allow_nan=False) + "\n")


def _metadata(content: Mapping[str, Any], description: PlaceDescription) -> dict[str, Any]:
    spec, classifier = description.preprocess, describe_classifier(description)
    classifier["classes"] = [_plain(name) for name in classifier["classes"]]
    formats = content["network_data_format"]
    image = {
        **formats["inputs"]["image"],
        "spatial_shape": [spec.image_size, spec.image_size],
        "value_range": [round((bound - spec.mean) / spec.std, 6) for bound in (0, 1)],
    }
    pred = {
        **formats["outputs"]["pred"],
        "num_channels": len(classifier["classes"]),
        "channel_def": {str(index): name for index, name in enumerate(classifier["classes"])},
    }
    return {
        "network_data_format": {**formats, "inputs": {"image": image}, "outputs": {"pred": pred}},
        "place": {"classifier": classifier, "preprocess": spec.to_dict()},
    }


def _plain(name: str) -> str:
    """Return a class name in which MONAI's parser finds nothing to evaluate."""
    return NOT_FOR_A_CONFIG.sub("_", name)
