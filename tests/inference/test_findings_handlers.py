"""Findings of a folder by MONAI's evaluator."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose
from PIL import Image

from monai_place.inference.bundle import add_prompt_bank, bundle_classifier
from monai_place.inference.classifier import PLACEFindingClassifier
from monai_place.inference.findings_handlers import ClassifierWeightsHandler, FindingsWriterHandler
from monai_place.inference.image_folder import ImageFolderDataset, image_records
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms import image_transforms
from tests.support.models import save_tiny_place

SPEC = PreprocessSpec(image_size=64)


def as_lists(items: list[dict[str, Any]]) -> dict[str, Any]:
    images = torch.stack([torch.as_tensor(item["image"]) for item in items])
    return {"image": images, "source": [i["source"] for i in items], "error": [i["error"] for i in items]}


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    """Return what a run over two images and a broken file, with an empty network, has made."""
    models, images = tmp_path / "models", tmp_path / "images"
    save_tiny_place(models)
    add_prompt_bank(models)
    images.mkdir()
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 255, (50, 70), dtype=np.uint8)
        Image.fromarray(picture).save(images / f"{number}.png")
    (images / "1a.dcm").write_bytes(b"broken")
    network = PLACEFindingClassifier(**bundle_classifier(models).arguments())
    dataset = ImageFolderDataset(
        image_records(images), Compose(image_transforms(SPEC)), image_size=SPEC.image_size, root=images
    )
    writer = FindingsWriterHandler(tmp_path / "out", network, model={"name": "tiny"})
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(dataset, batch_size=2, collate_fn=as_lists),
        network=network,
        inferer=SimpleInferer(),
        prepare_batch=lambda batch, *_args, **_more: (batch["image"], None),
        decollate=False,
        val_handlers=[ClassifierWeightsHandler(network, models, preprocess=SPEC), writer],
    ).run()
    return {"writer": writer, "out": tmp_path / "out", "models": models, "images": images}


def test_files_hold_the_probabilities_of_the_weights(run: dict[str, Any]) -> None:
    transform, network = Compose(image_transforms(SPEC)), bundle_classifier(run["models"])
    with (run["out"] / "findings.csv").open(encoding="utf-8") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    for name in ("0.png", "1.png"):
        image = torch.as_tensor(transform({"image": str(run["images"] / name)})["image"])
        with torch.no_grad():
            expected = network(image[None])[0]
        found = [float(rows[name][finding]) for finding in network.classes]
        assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_broken_file_is_listed_and_ends_the_process_with_1(run: dict[str, Any]) -> None:
    content = json.loads((run["out"] / "findings.json").read_text(encoding="utf-8"))
    assert [entry["source"] for entry in content["failed"]] == ["1a.dcm"]
    assert [entry["source"] for entry in content["results"]] == ["0.png", "1.png"]
    assert "not a medical device" in content["note"].lower()
    with pytest.raises(SystemExit) as ended:
        run["writer"].exit_if_failed()
    assert ended.value.code == 1
