from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources import vindr_cxr as module
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, records_by_id, write_dicom

FINDINGS = ["Cardiomegaly", "Nodule/Mass", "COPD", "Other diseases"]
# image -> reader -> findings
READINGS: dict[str, dict[str, list[str]]] = {
    "a1": {"R1": ["Cardiomegaly"], "R2": ["Cardiomegaly", "COPD"], "R3": []},
    "a2": {"R1": ["Nodule/Mass"], "R8": ["Nodule/Mass"], "R9": ["Other diseases"]},
    "a3": {"R1": [], "R2": [], "R3": []},
    "gone": {"R1": [], "R2": [], "R3": []},
    **{f"b{n}": {"R1": [], "R2": [], "R3": []} for n in range(16)},
}
BOXES = [
    "a1,R1,Cardiomegaly,4,4,24,14",
    "a1,R2,Cardiomegaly,4,4,24,16",
    "a1,R2,Cardiomegaly,4,4,24,16",  # twice
    "a1,R3,No finding,,,,",
    "a2,R1,Nodule/Mass,0,0,4,4",
    "a2,R8,Nodule/Mass,20,20,24,24",  # elsewhere: they agree on the finding and not on the place
    "a2,R9,Nodule/Mass,5,5,5,9",  # without area
    "a3,R1,No finding,,,,",
    "x9,R1,Cardiomegaly,1,1,2,2",  # of an image without labels
]
TEST = {"t1": ["COPD", "Cardiomegaly"], "t2": []}
TEST_BOXES = ["t1,Cardiomegaly,2.5,3,20,100", "t2,No finding,,,,"]
CORNERS = "x_min,y_min,x_max,y_max"


def write_physionet(root: Path, *, folder: str = "annotations", newline: str = "\n") -> None:
    def write(name: str, lines: list[str]) -> None:
        (root / folder).mkdir(exist_ok=True)
        (root / folder / name).write_bytes(newline.join(lines).encode("utf-8-sig" if newline == "\r\n" else "utf-8"))

    def ones(found: list[str]) -> str:
        return ",".join(str(int(name in found)) for name in FINDINGS) + f",{int(not found)}"

    head = ",".join([*FINDINGS, "No finding"])
    labels = [f"{image},{reader},{ones(found)}" for image, by in READINGS.items() for reader, found in by.items()]
    write("image_labels_train.csv", [f"image_id,rad_id,{head}", *labels])
    write("annotations_train.csv", [f"image_id,rad_id,class_name,{CORNERS}", *BOXES])
    other = head.replace("Other diseases", "Other disease")  # as the published file has it
    write("image_labels_test.csv", [f"image_id,{other}", *(f"{image},{ones(found)}" for image, found in TEST.items())])
    write("annotations_test.csv", [f"image_id,class_name,{CORNERS}", *TEST_BOXES])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for image in READINGS:
        if image != "gone":
            write_dicom(root / "train" / f"{image}.dicom", 30, 40)
    for image in TEST:
        write_dicom(root / "test" / f"{image}.dicom", 30, 40)
    write_physionet(root)
    return root


@pytest.fixture
def kaggle(source: Path) -> Path:
    for path in (source / "annotations").iterdir():
        path.unlink()
    rows = []
    for image, readings in READINGS.items():
        for reader in readings:
            drawn = [row.split(",") for row in dict.fromkeys(BOXES) if row.startswith(f"{image},{reader},")]
            drawn = [cells for cells in drawn if cells[3]]
            rows += [f"{image},{cells[2]},3,{reader},{','.join(cells[3:])}" for cells in drawn]
            rows += [] if drawn else [f"{image},No finding,14,{reader},,,,"]
    (source / "train.csv").write_text("\n".join([f"image_id,class_name,class_id,rad_id,{CORNERS}", *rows]))
    return source


def prepare(source: Path, **options: Any) -> PrepareReport:
    return prepare_source("vindr-cxr", source, source.parent / "out", **{"check_counts": False, **options})


def found(report: PrepareReport) -> dict[str, list[str]]:
    classes = read_datalist(report.datalist).classes
    records = records_by_id(report.datalist)
    return {
        name: [c for c, value in zip(classes, record["label"], strict=True) if value]
        for name, record in records.items()
    }


def test_the_result_passes_verification(source: Path) -> None:
    for fuse in ("mean", "none"):
        assert verify_datalist(prepare(source, fuse=fuse).datalist) == []


def test_a_label_is_what_the_majority_says(source: Path) -> None:
    report = prepare(source)
    assert read_datalist(report.datalist).classes == FINDINGS
    labels = found(report)
    assert (labels["a1"], labels["a2"], labels["a3"]) == (["Cardiomegaly"], ["Nodule/Mass"], [])
    assert found(prepare(source, min_readers=1))["a1"] == ["Cardiomegaly", "COPD"]
    assert found(prepare(source, min_readers=3))["a1"] == []


def test_the_consensus_of_the_test_set_counts_as_it_is(source: Path) -> None:
    report = prepare(source, min_readers=3)
    records = records_by_id(report.datalist)
    assert found(report)["t1"] == ["Cardiomegaly", "COPD"]
    assert records["t1"]["boxes"] == [[2.5, 3, 20, 30]]  # cut at the edge
    assert records["t2"]["boxes"] == []


def test_boxes_of_readers_who_agree_become_one(source: Path) -> None:
    report = prepare(source)
    records = records_by_id(report.datalist)
    assert records["a1"]["boxes"] == [[4, 4, 24, 15]]
    assert records["a1"]["box_classes"] == ["Cardiomegaly"]
    assert records["a2"]["boxes"] == records["a3"]["boxes"] == []
    assert report.notes["agreed findings whose boxes do not overlap enough"] == 1
    assert report.notes["boxes listed twice, taken once"] == 1
    assert report.notes["boxes without area dropped"] == 1
    assert records_by_id(prepare(source, min_overlap=0.9).datalist)["a1"]["boxes"] == []


def test_boxes_of_every_reader_are_kept_on_demand(source: Path) -> None:
    records = records_by_id(prepare(source, fuse="none").datalist)
    assert records["a1"]["boxes"] == [[4, 4, 24, 14], [4, 4, 24, 16]]
    assert records["a2"]["box_classes"] == ["Nodule/Mass", "Nodule/Mass"]


def test_what_is_left_out_is_listed(source: Path) -> None:
    assert prepare(source).left_out == {"box of an image without labels": 1, "image file missing": 1}


def test_the_official_test_set_is_kept_and_a_part_of_training_validates(source: Path) -> None:
    splits = ids_by_split(prepare(source, validation=0.25).datalist)
    assert splits["test"] == ["t1", "t2"]
    assert len(splits["validation"]) == 4  # and the image whose file is gone
    assert sorted(splits["training"] + splits["validation"]) == sorted(set(READINGS) - {"gone"})
    assert ids_by_split(prepare(source, validation=0.25, seed=1).datalist) != splits


@pytest.mark.parametrize("folder", ["annotations", "."])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_are_read_as_they_come(source: Path, folder: str, newline: str) -> None:
    before = prepare(source).datalist.read_text()
    for path in (source / "annotations").iterdir():
        path.unlink()
    write_physionet(source, folder=folder, newline=newline)
    assert prepare(source).datalist.read_text() == before


def test_images_may_have_another_suffix(source: Path) -> None:
    for path in list(source.glob("*/*.dicom")):
        path.rename(path.with_suffix(".dcm"))
    assert verify_datalist(prepare(source).datalist) == []


def test_kaggles_layout_has_14_findings_and_a_split_of_its_own(kaggle: Path) -> None:
    report = prepare(kaggle)
    assert verify_datalist(report.datalist) == []
    assert read_datalist(report.datalist).classes == module.KAGGLE_CLASSES
    assert len(module.KAGGLE_CLASSES) == 14
    assert [report.splits[split] for split in ("training", "validation", "test")] == [13, 2, 4]
    labels = found(report)
    assert (labels["a1"], labels["a2"], labels["a3"]) == (["Cardiomegaly"], ["Nodule/Mass"], [])
    assert records_by_id(report.datalist)["a1"]["boxes"] == [[4, 4, 24, 15]]
    with pytest.raises(ValueError, match=r"rows of train\.csv: expected 67914, found 60"):
        prepare(kaggle, check_counts=True)


def test_other_counts_than_published_are_refused_with_both_numbers(source: Path) -> None:
    message = r"rows of image_labels_train\.csv: expected 45000, found 60; training images: expected 15000, found 20"
    with pytest.raises(ValueError, match=message):
        prepare(source, check_counts=True)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        pytest.param("image_labels_train.csv", "a1,R1,1", "a1,R1,2", "row 1: 'Cardiomegaly' is '2'", id="label"),
        pytest.param("image_labels_test.csv", "COPD", "CPOD", "other findings than image_labels_train", id="columns"),
        pytest.param(
            "annotations_train.csv", ",Cardiomegaly,4", ",Heart,4", "row 1: unknown finding 'Heart'", id="name"
        ),
        pytest.param("annotations_train.csv", "4,4,24,14", "4,4,x,14", "row 1: a box is four numbers", id="box"),
    ],
)
def test_a_wrong_row_is_named(source: Path, name: str, old: str, new: str, message: str) -> None:
    path = source / "annotations" / name
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        prepare(source)


def test_a_wrong_option_or_a_missing_table_is_named(source: Path) -> None:
    with pytest.raises(ValueError, match="fuse must be one of"):
        prepare(source, fuse="wbf")
    with pytest.raises(ValueError, match="min_readers must be at least 1"):
        prepare(source, min_readers=0)
    (source / "annotations" / "annotations_test.csv").unlink()
    with pytest.raises(FileNotFoundError, match="the table of boxes of test"):
        prepare(source)
    (source / "annotations" / "image_labels_train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"or 'image_labels_train\.csv' or 'train\.csv'"):
        prepare(source)


def test_a_second_row_of_a_reader_is_left_out_with_its_reason(source: Path) -> None:
    table = source / "annotations" / "image_labels_train.csv"
    table.write_text(table.read_text() + "\na3,R1,1,0,0,0,0\na3,R2,1,0,0,0,0")  # the first say that nothing is there
    report = prepare(source)
    assert report.left_out["second row of a reader"] == 2
    assert [name for name, reason in report.entries if reason == "second row of a reader"] == ["a3", "a3"]
    assert records_by_id(report.datalist)["a3"]["label"] == [0, 0, 0, 0]


def test_a_finding_without_a_box_is_counted(kaggle: Path) -> None:
    assert "rows of a finding without a box" not in prepare(kaggle).notes
    table = kaggle / "train.csv"
    table.write_text(table.read_text() + "\na3,Cardiomegaly,3,R1,,,,")
    assert prepare(kaggle).notes["rows of a finding without a box"] == 1


def test_nothing_is_said_of_readers_who_agree(source: Path) -> None:
    assert prepare(source, fuse="none").notes["agreed findings whose boxes do not overlap enough"] == 0
    assert "agreed findings whose boxes do not overlap enough" not in prepare(source, fuse="none").notes
