from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import SPLITS, read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES
from monai_place.data.verify import verify_datalist

HEAD = (
    ",path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,section_narrative,"
    "section_clinical_history,section_history,section_comparison,section_technique,section_procedure_comments,"
    "section_findings,section_impression,section_end_of_impression,section_summary,section_accession_number,age,sex,race,"
    "ethnicity,interpreter_needed,insurance_type,recent_bmi,deceased,split"
)
COLUMNS = HEAD.split(",")
RAW = (
    "NARRATIVE:\nCHEST: 1-5-2010\n\nFINDINGS:\n\nClear lungs.\n\nIMPRESSION:\n\n1.  NORMAL.\n\n"
    "END OF IMPRESSION:\n\nSigned."
)
PNG = io.BytesIO()
Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(PNG, "PNG")


def row(
    patient: int, study: int = 1, view: str = "view1_frontal", split: str = "train", **cells: str
) -> dict[str, str]:
    path = f"{split}/patient{patient:05d}/study{study}/{view}"
    values = dict.fromkeys(COLUMNS, "") | {"path_to_image": f"{path}.jpg", "path_to_dcm": f"{path}.dcm", "split": split}
    values |= {
        "frontal_lateral": "Lateral" if "lateral" in view else "Frontal",
        "ap_pa": "" if "lateral" in view else "PA",
    }
    values |= {
        "deid_patient_id": f"patient{patient:05d}",
        "report": RAW,
        "age": "61.0",
        "sex": "Male",
        "race": "Pacific",
    }
    values |= {
        "section_findings": "Clear  lungs.",
        "section_impression": "\n1.  NORMAL.",
        "section_accession_number": "ACC77",
    }
    return values | cells


ROWS = [
    row(1),
    row(1, view="view2_frontal"),  # of one study: one report
    row(1, view="view3_lateral"),
    row(2, section_findings="", section_impression=""),  # the publisher's parser found nothing, ours does
    row(3, report="NARRATIVE:\nCLINICAL HISTORY: Cough.", section_findings="", section_impression="nan"),
    row(4, section_findings=""),
    *(row(number) for number in range(5, 15)),
    row(6),  # twice
    row(15),  # its image is missing
    row(16, path_to_image="elsewhere.jpg"),
    *(row(number, split="valid") for number in (64541, 64542)),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(ROWS)
    (root / "df_chexpert_plus_240401.csv").write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    labels = root / "chexbert_labels"
    labels.mkdir()
    entries = [
        {"path_to_image": values["path_to_image"]} | dict.fromkeys(CHEXPERT_CLASSES) | {"Edema": -1.0, "Fracture": 1.0}
        for values in ROWS[:4]
    ]
    (labels / "impression_fixed.json").write_text("\n".join(map(json.dumps, entries)) + "\n\n")
    for values in ROWS:
        if values["path_to_image"].startswith(("train", "valid")) and "patient00015" not in values["path_to_image"]:
            path = root / "PNG" / values["path_to_image"].replace(".jpg", ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG.getvalue())
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("chexpert-plus", source, output, **{"check_counts": False, "validation_size": 3, **options})


def records_of(report: PrepareReport, split: str | None = None) -> dict[str, dict[str, Any]]:
    found = read_datalist(report.datalist)
    return {record["id"]: record for name, _, record in found.records() if split in (None, name)}


def test_the_datalist_is_sound_and_every_row_is_kept_or_counted(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert report.left_out == {
        "view 'Lateral' not asked for": 1,
        "report has neither findings nor impression": 1,
        "duplicate row": 1,
        "image file missing": 1,
        "path is not .../patient/study/view": 1,
    }
    assert sum(report.splits.values()) + 5 == len(ROWS)
    assert report.splits["test"] == 2


def test_a_record_has_the_raw_report_the_sections_and_nothing_about_the_person(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    record = records_of(report)["patient00001_study1_view2_frontal"]
    assert record == {
        "id": "patient00001_study1_view2_frontal",
        "image": "PNG/train/patient00001/study1/view2_frontal.png",
        "patient_id": "patient00001",
        "study_id": "patient00001_study1",
        "view": "PA",
        "report": RAW,
        "label": [0] * 5 + [None] + [0] * 6 + [1, 0],
        "language": "en",
        "sections": {"findings": "Clear lungs.", "impression": "1. NORMAL."},
    }
    text = report.datalist.read_text()
    assert not {word for word in ("61.0", "Male", "ACC77", "Pacific") if word in text}


def test_our_sectioner_steps_in_where_the_publisher_s_found_nothing(source: Path, tmp_path: Path) -> None:
    records = records_of(prepare(source, tmp_path / "out"))
    assert records["patient00002_study1_view1_frontal"]["sections"] == {
        "findings": "Clear lungs.",
        "impression": "1. NORMAL.",
    }
    assert records["patient00004_study1_view1_frontal"]["sections"] == {"impression": "1. NORMAL."}


def test_labels_missing_for_an_image_are_unknown_and_none_can_be_asked_for(source: Path, tmp_path: Path) -> None:
    assert records_of(prepare(source, tmp_path / "out"))["patient00007_study1_view1_frontal"]["label"] == [None] * 14
    none = prepare(source, tmp_path / "none", labels="none")
    assert read_datalist(none.datalist).classes == []
    assert "label" not in records_of(none)["patient00007_study1_view1_frontal"]


def test_a_missing_or_broken_file_of_labels_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"labels=none goes without.*'chexbert_labels/findings_fixed\.json'"):
        prepare(source, tmp_path / "out", labels="findings")
    (source / "chexbert_labels" / "impression_fixed.json").write_text('{"path_to_image": "a"}\n')
    with pytest.raises(ValueError, match=r"impression_fixed\.json: line 1 is no JSON object .*KeyError"):
        prepare(source, tmp_path / "out")


def test_images_with_empty_reports_lateral_ones_and_another_folder(source: Path, tmp_path: Path) -> None:
    (source / "PNG").rename(source / "mine")
    report = prepare(source, tmp_path / "out", images="mine", keep_empty=True, views=["Frontal", "Lateral"])
    records = records_of(report)
    assert records["patient00001_study1_view3_lateral"]["view"] == "Lateral"
    assert records["patient00003_study1_view1_frontal"]["sections"] == {}
    assert verify_datalist(report.datalist) == []
    with pytest.raises(FileNotFoundError, match="the images are not in the source folder: expected 'PNG/train/"):
        prepare(source, tmp_path / "none")


def test_splits_share_no_patient_and_a_datalist_keeps_its_patients_out(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    patients = [{record["patient_id"] for record in records_of(report, split).values()} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert 1 <= report.splits["validation"] <= 4  # of the images drawn one may have no text, and one no file
    other = prepare(source, tmp_path / "other", exclude=str(report.datalist), validation_size=0, keep_empty=True)
    assert records_of(other, "training").keys() == {"patient00003_study1_view1_frontal"}
    assert other.splits["test"] == 2


def test_other_counts_are_an_error_that_names_expected_and_found(source: Path, tmp_path: Path) -> None:
    expected = rf"rows: expected 223462, found {len(ROWS)}; rows of split valid: expected 234, found 2"
    with pytest.raises(ValueError, match=expected):
        prepare(source, tmp_path / "out", check_counts=True)


def write_rows(root: Path, rows: list[dict[str, str]]) -> None:
    with (root / "df_chexpert_plus_240401.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_a_row_of_another_split_is_an_error_and_does_not_train(source: Path, tmp_path: Path) -> None:
    write_rows(source, [row(1), row(5, split="train") | {"split": "test"}])
    with pytest.raises(ValueError, match=r"240401\.csv: row 2: split must be one of \['train', 'valid'\], got 'test'"):
        prepare(source, tmp_path / "out")


def test_labels_are_found_whatever_stands_before_their_path(source: Path, tmp_path: Path) -> None:
    before = prepare(source, tmp_path / "before")
    path = source / "chexbert_labels" / "impression_fixed.json"
    path.write_text(path.read_text().replace('"train/', '"CheXpert-v1.0/train/'))
    report = prepare(source, tmp_path / "out")
    assert records_of(report) == records_of(before)
    assert report.notes == before.notes
    assert report.notes["images without labels"] == 15


def test_an_accession_number_and_the_note_below_it_are_no_findings(source: Path, tmp_path: Path) -> None:
    tail = "\n \nACCESSION NUMBER:\nABC123\nThis report has been anonymized. All dates are offset.\n"
    none = {"section_findings": "", "section_impression": ""}
    rows = [
        row(1, report="NARRATIVE:\nCHEST 1 VIEW: 1/2/2001" + tail, **none),
        row(2, report="NARRATIVE:\nFINDINGS: Clear." + tail, **none),
    ]
    write_rows(source, rows)
    report = prepare(source, tmp_path / "out", validation_size=0)
    assert [record["sections"] for record in records_of(report).values()] == [{"findings": "Clear."}]
    assert report.left_out["report has neither findings nor impression"] == 1
