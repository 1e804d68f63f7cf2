from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.sources.mimic_reports import MimicReports, find_reports

WHOLE = (
    "                                 FINAL REPORT\r\n EXAMINATION:  CHEST (PA AND LAT)\r\n \r\n"
    " INDICATION:  ___F with cough\r\n \r\n FINDINGS: \r\n \r\n Lungs are clear.  No effusion.\r\n \r\n"
    " IMPRESSION: \r\n \r\n No acute process.\r\n"
)
NEITHER = " FINAL REPORT\n INDICATION:  ___F with cough.\n"
STUDIES = {"s50000001": WHOLE, "s50000002": NEITHER, "s50000003": " ___ \n", "s50000004": "IMPRESSION: Normal."}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mimic-cxr-reports" / "files"
    patient = root / "p10" / "p10000001"
    patient.mkdir(parents=True)
    for study, text in STUDIES.items():
        (patient / f"{study}.txt").write_bytes(text.encode())
    return root


@pytest.fixture(params=["folder", "files/ inside", "mimic-cxr-reports/files/ inside"])
def place(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    if request.param == "folder":
        return folder
    archive = tmp_path / "mimic-cxr-reports.zip"
    prefix = request.param.split(" ")[0]
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"__MACOSX/{prefix}p10/p10000001/s50000001.txt", "junk")
        for path in sorted(folder.rglob("*.txt")):
            file.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def record(study: str) -> dict[str, Any]:
    return {"id": study, "patient_id": "p10000001", "study_id": study}


def test_the_raw_text_and_its_sections_are_added_from_a_folder_or_a_zip(place: Path) -> None:
    reading = MimicReports(place)
    found = record("s50000001")
    assert reading(found) is None
    assert found["report"] == WHOLE
    assert found["sections"] == {"findings": "Lungs are clear. No effusion.", "impression": "No acute process."}
    one = record("s50000004")
    assert reading(one) is None
    assert one["sections"] == {"impression": "Normal."}


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        ("s50000002", "report has neither findings nor impression"),
        ("s50000003", "report has neither findings nor impression"),
        ("s59999999", "report missing"),
    ],
)
def test_a_study_without_text_is_left_out_or_kept_without(place: Path, study: str, reason: str) -> None:
    assert MimicReports(place)(record(study)) == reason
    kept = record(study)
    assert MimicReports(place, keep_empty=True)(kept) is None
    assert kept.get("sections", {}) == {}
    assert ("report" in kept) == (study == "s50000002")


def test_the_usual_places_are_found(folder: Path, tmp_path: Path) -> None:
    assert find_reports(tmp_path) == folder
    assert find_reports(tmp_path, "mimic-cxr-reports") == folder
    assert find_reports(tmp_path, str(folder)) == folder
    folder.rename(tmp_path / "files")
    assert find_reports(tmp_path) == tmp_path / "files"


def test_folders_of_images_alone_are_not_taken_for_reports(tmp_path: Path) -> None:
    (tmp_path / "files" / "p10" / "p10000001" / "s50000001").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"expected one of 'mimic-cxr-reports/files', .*reports=none"):
        find_reports(tmp_path)
    with pytest.raises(FileNotFoundError, match="'elsewhere' is neither a zip archive nor a folder"):
        find_reports(tmp_path, "elsewhere")


def test_a_broken_archive_and_one_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mimic-cxr-reports.zip"
    path.write_bytes(b"PK\3\4 half a download")
    with pytest.raises(ValueError, match=r"mimic-cxr-reports\.zip: not a readable zip archive: BadZipFile"):
        find_reports(tmp_path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("reports.csv", "text")
    with pytest.raises(ValueError, match=r"no file such as p10/p10000032/s50414267\.txt is in the archive"):
        find_reports(tmp_path)


def test_a_damaged_report_in_a_sound_archive_is_left_out_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mimic-cxr-reports.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for study in ("s50000001", "s50000004"):
            file.writestr(f"files/p10/p10000001/{study}.txt", STUDIES[study])
        begin = file.getinfo("files/p10/p10000001/s50000001.txt").header_offset
    data = bytearray(path.read_bytes())
    data[begin + 80 : begin + 110] = bytes(30)
    path.write_bytes(data)
    reading = MimicReports(find_reports(tmp_path))
    assert reading(record("s50000001")) == "report file unreadable"
    assert "Lungs" not in caplog.text
    assert reading(record("s50000004")) is None


def test_a_report_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    patient = tmp_path / "files" / "p10" / "p10000001"
    patient.mkdir(parents=True)
    (patient / "s50000009.txt").write_bytes("FINDINGS: Patient\u2019s lungs are clear.".encode("cp1252"))
    found = record("s50000009")
    assert MimicReports(find_reports(tmp_path))(found) is None
    assert found["report"] == "FINDINGS: Patient\u2019s lungs are clear."
