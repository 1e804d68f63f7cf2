from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.leakage import find_near_duplicates
from monai_place.data.phantom import render_study
from monai_place.data.sources import prepare_source


def save(path: Path, pixels: Any) -> str:
    Image.fromarray((255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(path)
    return path.name


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Return a datalist with copies across splits: encoded anew, resized, and cut; and one within a split."""
    random = np.random.default_rng(0)
    images = [render_study(0, index, size=160).image for index in range(12)]
    images = [image + random.normal(0, 0.01, image.shape) for image in images]
    names = [save(tmp_path / f"{index}.png", image) for index, image in enumerate(images)]
    splits: dict[str, list[dict[str, Any]]] = {
        "training": [{"id": f"s{index}", "image": names[index], "patient_id": f"p{index}"} for index in range(8)],
        "validation": [{"id": f"s{index}", "image": names[index]} for index in (8, 9)],
        "test": [{"id": f"s{index}", "image": names[index]} for index in (10, 11)],
    }
    small = np.asarray(Image.fromarray(images[1].astype(np.float32)).resize((100, 100)))
    splits["test"] += [
        {"id": "encoded", "image": save(tmp_path / "encoded.jpg", images[0]), "patient_id": "p0"},
        {"id": "resized", "image": save(tmp_path / "resized.png", small), "patient_id": "other"},
        {"id": "cut", "image": save(tmp_path / "cut.png", images[8][2:-2, 2:-2])},
        {"id": "blank", "image": save(tmp_path / "blank.png", np.zeros((50, 50)))},
        {"id": "broken", "image": "broken.png"},
        {"id": "gone", "image": "gone.png"},
    ]
    splits["training"] += [
        {"id": "within", "image": save(tmp_path / "within.png", images[2]), "patient_id": "p2"},
        {"id": "black", "image": save(tmp_path / "black.png", np.zeros((60, 50)))},
    ]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"name": "n", "version": "1", "source": "", "image_root": ".", "classes": [], **splits}))
    return path


def test_planted_copies_are_found_and_nothing_else(planted: Path) -> None:
    report = find_near_duplicates(planted)
    found = {pair.ids: (pair.splits, pair.same_patient) for pair in report.pairs}
    assert found == {
        ("s0", "encoded"): (("training", "test"), True),
        ("s1", "resized"): (("training", "test"), False),
        ("s8", "cut"): (("validation", "test"), False),
    }
    assert [pair.distance for pair in report.pairs] == sorted(pair.distance for pair in report.pairs)
    assert report.hashed == 16
    assert report.plain == ["black", "blank"]
    assert [(split, name) for split, name, _ in report.unreadable] == [("test", "broken"), ("test", "gone")]
    assert "training" in report.faults()[0].message


def test_processes_and_the_cache_give_the_same(planted: Path, tmp_path: Path) -> None:
    expected = find_near_duplicates(planted)
    cache = tmp_path / "hashes.jsonl"
    assert find_near_duplicates(planted, workers=2, cache=cache) == expected
    content = cache.read_bytes()
    assert content.count(b"\n") == 19
    assert find_near_duplicates(planted, cache=cache) == expected
    assert cache.read_bytes() == content


def test_the_cache_forgets_an_image_that_changed(planted: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hashes.jsonl"
    find_near_duplicates(planted, cache=cache)
    Image.open(tmp_path / "11.png").save(tmp_path / "encoded.jpg", quality=90)
    found = {pair.ids for pair in find_near_duplicates(planted, cache=cache).pairs}
    assert ("s0", "encoded") not in found


def test_one_image_used_in_two_splits_is_a_copy(planted: Path) -> None:
    content = json.loads(planted.read_text())
    content["test"] = [{"id": "again", "image": "3.png"}]
    planted.write_text(json.dumps(content))
    (pair,) = find_near_duplicates(planted).pairs
    assert (pair.ids, pair.distance) == (("s3", "again"), 0)


def test_a_distance_out_of_range_is_refused(planted: Path) -> None:
    with pytest.raises(ValueError, match="max_distance must be 0 to 256, got 300"):
        find_near_duplicates(planted, max_distance=300)


@pytest.mark.shared
def test_the_real_collection_has_no_copies_across_splits(covid19_cxr: Path, tmp_path: Path) -> None:
    path = prepare_source("covid19-cxr", covid19_cxr, tmp_path / "out").datalist
    report = find_near_duplicates(path)
    assert report.hashed > 150
    assert report.pairs == []
