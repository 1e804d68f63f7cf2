from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import Dataset, MetaTensor
from monai.transforms import Compose, Invertd, Transform
from PIL import Image

from monai_place.preprocess import PreprocessSpec
from monai_place.transforms import image_transforms

CONFIG = """
{
  "image_size": 48,
  "preprocessing": {
    "_target_": "Compose",
    "transforms": [
      {"_target_": "monai_place.transforms.LoadRadiographd", "keys": "image", "mask_keys": "mask"},
      {"_target_": "monai_place.transforms.FitRadiographd", "keys": "image", "mask_keys": "mask",
       "image_size": "@image_size", "resize_rule": "pad", "boxes_key": "boxes", "box_label_keys": "box_classes"},
      {"_target_": "monai_place.transforms.RandRadiographAffined", "keys": "image", "mask_keys": "mask", "prob": 1.0,
       "boxes_key": "boxes", "box_label_keys": "box_classes"},
      {"_target_": "monai_place.transforms.RandRadiographIntensityd", "keys": "image", "prob": 1.0},
      {"_target_": "monai_place.transforms.NormalizeRadiographd", "keys": "image", "mean": 0.5, "std": 0.25}
    ]
  }
}
"""


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    pixels = np.zeros((60, 80), dtype=np.uint8)
    pixels[20:40, 50:70] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray((pixels > 0).astype(np.uint8)).save(tmp_path / "m.png")
    paths = {"image": str(tmp_path / "a.png"), "mask": str(tmp_path / "m.png")}
    return {"id": "a", **paths, "boxes": [[50, 20, 70, 40]], "box_classes": ["nodule"]}


def test_all_transforms_are_built_from_bundle_json_and_keep_in_step(record: dict[str, Any]) -> None:
    parser = ConfigParser(json.loads(CONFIG))
    parser.parse()
    chain = parser.get_parsed_content("preprocessing").set_random_state(seed=2)
    data = chain(record)
    assert data["image"].shape == data["mask"].shape == (1, 48, 48)
    bright = data["image"].as_tensor() * 0.25 + 0.5 > 0.4
    assert (bright != (data["mask"].as_tensor() == 1)).sum() <= 12
    rows, columns = np.nonzero(np.asarray(data["mask"][0]))
    around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(data["boxes"][0], around, atol=1.5)
    assert data["box_classes"] == ["nodule"]
    assert chain.inverse(data)["image"].shape == (1, 60, 80)


def test_the_list_without_augmentation_is_deterministic_and_follows_its_spec(record: dict[str, Any]) -> None:
    spec = PreprocessSpec(image_size=32, mean=0.4, std=0.2, resize_rule="crop")
    chain = Compose(image_transforms(spec, mask_keys=("mask",)))
    first, second = chain(record), chain(record)
    assert torch.equal(first["image"], second["image"])
    assert first["image"].shape == first["mask"].shape == (1, 32, 32)
    assert float(first["image"].min()) == pytest.approx(-2.0)
    assert float(first["image"].max()) == pytest.approx((200 / 255 - 0.4) / 0.2, abs=0.01)


def test_augmentation_differs_from_call_to_call_and_repeats_by_seed(record: dict[str, Any]) -> None:
    chain = Compose(image_transforms(PreprocessSpec(image_size=32), augment=True))
    runs = []
    for _ in range(2):
        chain.set_random_state(seed=4)
        runs.append([chain(record)["image"].as_tensor() for _ in range(4)])
    assert all(map(torch.equal, *runs))
    assert not torch.equal(runs[0][0], runs[0][1])


def test_a_dot_planted_in_a_map_lands_on_its_pixel_of_a_picture_that_is_not_square(record: dict[str, Any]) -> None:
    for rule in ("pad", "crop"):
        chain = Compose(image_transforms(PreprocessSpec(image_size=160, resize_rule=rule)))  # type: ignore[arg-type]
        data = chain(record)
        rows, columns = np.nonzero(np.asarray(data["image"][0]) > 0)
        marked = torch.zeros(1, 160, 160)
        marked[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1
        data["map"] = MetaTensor(marked)
        back = Invertd("map", chain, orig_keys="image", nearest_interp=False)(data)["map"]
        rows, columns = np.nonzero(np.asarray(back[0]) > 0.5)
        assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (20, 40, 50, 70)
        assert 0 <= float(back.min()) <= float(back.max()) <= 1.0001


@pytest.mark.parametrize("index", range(1, 5))
def test_every_transform_leaves_its_input_and_takes_plain_tensors(index: int, record: dict[str, Any]) -> None:
    steps: list[Transform] = image_transforms(PreprocessSpec(image_size=32), augment=True)
    image = torch.rand(1, 32, 32)
    for kind in (torch.Tensor, MetaTensor):
        given = kind(image) if kind is MetaTensor else image
        before = image.clone()
        steps[index]({"image": given})  # type: ignore[operator]
        assert torch.equal(image, before)


def test_a_data_set_of_studies_loads_in_worker_processes(record: dict[str, Any]) -> None:
    data = Dataset([record] * 4, Compose(image_transforms(PreprocessSpec(image_size=16), augment=True)))
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    assert [item["image"].shape for item in loader] == [(1, 16, 16)] * 4
