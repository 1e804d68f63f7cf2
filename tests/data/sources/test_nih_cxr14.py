from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources import nih_cxr14 as module
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, records_by_id, write_picture

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = {
    "00000001_000.png": "Cardiomegaly",
    "00000001_001.png": "Cardiomegaly|Emphysema",
    "00000002_000.png": "No Finding",
    "00000003_000.png": "Hernia",
    "00000004_000.png": "Infiltration|Pleural_Thickening",
    "00000005_000.png": "Atelectasis",
    "00000006_000.png": "No Finding",
    "00000007_000.png": "Mass",  # its picture is missing
    "00000008_000.png": "Nodule",  # in none of the lists
}
TRAIN_VAL = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png", "00000007_000.png"]
TEST = ["00000004_000.png", "00000005_000.png", "00000006_000.png", "00099999_000.png"]
BOXES = [
    "Image Index,Finding Label,Bbox [x,y,w,h],,,",
    "00000004_000.png,Infiltrate,225.08,547.02,86.78,79.19,,,",
    "00000004_000.png,Mass,0,0,512,1024,,,",
    "00000005_000.png,Atelectasis,1000,1000,100,100,,,",  # reaches beyond the picture
]


def line(name: str, findings: str) -> str:
    patient, follow_up = name.removesuffix(".png").split("_")
    view = "AP" if int(patient) % 2 else "PA"
    return f"{name},{findings},{int(follow_up)},{int(patient)},058Y,M,{view},2682,2749,0.143,0.143,"


def write_tables(root: Path, *, newline: str = "\n", name: str = "Data_Entry_2017.csv", header: str = HEADER) -> None:
    rows = [header, *(line(*item) for item in ROWS.items()), line("00000002_000.png", "Hernia")]
    (root / name).write_bytes(newline.join(rows).encode("utf-8-sig" if newline == "\r\n" else "utf-8"))
    (root / "train_val_list.txt").write_bytes(newline.join(TRAIN_VAL).encode())
    (root / "test_list.txt").write_bytes((newline.join([*TEST, ""])).encode())
    (root / "BBox_List_2017.csv").write_bytes(newline.join(BOXES).encode())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for number, name in enumerate(ROWS):
        if name != "00000007_000.png":
            write_picture(root / ("images_001/images" if number < 4 else "images_012/images") / name, 64, 64)
    write_tables(root)
    return root


def prepare(source: Path, **options: Any) -> PrepareReport:
    return prepare_source("nih-cxr14", source, source.parent / "out", **{"check_counts": False, "seed": 1, **options})


def test_the_result_passes_verification(source: Path) -> None:
    assert verify_datalist(prepare(source).datalist) == []


def test_official_lists_are_kept_and_patients_validate_whole(source: Path) -> None:
    report = prepare(source, validation=0.4)
    splits = ids_by_split(report.datalist)
    assert splits["test"] == TEST[:3]
    assert sorted(splits["training"] + splits["validation"]) == TRAIN_VAL[:4]
    records = records_by_id(report.datalist)
    sides = {records[name]["patient_id"]: side for side, names in splits.items() for name in names}
    assert sides["nih-00000001"] in ("training", "validation")
    for side in ("training", "validation"):
        assert {records[name]["patient_id"] for name in splits[side]} == {p for p, s in sides.items() if s == side}


def test_whatever_does_not_fit_is_left_out_with_its_reason(source: Path) -> None:
    assert prepare(source).left_out == {
        "second row of an image": 1,
        "name of a list without a row": 1,
        "image in none of the lists": 1,
        "image file missing": 1,
    }


def test_findings_are_labels_and_no_finding_is_none_of_them(source: Path) -> None:
    report = prepare(source)
    records, classes = records_by_id(report.datalist), read_datalist(report.datalist).classes
    assert classes == module.CLASSES
    assert len(classes) == 14
    named = {name: [c for c, value in zip(classes, r["label"], strict=True) if value] for name, r in records.items()}
    assert named["00000001_001.png"] == ["Cardiomegaly", "Emphysema"]
    assert named["00000004_000.png"] == ["Infiltration", "Pleural_Thickening"]
    assert named["00000002_000.png"] == []
    assert records["00000001_001.png"]["view"] == "AP"
    assert records["00000001_001.png"]["study_id"] == "nih-00000001-1"


def test_boxes_are_scaled_from_1024_pixels_and_only_drawn_ones_are_there(source: Path) -> None:
    report = prepare(source)
    records = records_by_id(report.datalist)
    assert records["00000004_000.png"]["boxes"] == [[14.07, 34.19, 19.49, 39.14], [0, 0, 32, 64]]
    assert records["00000004_000.png"]["box_classes"] == ["Infiltration", "Mass"]
    assert records["00000005_000.png"]["boxes"] == [[62.5, 62.5, 64, 64]]
    assert "boxes" not in records["00000006_000.png"]
    assert report.notes["boxes of a finding that is not among the labels of their image"] == 1


def test_without_the_table_of_boxes_there_are_none(source: Path) -> None:
    (source / "BBox_List_2017.csv").unlink()
    report = prepare(source)
    assert report.notes["table of boxes not there"] == 1
    assert not [record for record in records_by_id(report.datalist).values() if "boxes" in record]


@pytest.mark.parametrize("folder", ["images", "images_003", "."])
def test_archives_may_be_unpacked_in_several_ways(source: Path, folder: str) -> None:
    (source / folder).mkdir(exist_ok=True)
    for path in list(source.glob("images_0*/images/*.png")):
        path.rename(source / folder / path.name)
    report = prepare(source)
    assert sum(report.splits.values()) == 7
    assert verify_datalist(report.datalist) == []


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_versions_of_the_table_are_read_and_the_newer_one_first(source: Path, newline: str) -> None:
    write_tables(source, newline=newline)
    first = read_datalist(prepare(source).datalist)
    header = HEADER.replace("Patient Gender", "Patient Sex").rstrip(",")
    write_tables(source, newline=newline, name="Data_Entry_2017_v2020.csv", header=header)
    second = read_datalist(prepare(source).datalist)
    assert (first.version, second.version) == ("Data_Entry_2017", "Data_Entry_2017_v2020")
    assert first.splits == second.splits


def test_other_counts_than_published_are_refused_with_both_numbers(source: Path) -> None:
    with pytest.raises(ValueError, match="boxes: expected 984, found 3"):
        prepare(source, check_counts=True)
    (source / "BBox_List_2017.csv").unlink()
    with pytest.raises(ValueError, match=r"images: expected 112120, found 9; patients: expected 30805, found 8"):
        prepare(source, check_counts=True)
    assert (module.EXPECTED["names of train_val_list.txt"], module.EXPECTED["names of test_list.txt"]) == (86524, 25596)
    assert module.EXPECTED["images"] == 86524 + 25596


def test_an_image_or_a_patient_on_two_sides_is_refused(source: Path) -> None:
    (source / "test_list.txt").write_text("\n".join([*TEST, TRAIN_VAL[0]]))
    with pytest.raises(ValueError, match=r"1 images are in train_val_list\.txt and in test_list\.txt"):
        prepare(source)
    (source / "test_list.txt").write_text("\n".join([*TEST, "00000001_001.png"]))
    (source / "train_val_list.txt").write_text("00000001_000.png\n00000002_000.png\n")
    with pytest.raises(ValueError, match="1 patients are in"):
        prepare(source)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("Hernia", "Hernai", r"00000003_000\.png: unknown findings \['Hernai'\]", id="finding"),
        pytest.param("Emphysema", "No Finding", "No Finding beside findings", id="contradiction"),
        pytest.param(",3,058Y", ",x,058Y", "row 4: Image Index or Patient ID", id="patient"),
    ],
)
def test_a_wrong_row_is_named(source: Path, old: str, new: str, message: str) -> None:
    table = source / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        prepare(source)


def test_a_wrong_box_is_named(source: Path) -> None:
    (source / "BBox_List_2017.csv").write_text("\n".join([BOXES[0], "00000004_000.png,Mass,1,2,x,4"]))
    with pytest.raises(
        ValueError, match=r"BBox_List_2017\.csv: row 1: a box is four numbers, got \['1', '2', 'x', '4'\]"
    ):
        prepare(source)
    (source / "BBox_List_2017.csv").write_text("\n".join([BOXES[0], "00000004_000.png,Rib,1,2,3,4"]))
    with pytest.raises(ValueError, match="row 1: unknown finding 'Rib'"):
        prepare(source)


def test_a_missing_table_or_list_and_a_wrong_share_are_named(source: Path) -> None:
    with pytest.raises(ValueError, match="validation must be above 0"):
        prepare(source, validation=0)
    (source / "test_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_list\.txt is not in the source folder"):
        prepare(source)
    (source / "Data_Entry_2017.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected 'Data_Entry_2017_v2020\.csv' or 'Data_Entry_2017\.csv'"):
        prepare(source)


def test_boxes_of_unknown_images_twice_or_without_area_are_said(source: Path) -> None:
    extra = [
        BOXES[1],  # twice
        "00099998_000.png,Mass,1,2,3,4,,,",  # an image without a row
        "00000004_000.png,Infiltrate,10,20,0,30,,,",
        "00000006_000.png,Mass,10,20,nan,30,,,",  # the only one of its image, which is no negative
    ]
    (source / "BBox_List_2017.csv").write_text("\n".join([*BOXES, *extra]))
    report = prepare(source)
    assert report.left_out["box of an image without a row"] == 1
    assert ("00099998_000.png", "box of an image without a row") in report.entries
    assert report.notes["boxes listed twice, taken once"] == 1
    assert report.notes["boxes without area, not taken"] == 2
    records = records_by_id(report.datalist)
    assert records["00000004_000.png"]["boxes"] == [[14.07, 34.19, 19.49, 39.14], [0, 0, 32, 64]]
    assert "boxes" not in records["00000006_000.png"]


def test_a_list_that_is_no_utf_8_is_named(source: Path) -> None:
    (source / "test_list.txt").write_bytes(b"\xff\xfe0\x00")
    with pytest.raises(ValueError, match=r"test_list\.txt: not UTF-8 text at byte 0"):
        prepare(source)


def test_what_is_in_none_of_the_lists_is_left_out_in_the_same_order_everywhere(source: Path) -> None:
    (source / "test_list.txt").write_text("00000006_000.png\n")
    (source / "train_val_list.txt").write_text("00000001_000.png\n00000002_000.png\n")
    names = [name for name, reason in prepare(source).entries if reason == "image in none of the lists"]
    assert len(names) == 6
    assert names == sorted(names)
