from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import SPLITS, read_datalist
from monai_place.data.sources import SOURCES, PrepareReport, prepare_source
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, COMPETITION_CLASSES
from monai_place.data.sources.mimic_cxr import read_mimic_cxr
from monai_place.data.verify import verify_datalist

LABELS = sorted(CHEXPERT_CLASSES)  # MIMIC's tables have them in alphabetical order
REPORT = (
    "                                 FINAL REPORT\n FINDINGS: \n \n Lungs of {} are clear.\n \n IMPRESSION:  Normal.\n"
)
JPEG = io.BytesIO()
Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(JPEG, "JPEG")

# (dicom_id, subject_id, study_id, ViewPosition, split)
IMAGES = [
    ("a1", "10000001", "50000001", "PA", "train"),
    ("a2", "10000001", "50000001", "LATERAL", "train"),
    ("a3", "10000001", "50000002", "AP", "train"),
    ("b1", "10000002", "50000003", "AP", "train"),
    ("b2", "10000002", "50000003", "AP", "train"),
    ("c1", "11000003", "50000004", "PA", "validate"),
    ("d1", "11000004", "50000005", "PA", "test"),
    ("d2", "11000004", "50000006", "", "test"),
    ("e1", "11000005", "50000007", "PA", "test"),  # its report has neither section
    ("f1", "11000006", "50000008", "PA", "test"),  # its report is missing
    ("g1", "11000007", "50000009", "PA", "test"),  # its image is missing
    ("h1", "19000008", "50000010", "PA", "train"),  # its group was not downloaded
]
CHEXPERT = {
    "50000001": {"No Finding": "1.0"},
    "50000002": {"Edema": "-1.0", "Atelectasis": "0.0"},
    "50000004": {"Edema": "1.0"},
}


def write_tables(root: Path, images: list[tuple[str, ...]], labels: dict[str, dict[str, str]], *, zipped: bool) -> None:
    head = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    )
    rows = [
        f'{image},{subject},{study},"CHEST (PA, LAT)",{view},32,32,21800506,213014.531'
        for image, subject, study, view, _ in images
    ]
    splits = [
        "dicom_id,study_id,subject_id,split",
        *(f"{i},{study},{subject},{part}" for i, subject, study, _, part in images),
    ]
    subjects = {study: subject for _, subject, study, *_ in images}
    cells = [
        ",".join((subjects[study], study, *(values.get(name, "") for name in LABELS)))
        for study, values in labels.items()
    ]
    tables = {
        "metadata": [head, *rows],
        "split": splits,
        "chexpert": [",".join(("subject_id", "study_id", *LABELS)), *cells],
        "negbio": [",".join(("subject_id", "study_id", *LABELS)), *cells[:1]],
    }
    for name, lines in tables.items():
        data = ("\r\n".join(lines) + "\r\n").encode()
        path = root / f"mimic-cxr-2.0.0-{name}.csv"
        if zipped:
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(data))
        else:
            path.write_bytes(data)


def write_files(root: Path, images: list[tuple[str, ...]], suffix: str = ".jpg") -> None:
    for image, subject, study, *_ in images:
        patient = root / "files" / f"p{subject[:2]}" / f"p{subject}"
        (patient / f"s{study}").mkdir(parents=True, exist_ok=True)
        (patient / f"s{study}" / f"{image}{suffix}").write_bytes(JPEG.getvalue())
        (patient / f"s{study}.txt").write_text(REPORT.format(image))


@pytest.fixture(params=[".csv.gz", ".csv"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tree as PhysioNet lays it out, reports beside the studies' folders, with its irregularities."""
    root = tmp_path / "mimic"
    root.mkdir()
    write_tables(root, IMAGES, CHEXPERT, zipped=request.param == ".csv.gz")
    write_files(root, [image for image in IMAGES if image[0] not in ("g1", "h1")])
    (root / "files/p11/p11000005/s50000007.txt").write_text("FINAL REPORT\n INDICATION:  Cough.\n")
    (root / "files/p11/p11000006/s50000008.txt").unlink()
    (root / "files/p11/p11000007").mkdir()
    (root / "files/p11/p11000007/s50000009.txt").write_text(REPORT)
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("mimic-cxr", source, output, **{"check_counts": False, **options})


def records_of(report: PrepareReport, split: str | None = None) -> dict[str, dict[str, Any]]:
    found = read_datalist(report.datalist)
    return {record["id"]: record for name, _, record in found.records() if split in (None, name)}


def test_the_datalist_is_sound_and_every_image_is_kept_or_counted(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert report.splits == {"training": 4, "validation": 1, "test": 1}
    assert report.left_out == {
        "view 'LATERAL' not asked for": 1,
        "view '' not asked for": 1,
        "report has neither findings nor impression": 1,
        "report missing": 1,
        "image file missing": 1,
        "folder of the patient's group not downloaded": 1,
    }


def test_a_record_has_its_study_the_raw_report_its_sections_and_its_label(source: Path, tmp_path: Path) -> None:
    records = records_of(prepare(source, tmp_path / "out"))
    assert records["a3"] == {
        "id": "a3",
        "image": "files/p10/p10000001/s50000002/a3.jpg",
        "patient_id": "p10000001",
        "study_id": "s50000002",
        "view": "AP",
        "report": REPORT.format("a3"),
        "label": [0, 0, 0, 0, 0, None, 0, 0, 0, 0, 0, 0, 0, 0],
        "language": "en",
        "sections": {"findings": "Lungs of a3 are clear.", "impression": "Normal."},
    }
    assert records["b1"]["label"] == [None] * 14  # its study has no row of labels
    assert records["b1"]["study_id"] == records["b2"]["study_id"]
    assert records["b1"]["report"] == records["b2"]["report"]


def test_no_patient_is_in_two_splits(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    patients = [{record["patient_id"] for record in records_of(report, split).values()} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_lateral_and_unknown_views_come_when_asked_for(source: Path, tmp_path: Path) -> None:
    records = records_of(prepare(source, tmp_path / "out", views=["LATERAL", ""]))
    assert {name: record["view"] for name, record in records.items()} == {"a2": "LATERAL", "d2": None}


def test_labels_of_the_other_table_and_none_at_all(source: Path, tmp_path: Path) -> None:
    negbio = prepare(source, tmp_path / "negbio", labels="negbio", classes="competition", uncertain="per-class")
    assert read_datalist(negbio.datalist).classes == list(COMPETITION_CLASSES)
    assert records_of(negbio)["a1"]["label"] == [0] * 5
    assert records_of(negbio)["a3"]["label"] == [None] * 5
    none = prepare(source, tmp_path / "none", labels="none")
    assert read_datalist(none.datalist).classes == []
    assert "label" not in records_of(none)["a1"]


def test_studies_without_text_can_be_kept_and_reports_left_alone(source: Path, tmp_path: Path) -> None:
    kept = prepare(source, tmp_path / "kept", keep_empty=True)
    assert {"e1", "f1"} <= records_of(kept).keys()
    assert verify_datalist(kept.datalist) == []
    bare = prepare(source, tmp_path / "bare", reports="none")
    assert all("report" not in record for record in records_of(bare).values())


def test_workers_read_the_reports_too(source: Path, tmp_path: Path) -> None:
    one, two = prepare(source, tmp_path / "one"), prepare(source, tmp_path / "two", workers=1)
    assert records_of(one) == records_of(two)


def test_a_limit_opens_so_many_reports_and_no_more(source: Path, tmp_path: Path) -> None:
    for path in source.glob("files/p10/p10000002/*.txt"):  # the third and fourth training image
        path.unlink()
        path.mkdir()
    report = prepare(source, tmp_path / "out", limit=2)
    assert report.splits == {"training": 2, "validation": 1, "test": 1}
    assert not report.unreadable
    assert prepare(source, tmp_path / "all").left_out["report file unreadable"] == 2


@pytest.mark.parametrize("suffix", [".dcm", ".png"])
def test_images_of_another_kind_are_found(suffix: str, tmp_path: Path) -> None:
    root = tmp_path / "mimic"
    root.mkdir()
    write_tables(root, IMAGES, CHEXPERT, zipped=True)
    write_files(root, IMAGES[5:7], suffix)
    records = records_of(prepare(root, tmp_path / "out"))
    assert records["c1"]["image"].endswith(suffix)


def test_a_tree_without_images_says_what_it_looked_for(source: Path, tmp_path: Path) -> None:
    for path in source.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"the images are not .*/p10000001/s50000001/a1\.jpg' or .*a1\.dcm' or .*png'"
    ):
        prepare(source, tmp_path / "out")


def test_patients_of_a_list_do_not_train_and_stay_in_the_test(source: Path, tmp_path: Path) -> None:
    (source / "MS_CXR.csv").write_text("category_name,dicom_id\nEdema,a2\nEdema,a3\nEdema,d1\n")
    report = prepare(source, tmp_path / "out", exclude="MS_CXR.csv")
    assert records_of(report).keys() == {"b1", "b2", "c1", "d1"}
    assert report.left_out["of a patient of the excluded list"] == 2


def test_patients_of_a_datalist_do_not_train(source: Path, tmp_path: Path) -> None:
    only = prepare(source, tmp_path / "only", views=["LATERAL"], labels="none")  # patient p10000001 alone
    report = prepare(source, tmp_path / "out", exclude=str(only.datalist))
    assert records_of(report).keys() == {"b1", "b2", "c1", "d1"}


def test_a_second_row_and_an_image_without_split_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "mimic"
    root.mkdir()
    write_tables(root, [*IMAGES[:4], IMAGES[0]], {"50000001": {}}, zipped=False)
    write_files(root, IMAGES[:4])
    split = root / "mimic-cxr-2.0.0-split.csv"
    split.write_text("".join(line for line in split.read_text().splitlines(keepends=True) if not line.startswith("b1")))
    report = prepare(root, tmp_path / "out")
    assert report.left_out["no split, or a second row"] == 2
    assert records_of(report).keys() == {"a1", "a3"}


def test_an_unknown_split_is_an_error_that_names_the_row(source: Path, tmp_path: Path) -> None:
    for path in source.glob("mimic-cxr-2.0.0-split*"):
        path.unlink()
    (source / "mimic-cxr-2.0.0-split.csv").write_text("dicom_id,study_id,subject_id,split\na1,1,1,valid\n")
    with pytest.raises(
        ValueError, match=r"split\.csv: row 1: split 'valid', expected one of \['train', 'validate', 'test'\]"
    ):
        prepare(source, tmp_path / "out")


def test_other_counts_are_an_error_that_names_expected_and_found(source: Path, tmp_path: Path) -> None:
    expected = (
        r"rows of metadata: expected 377110, found 12; rows of split: expected 377110, found 12; studies: expected "
        r"227835, found 10; patients: expected 65379, found 8; rows of labels: expected 227827, found 3"
    )
    with pytest.raises(ValueError, match=expected):
        prepare(source, tmp_path / "out", check_counts=True)


def test_5x200_is_drawn_from_one_image_a_training_study_and_kept_out_of_training(tmp_path: Path) -> None:
    root = tmp_path / "mimic"
    root.mkdir()
    images, labels = [], {}
    for index in range(1025):
        study, task = str(50000000 + index), COMPETITION_CLASSES[index % 5]
        labels[study] = {task: "1.0"}
        images += [(f"{part}{index}", str(10000000 + index // 2), study, "AP", "train") for part in "xy"]
    write_tables(root, images, labels, zipped=False)
    write_files(root, images[:2])
    for image, subject, study, *_ in images[2:]:  # links are faster than files
        folder = root / f"files/p10/p{subject}/s{study}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{image}.jpg").hardlink_to(root / "files/p10/p10000000/s50000000/x0.jpg")
    drawn = prepare(root, tmp_path / "drawn", part="5x200", reports="none", classes="competition")
    assert drawn.splits == {"training": 0, "validation": 0, "test": 1000}
    found = records_of(drawn).values()
    assert len({record["study_id"] for record in found}) == 1000
    assert all(record["id"].startswith("x") for record in found)  # the first image of the study
    assert set(Counter(tuple(record["label"]) for record in found).values()) == {200}
    train = prepare(root, tmp_path / "train", exclude_5x200=True, reports="none")
    assert not {record["patient_id"] for record in found} & {r["patient_id"] for r in records_of(train).values()}
    with pytest.raises(ValueError, match="labels must be chexpert or negbio"):
        prepare(root, tmp_path / "none", part="5x200", reports="none", labels="none")


def test_the_5x200_draw_is_the_same_whatever_views_train(tmp_path: Path) -> None:
    root = tmp_path / "mimic"
    root.mkdir()
    images, labels = [], {}
    for index in range(1300):
        study, view = str(50000000 + index), "LATERAL" if index % 6 == 1 else "PA"
        labels[study] = {COMPETITION_CLASSES[index % 5]: "1.0"}
        images.append((f"x{index}", str(10000000 + index), study, view, "train"))
    write_tables(root, images, labels, zipped=False)
    write_files(root, images[:2])

    def read(**options: Any) -> set[str]:
        draft = read_mimic_cxr(root, reports="none", check_counts=False, report=PrepareReport(), **options)
        return {record["patient_id"] for records in draft.splits.values() for record in records}

    drawn, views = read(part="5x200"), ["PA", "AP", "LATERAL"]
    assert len(drawn) == 1000
    assert read(part="5x200", views=views) == drawn
    for options in ({}, {"views": views}, {"views": "LATERAL"}):
        assert not drawn & read(exclude_5x200=True, **options)


def test_options_and_the_page_can_be_asked_for() -> None:
    info = SOURCES["mimic-cxr"]
    assert {"views", "reports", "exclude", "labels", "uncertain", "blank"} <= set(info.options())
    assert "mimic-cxr-reports.zip" in info.describe()


def plain_tree(root: Path) -> Path:
    root.mkdir()
    write_tables(root, IMAGES[:4], {"50000001": {}, "50000002": {}}, zipped=False)
    write_files(root, IMAGES[:4])
    return root


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a2,10000001,", "a2,10000001.0,", r"row 2: subject_id is '10000001\.0', expected digits"),
        (",50000002,", ",,", r"row 3: study_id is '', expected digits"),
    ],
)
def test_an_id_that_is_no_number_is_an_error_that_names_row_and_column(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    table = plain_tree(tmp_path / "mimic") / "mimic-cxr-2.0.0-metadata.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(ValueError, match=rf"mimic-cxr-2\.0\.0-metadata\.csv: {message}"):
        prepare(table.parent, tmp_path / "out")


def test_an_excluded_list_that_excludes_nobody_is_an_error(source: Path, tmp_path: Path) -> None:
    (source / "list.csv").write_text("dicom_id\nanother\n")
    with pytest.raises(ValueError, match=r"list\.csv: no dicom_id of it is in the metadata"):
        prepare(source, tmp_path / "out", exclude="list.csv")


def test_a_table_of_labels_that_is_cut_off_is_counted(tmp_path: Path) -> None:
    root = plain_tree(tmp_path / "mimic")
    table = root / "mimic-cxr-2.0.0-chexpert.csv"
    table.write_text(table.read_text().splitlines()[0])
    report = prepare(root, tmp_path / "out")
    assert report.notes["images of studies without a row of labels"] == 3
    assert {tuple(record["label"]) for record in records_of(report).values()} == {(None,) * 14}
    with pytest.raises(ValueError, match="rows of labels: expected 227827, found 0"):
        prepare(root, tmp_path / "counts", check_counts=True)


def test_a_row_of_the_split_without_metadata_is_counted(tmp_path: Path) -> None:
    root = plain_tree(tmp_path / "mimic")
    with (root / "mimic-cxr-2.0.0-split.csv").open("a") as table:
        table.write("z9,59999999,19999999,test\r\n")
    report = prepare(root, tmp_path / "out")
    assert ("z9", "row of the split without metadata") in report.entries


def test_a_cell_that_is_no_label_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    root = plain_tree(tmp_path / "mimic")
    write_tables(root, IMAGES[:4], {"50000001": {}, "50000002": {"Edema": "2"}}, zipped=False)
    with pytest.raises(ValueError, match=r"chexpert\.csv: row 2: column 'Edema' holds '2'"):
        prepare(root, tmp_path / "out")


def test_an_image_in_two_splits_is_an_error_and_the_same_row_twice_is_none(tmp_path: Path) -> None:
    root = plain_tree(tmp_path / "mimic")
    table = root / "mimic-cxr-2.0.0-split.csv"
    table.write_text(table.read_text() + "a1,50000001,10000001,train\n")
    assert records_of(prepare(root, tmp_path / "out")).keys() == {"a1", "a3", "b1"}
    table.write_text(table.read_text() + "a3,50000002,10000001,test\n")
    with pytest.raises(ValueError, match=r"split\.csv: row 6: the image is in another split by a row above"):
        prepare(root, tmp_path / "two")
