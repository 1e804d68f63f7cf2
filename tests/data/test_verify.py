from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import DatalistError
from monai_place.data.verify import Fault, verify_datalist

HEIGHT, WIDTH = 6, 9


def picture(path: Path, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    Image.fromarray(np.zeros(shape, dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png")
    picture(tmp_path / "m.png")
    picture(tmp_path / "turned.png", (WIDTH, HEIGHT))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "report.txt").write_text("Heart normal.")
    return tmp_path


def record(**changes: Any) -> dict[str, Any]:
    sound = {
        "id": "a",
        "image": "a.png",
        "patient_id": "p1",
        "report": "No effusion.",
        "label": [0, 1, None],
        "mask": "m.png",
        "boxes": [[0, 0, WIDTH, HEIGHT], [1.5, 2, 3, 4]],
        "box_classes": ["nodule", 2],
        "findings": [{"class": "nodule", "mask": "m.png", "box": [1, 1, 2, 2]}],
    }
    return {key: value for key, value in (sound | changes).items() if value != "absent"}


def write(folder: Path, **splits: list[Any]) -> Path:
    path = folder / "datalist.json"
    content = {"image_root": ".", "classes": ["x", "y", "z"], "training": [], "validation": [], "test": []}
    path.write_text(json.dumps(content | splits))
    return path


def test_a_sound_datalist_has_no_fault(folder: Path) -> None:
    rest = [{"id": "b", "image": "turned.png"}, record(id="c", report=None, report_path="report.txt", label=None)]
    assert verify_datalist(write(folder, training=[record(), *rest])) == []


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        pytest.param({"image": "gone.png"}, "image", "file 'gone.png' does not exist", id="missing image"),
        pytest.param({"image": "text.png"}, "image", "not a DICOM, NIfTI, PNG or JPEG", id="unreadable image"),
        pytest.param({"image": "../a.png"}, "image", "must stay under its root", id="image outside"),
        pytest.param({"image": "/etc/a.png"}, "image", "it is absolute", id="absolute image"),
        pytest.param({"image": "absent"}, "image", "is missing", id="no image key"),
        pytest.param({"image": 5}, "image", "must be str, got int", id="image kind"),
        pytest.param({"mask": "gone.png"}, "mask", "file 'gone.png' does not exist", id="missing mask"),
        pytest.param({"mask": "text.png"}, "mask", "a mask must be a PNG file", id="unreadable mask"),
        pytest.param({"mask": "../m.png"}, "mask", "must stay under its root", id="mask outside"),
        pytest.param({"mask": "turned.png"}, "mask", "the mask has 9 x 6 pixels, its image 6 x 9", id="mask size"),
        pytest.param({"report": ""}, "report", "the report is empty", id="empty report"),
        pytest.param({"report": " \n\t"}, "report", "the report is empty", id="blank report"),
        pytest.param({"report": "___ ___."}, "report", "the report is empty", id="only marks"),
        pytest.param({"report_path": "empty.txt"}, "report_path", "the report is empty", id="empty report file"),
        pytest.param({"report_path": "gone.txt"}, "report_path", "does not exist", id="missing report file"),
        pytest.param({"report_path": "../r.txt"}, "report_path", "must stay under its root", id="report outside"),
        pytest.param({"label": [0, 2, 1]}, "label", "entry 1 is 2, expected 0, 1 or null", id="label value"),
        pytest.param({"label": [0, 1, "1"]}, "label", "entry 2 is '1', expected 0, 1 or null", id="label text"),
        pytest.param({"label": [0, True, 1]}, "label", "entry 1 is True", id="label bool"),
        pytest.param({"label": [0, 1]}, "label", "has 2 entries, the datalist has 3 classes", id="label length"),
        pytest.param({"boxes": [[0, 0, 10, 6], [0, 0, 1, 1]]}, "boxes", "box 0 [0, 0, 10, 6] lies outside", id="x1"),
        pytest.param({"boxes": [[0, 0, 9, 7], [0, 0, 1, 1]]}, "boxes", "its image of 6 x 9 pixels", id="y1"),
        pytest.param({"boxes": [[0, 0, 1, 1], [-1, 0, 1, 1]]}, "boxes", "box 1 [-1, 0, 1, 1] lies outside", id="x0"),
        pytest.param({"boxes": [[3, 0, 3, 1], [0, 0, 1, 1]]}, "boxes", "is degenerate", id="no width"),
        pytest.param({"boxes": [[3, 2, 4, 1], [0, 0, 1, 1]]}, "boxes", "is degenerate", id="upside down"),
        pytest.param({"boxes": [[0, 0, 1], [0, 0, 1, 1]]}, "boxes", "expected [x0, y0, x1, y1]", id="three numbers"),
        pytest.param({"boxes": [[0, 0, 1, "2"], [0, 0, 1, 1]]}, "boxes", "expected [x0, y0, x1, y1]", id="text"),
        pytest.param({"box_classes": ["x"]}, "box_classes", "has 1 entries for 2 boxes", id="box_classes"),
        pytest.param({"box_classes": ["x", 3]}, "box_classes", "entry 1 is 3, the datalist has 3", id="class index"),
        pytest.param({"findings": [{"mask": "gone.png"}]}, "findings[0].mask", "does not exist", id="finding mask"),
        pytest.param({"findings": [{"box": [0, 0, 99, 1]}]}, "findings[0].box", "lies outside", id="finding box"),
        pytest.param({"findings": [{"mask": 3}]}, "findings[0].mask", "must be str or null, got int", id="mask kind"),
    ],
)
def test_each_fault_is_found_alone_with_its_record_and_key(
    folder: Path, changes: dict[str, Any], key: str, message: str
) -> None:
    faults = verify_datalist(write(folder, validation=[record(id="before"), record(**changes)]))
    assert [(fault.split, fault.record_id, fault.key) for fault in faults] == [("validation", "a", key)]
    assert message in faults[0].message
    assert str(folder) not in faults[0].message


def test_a_record_without_an_id_is_named_by_its_index(folder: Path) -> None:
    (fault,) = verify_datalist(write(folder, test=[record(id="b"), record(id="absent")]))
    assert fault == Fault("test", "#1", "id", "is missing")


def test_a_record_that_is_no_object_is_a_fault(folder: Path) -> None:
    (fault,) = verify_datalist(write(folder, test=["a.png"]))
    assert fault == Fault("test", "#0", "", "must be an object, got str")


def test_a_duplicate_id_is_found_within_a_split_and_across(folder: Path) -> None:
    faults = verify_datalist(write(folder, training=[record(), record()], test=[record(patient_id="p2")]))
    assert [(fault.split, fault.key) for fault in faults] == [("training", "id"), ("test", "id")]
    assert all("first used in split 'training'" in fault.message for fault in faults)


def test_a_patient_in_two_splits_is_found(folder: Path) -> None:
    records = [record(id=name) for name in "bcd"]
    (fault,) = verify_datalist(write(folder, training=records[:2], test=records[2:]))
    assert (fault.split, fault.record_id, fault.key) == ("test", "d", "patient_id")
    assert "also in split 'training'" in fault.message


def test_a_link_out_of_the_root_is_a_fault(folder: Path) -> None:
    (folder / "root").mkdir()
    (folder / "root/a.png").symlink_to(folder / "a.png")
    path = write(folder, training=[{"id": "a", "image": "a.png"}], image_root="root")  # type: ignore[arg-type]
    (fault,) = verify_datalist(path)
    assert fault.key == "image"
    assert "a link leads out of it" in fault.message


def test_all_faults_are_found_in_one_pass(folder: Path) -> None:
    bad = record(image="gone.png", mask="text.png", report="", label=[0, 7, 1], boxes=[[3, 3, 2, 2]])
    faults = verify_datalist(write(folder, training=[record(), bad], test=[record(id="c", image="text.png")]))
    assert {(fault.split, fault.record_id, fault.key) for fault in faults} == {
        *(("training", "a", key) for key in ("id", "image", "mask", "report", "label", "boxes", "box_classes")),
        ("test", "c", "patient_id"),
        ("test", "c", "image"),
    }


def test_without_images_files_are_looked_for_and_not_decoded(folder: Path) -> None:
    records = [record(image="text.png"), record(id="b", mask="turned.png"), record(id="c", image="gone.png")]
    (fault,) = verify_datalist(write(folder, training=records), images=False)
    assert (fault.record_id, fault.key) == ("c", "image")


def test_progress_is_told_after_each_record(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    path = write(folder, training=[record(), record(id="b")], test=[record(id="c", patient_id="p2")])
    verify_datalist(path, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_image_file_in_two_splits_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    verify_datalist(write(folder, training=[record()], test=[record(id="b", patient_id="p2")]))
    assert "1 image files are used in two splits" in caplog.text


def test_a_file_that_is_no_datalist_raises(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(DatalistError, match=r"list\.json: none of the splits"):
        verify_datalist(tmp_path / "list.json")
