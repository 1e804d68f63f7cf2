from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import SPLITS, read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.padchest import parse_labels
from monai_place.data.verify import verify_datalist

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = ["", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "Projection", "Report"]
COLUMNS += ["MethodLabel", "Labels", "Localizations"]
PNG = io.BytesIO()
Image.fromarray((np.arange(1024, dtype=np.uint16) * 60).reshape(32, 32)).save(PNG, "PNG")


def row(image: str, patient: str, folder: str = "0", **cells: str) -> dict[str, str]:
    values = {"ImageID": f"{image}.png", "ImageDir": folder, "StudyID": f"st{patient}", "PatientID": patient}
    values |= {"StudyDate_DICOM": "20140915", "PatientBirth": "1938.0", "Projection": "PA", "MethodLabel": "RNN_model"}
    values |= {"Report": "sin hallaz patolog . senos costofren libr .", "Labels": "['normal']"}
    return values | cells


ROWS = [
    row("0012_a", "0012", Labels="['Cardiomegaly ', 'pleural effusion', 'cardiomegaly']", Projection="AP_horizontal"),
    row("0012_b", "0012", Projection="L"),
    row("0013_c", "0013", "54", Labels="['cardiomegaly', 'unchanged', '']", MethodLabel="Physician"),
    row("0013_d", "0013", "54"),
    row("e", "14", Labels="", Report=""),
    row("f", "15", Labels="__import__('os').system('touch hacked')"),
    row("g", "16", Labels="['exclude']"),
    row("h", "17", Labels="['normal', 'suboptimal study']"),
    row("i", ""),
    row("j", "18", Projection="COSTAL"),
    row("k", "19", "7"),  # folder 7 was not downloaded
    row("l", "20"),  # its image is missing
    row("m", "21", Report="nódulo en lóbulo superior derecho , paciente de ñ ."),
    row("m", "21"),  # twice
    *(
        row(f"n{number}", str(100 + number), MethodLabel="Physician" if number % 3 else "RNN_model")
        for number in range(12)
    ),
]


def write_table(path: Path, rows: list[dict[str, str]], *, zipped: bool = False) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    (path / f"{TABLE}.gz").write_bytes(gzip.compress(data)) if zipped else (path / TABLE).write_bytes(data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    write_table(root, ROWS)
    for values in ROWS:
        if values["ImageDir"] != "7" and values["ImageID"] != "l.png":
            path = root / values["ImageDir"] / values["ImageID"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(PNG.getvalue())
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("padchest", source, output, **{"check_counts": False, "minimum": 2, **options})


def records_of(report: PrepareReport, split: str | None = None) -> dict[str, dict[str, Any]]:
    found = read_datalist(report.datalist)
    return {record["id"]: record for name, _, record in found.records() if split in (None, name)}


def test_the_datalist_is_sound_and_every_row_is_kept_or_counted(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert report.left_out == {
        "view 'L' not asked for": 1,
        "view 'COSTAL' not asked for": 1,
        "no patient": 1,
        "labelled 'exclude'": 1,
        "labelled 'suboptimal study'": 1,
        "folder of the image not downloaded": 1,
        "image file missing": 1,
        "duplicate row": 1,
    }
    assert sum(report.splits.values()) + 8 == len(ROWS)
    assert report.notes["images whose labels are blank, cannot be read or say `unchanged` alone"] == 2


def test_a_record_keeps_its_spanish_report_and_its_language(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert read_datalist(report.datalist).classes == ["cardiomegaly", "normal"]  # pleural effusion is too rare
    records = records_of(report)
    assert records["0012_a.png"] == {
        "id": "0012_a.png",
        "image": "0/0012_a.png",
        "patient_id": "0012",
        "study_id": "st0012",
        "view": "AP_horizontal",
        "report": "sin hallaz patolog . senos costofren libr .",
        "label": [1, 0],
        "language": "es",
        "label_method": "RNN_model",
        "sections": {"findings": "sin hallaz patolog . senos costofren libr ."},
    }
    assert records["m.png"]["report"] == "nódulo en lóbulo superior derecho , paciente de ñ ."
    assert "report" not in records["e.png"]
    assert "1938" not in report.datalist.read_text()
    assert "20140915" not in report.datalist.read_text()


def test_labels_that_are_blank_or_no_list_are_unknown_and_nothing_is_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    records = records_of(prepare(source, tmp_path / "out"))
    assert records["e.png"]["label"] == records["f.png"]["label"] == [None, None]
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("['normal']", ("normal",)),
        ("[]", ()),
        ("['A', ' a ', '']", ("a",)),
        ("nan", None),
        ("'normal'", None),
        ("[1, 2]", None),
        ("['normal'", None),
        ("[" * 3000, None),
        ("open('x')", None),
        (f"[{'1,' * 9000}]", None),
    ],
)
def test_cells_of_labels(text: str, expected: tuple[str, ...] | None) -> None:
    assert parse_labels(text) == expected


def test_classes_and_other_views_and_labels_can_be_asked_for(source: Path, tmp_path: Path) -> None:
    options = {"classes": ["nodule", "normal"], "views": ["L", "PA"], "exclude_labels": []}
    records = records_of(prepare(source, tmp_path / "out", **options))
    assert records["h.png"]["label"] == [0, 1]
    assert records["0012_b.png"]["view"] == "L"
    assert "0012_a.png" not in records


def test_no_patient_is_in_two_splits_and_physicians_labels_are_spread(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    patients = [{record["patient_id"] for record in records_of(report, split).values()} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert all(report.splits.values())


def test_physicians_labels_can_be_the_test(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", split="physician", validation_size=2)
    assert verify_datalist(report.datalist) == []
    assert {record["label_method"] for record in records_of(report, "test").values()} == {"Physician"}
    assert report.splits["test"] == 9
    assert report.splits["validation"] == 2
    assert report.left_out["labelled by the model, of a patient of the test"] == 1
    assert {record["label_method"] for record in records_of(report, "training").values()} == {"RNN_model"}


@pytest.mark.parametrize("folder", ["", "images"])
def test_images_may_lie_in_one_folder_and_the_table_be_packed(folder: str, tmp_path: Path) -> None:
    root = tmp_path / "source"
    (root / folder).mkdir(parents=True)
    write_table(root, [values | {"ImageDir": "0.0"} for values in ROWS[-12:]], zipped=True)
    for values in ROWS[-12:]:
        (root / folder / values["ImageID"]).write_bytes(PNG.getvalue())
    report = prepare(root, tmp_path / "out")
    assert sum(report.splits.values()) == 12
    assert verify_datalist(report.datalist) == []


def test_a_folder_number_that_was_written_back_as_a_fraction_is_read(source: Path, tmp_path: Path) -> None:
    write_table(source, [values | {"ImageDir": f"{values['ImageDir']}.0"} for values in ROWS])
    assert records_of(prepare(source, tmp_path / "out"))["0013_c.png"]["image"] == "54/0013_c.png"


def test_other_counts_are_an_error_that_names_expected_and_found(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"padchest: .*rows: expected 160861, found {len(ROWS)}"):
        prepare(source, tmp_path / "out", check_counts=True)
    with pytest.raises(ValueError, match=r"split must be one of \['patients', 'physician'\]"):
        prepare(source, tmp_path / "out", split="official")
    for path in source.rglob("*.png"):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"the images are not in the source folder: expected '0/0012_a\.png' or"
    ):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize("text", ["['unchanged']", "[]", "['', 'unchanged']"])
def test_labels_that_say_nothing_of_what_is_seen_are_unknown(text: str, source: Path, tmp_path: Path) -> None:
    write_table(source, [ROWS[0], ROWS[3] | {"Labels": text}])
    report = prepare(source, tmp_path / "out", minimum=1)
    assert records_of(report)["0013_d.png"]["label"] == [None, None]
    assert report.notes["images whose labels are blank, cannot be read or say `unchanged` alone"] == 1


def test_images_without_a_study_share_none(source: Path, tmp_path: Path) -> None:
    write_table(source, [ROWS[0] | {"StudyID": ""}, ROWS[3] | {"StudyID": "nan"}])
    report = prepare(source, tmp_path / "out", minimum=1)
    assert {record["study_id"] for record in records_of(report).values()} == {None}
    assert verify_datalist(report.datalist) == []
