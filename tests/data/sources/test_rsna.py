from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.rsna import EXPECTED, read_rsna
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, read_mask_of, records_by_id, write_dicom

HEADER = "patientId,x,y,width,height,Target"
IDS = [f"{index:03d}b1-2c" for index in range(20)]  # as long as they are text, ids keep their leading zeros
BOXES = {
    IDS[3]: [(2, 3, 4, 5), (9, 8, 4, 4)],
    IDS[7]: [(1, 1, 3, 9)],
    IDS[11]: [(10, 10, 20, 20)],
}  # one leaves 16 x 16


def table(newline: str = "\n", extra: Iterable[str] = ()) -> str:
    rows = [HEADER]
    for image_id in reversed(IDS):  # the publisher's is not sorted either
        boxes = BOXES.get(image_id, [])
        rows += [f"{image_id},{x}.0,{y}.0,{width}.0,{height}.0,1" for x, y, width, height in boxes]
        rows += [f"{image_id},,,,,0"] * (not boxes)
    return newline.join([*rows, *extra, ""])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree in the layout of stage 2."""
    root = tmp_path / "source"
    root.mkdir()
    (root / "stage_2_train_labels.csv").write_text(table())
    details = [f"{i},{'Lung Opacity' if i in BOXES else 'Normal'}" for i in IDS for _ in BOXES.get(i, [0])]
    (root / "stage_2_detailed_class_info.csv").write_text("\n".join(["patientId,class", *details]))
    for image_id in IDS:
        write_dicom(root / "stage_2_train_images" / f"{image_id}.dcm")
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("rsna", source, output, **{"check_counts": False, **options})


def test_the_datalist_is_sound_and_holds_every_image(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert report.splits == {"training": 12, "validation": 4, "test": 4}
    assert not report.left_out
    datalist = read_datalist(report.datalist)
    assert (datalist.classes, datalist.extra["mask_classes"]) == (["Pneumonia"], ["Pneumonia"])
    assert datalist.root == source
    assert "Planted" not in report.datalist.read_text()


def test_label_boxes_and_mask_of_an_image_say_the_same(source: Path, tmp_path: Path) -> None:
    path = prepare(source, tmp_path / "out").datalist
    records = records_by_id(path)
    ill, well = records[IDS[3]], records[IDS[4]]
    assert ill["label"] == [1]
    assert ill["boxes"] == [[2, 3, 6, 8], [9, 8, 13, 12]]
    assert ill["box_classes"] == ["Pneumonia", "Pneumonia"]
    expected = np.zeros((16, 16), dtype=np.uint8)
    expected[3:8, 2:6] = expected[8:12, 9:13] = 1
    np.testing.assert_array_equal(read_mask_of(path, ill), expected)
    assert (well["label"], well["boxes"], well["box_classes"]) == ([0], [], [])
    assert read_mask_of(path, well).max() == 0
    assert (ill["finding"], well["finding"]) == ("Lung Opacity", "Normal")
    assert records[IDS[11]]["boxes"] == [[10, 10, 16, 16]]


def test_detailed_classes_may_be_missing(source: Path, tmp_path: Path) -> None:
    (source / "stage_2_detailed_class_info.csv").unlink()
    assert "finding" not in records_by_id(prepare(source, tmp_path / "out").datalist)[IDS[3]]


@pytest.mark.parametrize(
    ("encoding", "newline"),
    [pytest.param("utf-8-sig", "\r\n", id="BOM and Windows lines"), pytest.param("utf-8", "\r\n", id="Windows lines")],
)
def test_the_table_is_read_as_windows_leaves_it(source: Path, tmp_path: Path, encoding: str, newline: str) -> None:
    plain = records_by_id(prepare(source, tmp_path / "plain").datalist)
    (source / "stage_2_train_labels.csv").write_bytes(table(newline).encode(encoding))
    assert records_by_id(prepare(source, tmp_path / "out").datalist) == plain


def test_a_missing_image_is_left_out_and_moves_no_other_to_another_split(source: Path, tmp_path: Path) -> None:
    before = ids_by_split(prepare(source, tmp_path / "a").datalist)
    (source / "stage_2_train_images" / f"{IDS[5]}.dcm").unlink()
    (source / "stage_2_train_images" / f"{IDS[3]}.dcm").write_bytes(b"broken")
    report = prepare(source, tmp_path / "b")
    gone = {IDS[5], IDS[3]}
    assert ids_by_split(report.datalist) == {
        split: [image_id for image_id in ids if image_id not in gone] for split, ids in before.items()
    }
    assert report.left_out == {"image file missing": 1, "image file unreadable": 1}
    assert verify_datalist(report.datalist) == []


def test_a_box_listed_twice_counts_once(source: Path, tmp_path: Path) -> None:
    (source / "stage_2_train_labels.csv").write_text(table(extra=[f"{IDS[7]},1.0,1.0,3.0,9.0,1"]))
    report = prepare(source, tmp_path / "out")
    assert records_by_id(report.datalist)[IDS[7]]["boxes"] == [[1, 1, 4, 10]]
    assert report.notes["boxes listed twice, taken once"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(f"{IDS[0]},1,1,2,2,1", "has Target 1 here and 0 in a row before", id="two minds"),
        pytest.param("new,1,1,2,2,yes", "Target is 'yes', expected 0 or 1", id="target"),
        pytest.param("new,,,,,1", r"Target is 1, the box is \['', '', '', ''\]", id="no box"),
        pytest.param("new,1,1,2,,1", "Target is 1, the box is", id="half a box"),
        pytest.param("new,1,1,2,2,0", "Target is 0, the box is", id="box of a negative"),
        pytest.param("new,1,nan,2,2,1", "Target is 1, the box is", id="not a number"),
        pytest.param(",1,1,2,2,1", "patientId is empty", id="no id"),
    ],
)
def test_a_row_that_cannot_be_is_named(source: Path, tmp_path: Path, row: str, message: str) -> None:
    (source / "stage_2_train_labels.csv").write_text(table(extra=[row]))
    with pytest.raises(ValueError, match=rf"stage_2_train_labels\.csv: row 22: .*{message}"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out" / "datalist.json").exists()


@pytest.mark.parametrize("options", [{}, {"split": "classification"}])
def test_boxes_without_area_are_counted_and_an_image_that_has_no_other_is_left_out(
    source: Path, tmp_path: Path, options: dict[str, str]
) -> None:
    whole = ids_by_split(prepare(source, tmp_path / "whole", **options).datalist)
    text = (source / "stage_2_train_labels.csv").read_text().replace(f"{IDS[7]},1.0,1.0,3.0,9.0", f"{IDS[7]},1,1,0,9")
    (source / "stage_2_train_labels.csv").write_text(f"{text}{IDS[3]},1,1,5,-2,1\n")
    report = prepare(source, tmp_path / "out", **options)
    assert verify_datalist(report.datalist) == []
    assert report.notes["boxes without area, not taken"] == 2
    assert report.left_out == {"pneumonia without a box that has an area": 1}
    assert records_by_id(report.datalist)[IDS[3]]["boxes"] == [[2, 3, 6, 8], [9, 8, 13, 12]]
    left = ids_by_split(report.datalist)  # nothing else comes into another split
    assert left == {name: [id_ for id_ in ids if id_ != IDS[7]] for name, ids in whole.items()}


def test_other_counts_than_the_competitions_are_refused_with_both_numbers(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows: expected 30227, found 21; images: expected 26684, found 20"):
        prepare_source("rsna", source, tmp_path / "out")


def test_a_folder_without_the_table_or_columns_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "stage_2_train_labels.csv").write_text("patientId,Target\na,0\n")
    with pytest.raises(ValueError, match=r"columns \['x', 'y', 'width', 'height'\] are missing"):
        prepare(source, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"'stage_2_train_labels\.csv'"):
        prepare(tmp_path / "elsewhere", tmp_path / "out")


def full_size_table(folder: Path) -> None:
    """The publisher's counts: 26,684 images, 6,012 of them with 9,555 boxes."""
    rows, more = [HEADER], EXPECTED["boxes"] - EXPECTED["images with pneumonia"]
    for index in range(EXPECTED["images"]):
        ill = index < EXPECTED["images with pneumonia"]
        rows += [f"{index:05d},1.0,2.0,3.0,4.0,1" if ill else f"{index:05d},,,,,0"]
        rows += [f"{index:05d},5.0,6.0,7.0,8.0,1"] * (index < more)
    (folder / "stage_2_train_labels.csv").write_text("\n".join(rows))


def test_a_table_of_full_size_passes_the_counts_and_is_split_as_published(tmp_path: Path) -> None:
    full_size_table(tmp_path)
    report = PrepareReport()
    drafts = {split: read_rsna(tmp_path, split=split, report=report) for split in ("detection", "classification")}
    sizes = {name: [len(records) for records in draft.splits.values()] for name, draft in drafts.items()}
    assert sizes == {"detection": [16010, 5337, 5337], "classification": [18678, 4003, 4003]}
    ids = {name: [record["id"] for record in records] for name, records in drafts["detection"].splits.items()}
    order = np.random.RandomState(0).permutation(26684)
    again = order[:10674][np.random.RandomState(0).permutation(10674)]
    assert ids["training"] == [f"{index:05d}" for index in order[10674:]]
    assert ids["validation"] == [f"{index:05d}" for index in again[:5337]]
    assert ids["test"] == [f"{index:05d}" for index in again[5337:]]


def nih_names(root: Path, patients: dict[str, str]) -> None:
    items = [{"subset_img_id": i, "img_id": f"{patient}_000.png", "orig_labels": []} for i, patient in patients.items()]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(items))


def test_published_splits_count_the_nih_patients_that_they_cut_in_two(source: Path, tmp_path: Path) -> None:
    assert "NIH patients in two splits" not in prepare(source, tmp_path / "a").notes
    nih_names(source, {image_id: f"{index // 10:08d}" for index, image_id in enumerate(IDS)})
    report = prepare(source, tmp_path / "b")
    assert report.notes["NIH patients in two splits"] == 2
    assert records_by_id(report.datalist)[IDS[0]]["patient_id"] == IDS[0]


def test_the_split_by_patients_keeps_the_images_of_one_together(source: Path, tmp_path: Path) -> None:
    nih_names(source, {image_id: f"{index // 2:08d}" for index, image_id in enumerate(IDS)})
    report = prepare(source, tmp_path / "out", split="patients")
    assert verify_datalist(report.datalist) == []
    assert report.splits == {"training": 12, "validation": 4, "test": 4}
    records = records_by_id(report.datalist)
    assert records[IDS[0]]["patient_id"] == records[IDS[1]]["patient_id"] == "nih-00000000"
    assert records[IDS[2]]["patient_id"] == "nih-00000001"


def test_the_split_by_patients_needs_the_list_of_names_whole(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="split 'patients' needs it"):
        prepare(source, tmp_path / "out", split="patients")
    nih_names(source, dict.fromkeys(IDS[2:], "00000001"))
    with pytest.raises(ValueError, match=r"lacks 2 of 20 images"):
        prepare(source, tmp_path / "out", split="patients")
    (source / "pneumonia-challenge-dataset-mappings_2018.json").write_text('[{"img_id": 3}]')
    with pytest.raises(ValueError, match=r"mappings_2018\.json: not RSNA's list of names: KeyError"):
        prepare(source, tmp_path / "out", split="patients")


def test_an_unknown_split_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split must be one of \['detection', 'classification', 'patients'\]"):
        prepare(source, tmp_path / "out", split="segmentation")


def test_rows_that_say_nothing_new_or_of_nothing_known_are_said(source: Path, tmp_path: Path) -> None:
    (source / "stage_2_train_labels.csv").write_text(table(extra=[f"{IDS[0]},,,,,0"]))
    details = [f"{IDS[0]},Normal", f"{IDS[0]},No Lung Opacity / Not Normal", f"{IDS[1]},", "unknown,Normal"]
    (source / "stage_2_detailed_class_info.csv").write_text("\n".join(["patientId,class", *details]))
    report = prepare(source, tmp_path / "out")
    assert report.notes["rows without a box listed twice, taken once"] == 1
    assert report.left_out == {"detailed class of an image without a row": 1}
    assert report.notes["images of two detailed classes, the first taken"] == 1
    assert report.notes["images without a detailed class"] == 19
    records = records_by_id(report.datalist)
    assert records[IDS[0]]["finding"] == "Normal"
    assert "finding" not in records[IDS[1]]


def test_an_unknown_detailed_class_is_named(source: Path, tmp_path: Path) -> None:
    (source / "stage_2_detailed_class_info.csv").write_text(f"patientId,class\n{IDS[0]},Nromal")
    with pytest.raises(ValueError, match=r"class_info\.csv: row 1: class is 'Nromal', known: \['Normal'"):
        prepare(source, tmp_path / "out")
