from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from monai_place.data.datalist import SPLITS, load_records, read_datalist
from monai_place.data.phantom import PHANTOM_CLASSES, render_study, write_phantom
from monai_place.data.verify import verify_datalist


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom")
    write_phantom(path, studies=30, size=64, seed=11)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_records(folder: Path) -> list[dict[str, Any]]:
    return [record for _, _, record in read_datalist(folder / "datalist.json").records()]


def test_the_datalist_names_the_classes_and_every_study_once(folder: Path) -> None:
    datalist = read_datalist(folder / "datalist.json")
    assert datalist.classes == list(PHANTOM_CLASSES)
    assert datalist.image_root == "."
    assert sorted(record["id"] for record in all_records(folder)) == [f"s{index:06d}" for index in range(30)]


def test_every_file_that_a_record_names_is_there_and_no_other(folder: Path) -> None:
    named = {"datalist.json", *(f"coco_{split}.json" for split in SPLITS)}
    for record in all_records(folder):
        named |= {record["image"], record["mask"], *(finding["mask"] for finding in record["findings"])}
    assert named == set(tree(folder))


def test_the_files_hold_what_was_rendered(folder: Path) -> None:
    for record in all_records(folder)[:6]:
        study = render_study(11, int(record["id"][1:]), size=64)
        np.testing.assert_array_equal(
            np.asarray(Image.open(folder / record["image"])), np.rint(study.image * 255).astype(np.uint8)
        )
        np.testing.assert_array_equal(np.asarray(Image.open(folder / record["mask"])), study.class_mask())
        for finding, drawn in zip(record["findings"], study.findings, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(folder / finding["mask"])) == 255, drawn.mask)
            assert finding["box"] == list(drawn.box)
        assert record["report"] == study.report
        assert record["label"] == list(study.label)
        assert record["view"] == "PA"


def test_a_record_agrees_with_itself(folder: Path) -> None:
    for record in all_records(folder):
        assert record["boxes"] == [finding["box"] for finding in record["findings"]]
        assert record["box_classes"] == [finding["class"] for finding in record["findings"]]
        assert record["label"] == [int(name in record["box_classes"]) for name in PHANTOM_CLASSES]
        assert [key for key in ("text", "section", "finding", "polarity") if key not in record["sentences"][0]] == []


def test_records_load_for_training(folder: Path) -> None:
    records = load_records(folder / "datalist.json", "training", require=("image", "report", "label", "mask"))
    assert len(records) == len(read_datalist(folder / "datalist.json").splits["training"])
    assert Path(records[0]["image"]).is_file()


def test_no_patient_is_in_two_splits_and_some_have_two_studies(folder: Path) -> None:
    patients = {
        split: [record["patient_id"] for record in records]
        for split, records in read_datalist(folder / "datalist.json").splits.items()
    }
    assert not set(patients["training"]) & set(patients["validation"])
    assert not set(patients["training"]) & set(patients["test"])
    assert not set(patients["validation"]) & set(patients["test"])
    assert len({patient for names in patients.values() for patient in names}) < 30


@pytest.mark.parametrize(
    ("fractions", "counts"),
    [((0.7, 0.1, 0.2), (21, 3, 6)), ((0.5, 0.25, 0.25), (15, 7, 8)), ((1.0, 0.0, 0.0), (30, 0, 0))],
)
def test_the_splits_have_the_shares_that_were_asked_for(
    folder: Path, tmp_path: Path, fractions: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    path = write_phantom(tmp_path, studies=30, size=48, seed=11, fractions=fractions)
    assert [len(read_datalist(path).splits[split]) for split in SPLITS] == pytest.approx(counts, abs=1)


def test_verification_finds_no_fault(folder: Path) -> None:
    assert verify_datalist(folder / "datalist.json") == []


@pytest.mark.parametrize("split", SPLITS)
def test_the_coco_file_of_a_split_has_its_boxes(folder: Path, split: str) -> None:
    coco = COCO(str(folder / f"coco_{split}.json"))
    records = read_datalist(folder / "datalist.json").splits[split]
    assert [coco.imgs[number]["file_name"] for number in coco.getImgIds()] == [record["image"] for record in records]
    assert len(coco.anns) == sum(len(record["boxes"]) for record in records)
    for annotation in coco.anns.values():
        x, y, width, height = annotation["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + width <= 64
        assert y + height <= 64


@pytest.mark.dist
def test_the_number_of_workers_does_not_change_a_byte(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, studies=30, size=64, seed=11, workers=2)
    assert tree(tmp_path) == tree(folder)


@pytest.mark.parametrize(("image_format", "suffix"), [("dicom", ".dcm"), ("nifti", ".nii.gz")])
def test_other_formats_change_the_images_only(folder: Path, tmp_path: Path, image_format: Any, suffix: str) -> None:
    write_phantom(tmp_path, studies=4, size=64, seed=11, image_format=image_format)
    files = tree(tmp_path)
    assert len([name for name in files if name.endswith(suffix)]) == 4
    assert files["masks/s000002.png"] == tree(folder)["masks/s000002.png"]


def test_a_write_that_is_aborted_leaves_no_datalist(tmp_path: Path) -> None:
    def stop(done: int, studies: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path, studies=10, size=48, seed=0, progress=stop)
    assert (tmp_path / "images").is_dir()
    assert not list(tmp_path.glob("*.json"))


def test_an_aborted_overwrite_does_not_leave_the_old_datalist(tmp_path: Path) -> None:
    write_phantom(tmp_path, studies=3, size=48, seed=0)

    def stop(done: int, studies: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path, studies=3, size=48, seed=1, overwrite=True, progress=stop)
    assert not (tmp_path / "datalist.json").exists()


def test_a_data_set_is_not_overwritten_unasked(tmp_path: Path) -> None:
    first = write_phantom(tmp_path, studies=2, size=48, seed=0).read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_phantom(tmp_path, studies=2, size=48, seed=1)
    assert (tmp_path / "datalist.json").read_bytes() == first
    assert write_phantom(tmp_path, studies=2, size=48, seed=1, overwrite=True).read_bytes() != first


def test_progress_counts_every_study(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_phantom(tmp_path, studies=9, size=48, seed=0, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 9), (9, 9)]


def test_a_study_of_224_pixels_costs_at_most_60_ms_of_one_core(tmp_path: Path) -> None:
    render_study(0, 0, size=224)  # fills the caches
    start = time.process_time()
    write_phantom(tmp_path, studies=10, size=224, seed=0)
    assert (time.process_time() - start) / 10 < 0.06


def test_one_study_is_a_data_set(tmp_path: Path) -> None:
    content = json.loads(write_phantom(tmp_path, studies=1, size=48, seed=0).read_text(encoding="utf-8"))
    assert sum(len(content[split]) for split in SPLITS) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"studies": 0}, "studies must be 1 or more, got 0", id="studies"),
        pytest.param({"size": 10}, "size must be 48 or more, got 10", id="size"),
        pytest.param({"seed": -1}, "seed must be 0 or more, got -1", id="seed"),
        pytest.param({"workers": -1}, "workers must be 0 or more, got -1", id="workers"),
        pytest.param({"image_format": "bmp"}, "must be one of png, dicom, nifti, got 'bmp'", id="format"),
        pytest.param({"bits": 12}, "bits must be 8 or 16, got 12", id="bits"),
        pytest.param({"fractions": (0.5, 0.1, 0.1)}, "fractions must be 3 shares that sum to 1", id="fractions"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_phantom(tmp_path, **({"studies": 2, "size": 48, "seed": 0} | arguments))
    assert not list(tmp_path.iterdir())
