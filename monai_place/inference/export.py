"""Weights in other forms: the backbone, and the zero-shot classifier as TorchScript, ONNX or a bundle's state dict.

Every file appears whole or not at all, and a program is compared with the network before it takes its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from monai_place.atomic import atomic_path, write_bytes_atomic
from monai_place.inference.classifier import PLACEFindingClassifier, ScoreMode
from monai_place.inference.loading import LoadedPLACE, find_model_folder, load_place
from monai_place.inference.prompts import PromptSet, prompts_for
from monai_place.weights import read_backbone
from monai_place.weights.writing import write_state_dict

__all__ = ["build_classifier", "export_backbone", "export_classifier", "export_onnx", "export_torchscript"]

TOLERANCE = 1e-4
BATCHES = (1, 3)
METADATA_NAME = "place.json"


def export_backbone(model_folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Write the image encoder alone, with its metadata, after its hash has been compared.

    Args:
        model_folder: see `find_model_folder`.
        out: file to write, ending in .safetensors.

    Raises:
        ValueError: the name ends otherwise, or the model's own file is damaged.
        FileNotFoundError: there is no model.
    """
    target = _target(out, ".safetensors")
    source = find_model_folder(model_folder) / "backbone.safetensors"
    read_backbone(source)
    write_bytes_atomic(target, source.read_bytes())
    return target


def build_classifier(
    loaded: LoadedPLACE, findings: Sequence[str] | PromptSet | None = None, *, mode: ScoreMode = "mean"
) -> PLACEFindingClassifier:
    """Make the zero-shot classifier of a model.

    The temperatures of training are read from the model's metadata (`loss`: `temperature`, `pick_temperature`), where
    they stand there.

    Args:
        loaded: the model.
        findings: names, or prompts; None takes the classes that the model was trained on.
        mode: `global`, `local` or `mean`.

    Raises:
        ValueError: no findings are given, and the model has no classes.
    """
    if not isinstance(findings, PromptSet):
        names = loaded.classes if findings is None else tuple(findings)
        if not names:
            raise ValueError("the model was trained without classes; name the findings to look for")
        findings = prompts_for(names)
    return PLACEFindingClassifier.from_place(
        loaded.model,
        loaded.tokenizer,
        findings,
        mode=mode,
        local_temperature=loaded.local_temperature,
        pick_temperature=loaded.pick_temperature,
    )


def export_classifier(
    model_folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    findings: Sequence[str] | PromptSet | None = None,
    mode: ScoreMode = "mean",
) -> dict[str, Any]:
    """Write the state dict of the zero-shot classifier, as a MONAI bundle's `models/model.pt`.

    Args:
        model_folder: see `find_model_folder`.
        out: file to write, ending in .pt.
        findings: see `build_classifier`.
        mode: see `build_classifier`.

    Returns:
        The arguments of `PLACEFindingClassifier` that the file fits, as plain JSON values for `inference.json`.
    """
    target = _target(out, ".pt")
    classifier = build_classifier(load_place(model_folder), findings, mode=mode)
    write_state_dict(target, {key: value.contiguous() for key, value in classifier.state_dict().items()})
    return classifier.arguments()


def export_torchscript(
    model_folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    findings: Sequence[str] | PromptSet | None = None,
    mode: ScoreMode = "mean",
) -> Path:
    """Write the zero-shot classifier as a TorchScript program; classes and preprocessing are its extra file.

    Args:
        model_folder: see `find_model_folder`.
        out: file to write, ending in .ts or .pt.
        findings: see `build_classifier`.
        mode: see `build_classifier`.

    Raises:
        RuntimeError: the program's results differ from the network's; nothing is written.
    """
    target = _target(out, ".ts", ".pt")
    loaded = load_place(model_folder)
    classifier = build_classifier(loaded, findings, mode=mode)
    with atomic_path(target) as temporary:
        program = torch.jit.script(classifier)
        torch.jit.save(program, temporary, _extra_files={METADATA_NAME: _describe(classifier, loaded)})
        again = torch.jit.load(temporary)
        _compare(again, classifier, loaded.preprocess.image_size, target.name)
    return target


def export_onnx(
    model_folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    findings: Sequence[str] | PromptSet | None = None,
    mode: ScoreMode = "mean",
) -> Path:
    """Write the zero-shot classifier as ONNX, for any batch size; needs `monai-place[export]`.

    Input `image` (B, 1, H, W), output `probability` (B, C). Classes and preprocessing stand in the file's metadata
    under `place.json`.

    Args:
        model_folder: see `find_model_folder`.
        out: file to write, ending in .onnx.
        findings: see `build_classifier`.
        mode: see `build_classifier`.

    Raises:
        RuntimeError: onnxruntime's results differ from the network's; nothing is written.
        ImportError: onnx, onnxruntime or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch imports it)
    except ImportError as error:
        raise ImportError(f"{error.name} is missing; install monai-place[export]") from error
    target = _target(out, ".onnx")
    loaded = load_place(model_folder)
    classifier = build_classifier(loaded, findings, mode=mode)
    size = loaded.preprocess.image_size
    with atomic_path(target) as temporary:
        torch.onnx.export(
            classifier,
            (torch.zeros(2, 1, size, size),),
            temporary,
            input_names=["image"],
            output_names=["probability"],
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        program = onnx.load(temporary)
        onnx.helper.set_model_props(program, {METADATA_NAME: _describe(classifier, loaded)})
        onnx.save(program, temporary)
        session = onnxruntime.InferenceSession(temporary.read_bytes(), providers=["CPUExecutionProvider"])

        def run(image: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

        _compare(run, classifier, size, target.name)
    return target


def _describe(classifier: PLACEFindingClassifier, loaded: LoadedPLACE) -> str:
    return json.dumps(
        {
            "classes": classifier.classes,
            "mode": classifier.mode,
            "preprocess": loaded.preprocess.to_dict(),
            "package_version": loaded.metadata["package_version"],
            "note": "Not a medical device. For research only.",
        }
    )


@torch.no_grad()
def _compare(
    run: Callable[[torch.Tensor], torch.Tensor], classifier: PLACEFindingClassifier, size: int, name: str
) -> None:
    """Raise unless a program gives the network's probabilities for batches of several sizes."""
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        image = torch.randn(batch, 1, size, size, generator=generator)
        expected, found = classifier(image), run(image)
        if found.shape != expected.shape:
            raise RuntimeError(
                f"{name}: gives {tuple(found.shape)} for a batch of {batch}, not {tuple(expected.shape)}"
            )
        if not (difference := float((found - expected).abs().max())) <= TOLERANCE:
            raise RuntimeError(f"{name}: differs from the network by {difference:.2g} for a batch of {batch}")


def _target(out: str | os.PathLike[str], *suffixes: str) -> Path:
    target = Path(out)
    if target.suffix not in suffixes:
        raise ValueError(f"{target.name!r} must end in {' or '.join(suffixes)}")
    return target
