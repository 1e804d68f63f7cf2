"""People planted wherever an archive can hold them come out nowhere: not in files, logs, messages or the run's page."""

from __future__ import annotations

import csv
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from monai_place.cli.demo import run_report
from monai_place.data import load_records, read_datalist
from monai_place.data.sources import prepare_source
from monai_place.engines import read_history
from monai_place.inference import collect_studies, evaluate_studies, load_place
from monai_place.visualize import write_run_report
from tests.support.cli import TINY_SETTINGS, call_command
from tests.support.own_archive import text_item, write_radiograph, write_report

# Words that occur nowhere else, and whatever is made of them.
PLANTED = (
    *("quimby", "zebulon", "moriarty", "wigglesworth", "gotham", "mrn-88", "accn-55", "secretprivate", "commentphi"),
    *(
        "19470619",
        "1947-06-19",
        "19.06.1947",
        "20191103",
        "2019-11-03",
        "555-0199",
        "1.2.840.4711",
        "exifphi",
        "niftiphi",
    ),
)
FOLDER = "QUIMBY Zebulon 19470619"
TEXT = (
    "Zebulon QUIMBY, MRN-88{0:03}, born 19.06.1947, request ACCN-55{0:03} of 2019-11-03, Gotham General. "
    "Dr. Moriarty (555-0199) asks for a nodule. The heart is {1}enlarged. No effusion."
)
SCRUB = r'scrub=["\\d{3}-\\d{4}"]'
PATIENTS = 16


def header(number: int, **changes: Any) -> dict[str, Any]:
    """Return elements that name a person in every way."""
    return {
        "PatientName": "Quimby^Zebulon",
        "PatientID": f"MRN-88{number:03}",
        "PatientBirthDate": "19470619",
        "PatientAddress": "7 Wigglesworth Lane",
        "PatientComments": "COMMENTPHI",
        "StudyDate": "20191103",
        "ContentDate": "20191103",
        "AccessionNumber": f"ACCN-55{number:03}",
        "InstitutionName": "Gotham General",
        "ReferringPhysicianName": "Moriarty^James",
        "StudyDescription": "QUIMBY thorax",
        "SeriesDescription": "Thorax of Zebulon",
        "BodyPartExamined": "Quimby's chest",  # not allowed there: decoders quote it
        "ViewPosition": "Quimby" if number % 2 else "PA",
        "StudyInstanceUID": f"1.2.840.4711.{number}",
        "SOPInstanceUID": f"1.2.840.4711.{number}.1",
        **changes,
    }


def add_private(path: Path) -> None:
    """Put a private element into a file."""
    import pydicom

    from monai_place.data.pixels import silent_decoders

    with silent_decoders():
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x0011, "QUIMBY INC", create=True)
        block.add_new(0x01, "LO", "SECRETPRIVATE")
        dataset.save_as(path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of 16 patients, with broken and odd files; names of people are in headers, names and texts."""
    root = tmp_path / FOLDER
    rows = []
    for number in range(PATIENTS):
        text = TEXT.format(number, "not " * (number % 2))
        name = f"Quimby_{number}/MRN-88{number:03} 20191103.dcm"
        write_radiograph(root / name, seed=number, **header(number))
        add_private(root / name)
        items = [text_item("Findings", text), text_item("Observer", "Moriarty", relationship="HAS OBS CONTEXT")]
        uids = {"SOPInstanceUID": f"1.2.840.4711.{number}.2", "Modality": "SR"}
        write_report(root / f"Quimby_{number}" / "Zebulon.SR", items, **header(number, **uids))
        (root / f"ACCN-55{number:03}.txt").write_text(text)
        rows.append(
            [
                name,
                f"MRN-88{number:03}",
                f"ACCN-55{number:03}",
                "Quimby, Zebulon",
                "1947-06-19",
                "Gotham",
                "Moriarty",
                "20191103",
                text,
            ]
        )
    odd = {"PresentationLUTShape": "IDENTITY", "PhotometricInterpretation": "MONOCHROME1"}
    plain = write_radiograph(root / "Zebulon odd.dcm", **header(20, **odd))
    (root / "Zebulon cut.dcm").write_bytes(plain.read_bytes()[:-99])
    (root / "Zebulon header.dcm").write_bytes(plain.read_bytes()[:300] + b"\xff" * 300)
    colors = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x013B], exif[0x010E], exif[0x0112] = "EXIFPHI Quimby", "EXIFPHI 19470619", 1
    Image.fromarray(colors).save(root / "Zebulon color.jpg", exif=exif)
    about = PngImagePlugin.PngInfo()
    about.add_text("Author", "Quimby")
    Image.fromarray(colors[..., 0]).save(root / "Zebulon.png", pnginfo=about)
    (root / "Quimby cut.png").write_bytes((root / "Zebulon.png").read_bytes()[:-60])
    volume = nibabel.Nifti1Image(colors[..., :1], np.eye(4))
    volume.header["descrip"], volume.header["db_name"] = b"NIFTIPHI Quimby", b"NIFTIPHI"
    volume.to_filename(root / "Zebulon 20191103.nii")
    broken = ["Zebulon odd.dcm", "Zebulon cut.dcm", "Zebulon color.jpg", "Zebulon.png", "Quimby cut.png", "gone Quimby"]
    person = ["MRN-88900", "ACCN-55900", "Quimby^Zebulon", "1947-06-19", "Gotham", "Dr. Moriarty", "2019-11-03"]
    rows += [[name, *person, TEXT.format(900, "")] for name in broken]
    rows.append(["Zebulon 20191103.nii", "MRN-88901", "", "Quimby", "", "", "", "", "Quimby"])
    write_table(root / "Quimby list.csv", ["file", "mrn", "accn", "name", "born", "site", "asks", "day", "text"], rows)
    return root


def write_table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerows([columns, *rows] if columns else rows)


COLUMNS = 'columns={"image": "file", "patient_id": "mrn", "study_id": "accn", "report": "text"}'
PERSONAL = 'personal_columns=["name", "born", "site", "asks", "day"]'


def found_in(text: str | bytes) -> list[str]:
    low = text.lower()
    return [word for word in PLANTED if (word.encode() if isinstance(low, bytes) else word) in low]


def found_below(folder: Path) -> dict[str, list[str]]:
    """Return what was planted and is in the names or the contents of files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if words := [*found_in(name), *(found_in(path.read_bytes()) if path.is_file() else [])]:
            found[name] = words
    return found


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Gather what commands say; at the end nothing of it, nor of any log or of a process's streams, has a person."""
    caplog.set_level("DEBUG")
    said: list[str] = []
    yield said
    streams = capfd.readouterr()
    logged = [caplog.handler.format(record) for record in caplog.get_records("call")]
    assert logged or not said  # caplog.text would be that of the clearing up
    for text in (*said, *logged, streams.out, streams.err):
        assert found_in(text) == [], text[:3000]


def run(heard: list[str], *words: object, code: int | None = 0) -> Any:
    done = call_command("--verbose", *words)
    heard += [done.out, done.err]
    assert code is None or done.code == code, done.err
    return done


def settings(tmp_path: Path, *more: str) -> list[object]:
    pairs = (f"key_file={tmp_path / 'key'}", f"linkage={tmp_path / 'link.csv'}", SCRUB, *more)
    return [word for pair in pairs for word in ("--set", pair)]


def test_the_plants_are_there(archive: Path) -> None:
    assert {word for words in found_below(archive.parent).values() for word in words} == set(PLANTED)


@pytest.mark.parametrize("workers", [0, 1])
def test_nobody_comes_out_of_a_folder(archive: Path, tmp_path: Path, heard: list[str], workers: int) -> None:
    out = tmp_path / "out"
    words = settings(tmp_path, "table=Quimby list.csv", COLUMNS, PERSONAL)
    run(heard, "prepare", "folder", archive, out, "--workers", workers, *words, code=None)
    assert found_below(out) == {}
    records = [record for _, _, record in read_datalist(out / "datalist.json").records()]
    assert len(records) == PATIENTS + 4
    assert sum("report" in record for record in records) == PATIENTS + 3
    assert any("asks for a nodule. The heart is not enlarged." in record.get("report", "") for record in records)
    assert found_in((tmp_path / "link.csv").read_text())
    run(heard, "verify", out / "datalist.json")
    run(heard, "verify", out / "datalist.json", "--json")


@pytest.mark.parametrize("reports", ["sr", "text", "csv"])
def test_nobody_comes_out_of_a_tree_of_studies(archive: Path, tmp_path: Path, heard: list[str], reports: str) -> None:
    out = tmp_path / "out"
    more = ["table=Quimby list.csv", 'columns={"accession": "accn", "report": "text"}'] if reports == "csv" else []
    run(heard, "prepare", "dicom", archive, out, *settings(tmp_path, f"reports={reports}", *more), code=None)
    assert found_below(out) == {}
    records = [record for _, _, record in read_datalist(out / "datalist.json").records()]
    assert len(records) == PATIENTS + 1
    assert sum("report" in record for record in records) >= PATIENTS
    run(heard, "verify", out / "datalist.json")


@pytest.mark.parametrize("kind", ["folder", "dicom"])
def test_nobody_comes_out_of_a_conversion(archive: Path, tmp_path: Path, heard: list[str], kind: str) -> None:
    out = tmp_path / "out"
    run(heard, "prepare", kind, archive, out, "--convert", "--side", 16, *settings(tmp_path), code=None)
    assert found_below(out) == {}
    assert len(list((out / "images").iterdir())) >= PATIENTS


@pytest.mark.slow
def test_nobody_comes_out_of_training_inference_and_the_page_of_a_run(
    archive: Path, tmp_path: Path, heard: list[str]
) -> None:
    out, made = tmp_path / "out", tmp_path / "made"
    datalist = out / "datalist.json"
    run(heard, "prepare", "dicom", archive, out, *settings(tmp_path), code=None)
    run(heard, "pretrain", datalist, "--out", made / "run", "--preset", "place_tiny", *TINY_SETTINGS)
    run(heard, "classify", made / "run", out / "images", "--finding", "nodule", "--out", made / "found.csv")
    run(heard, "classify", made / "run", out / "images", "--finding", "nodule", "--json")
    run(heard, "embed", made / "run", out / "images", "--out", made / "index")
    run(heard, "evaluate", made / "run", datalist, "--bootstrap", 10, "--json", made / "numbers.json")
    loaded, test = load_place(made / "run"), load_records(datalist, "test")
    collected = collect_studies(loaded, test, classes=[])
    report = run_report(
        loaded,
        collected,
        evaluate_studies(collected),
        test,
        prior=None,
        history=read_history(made / "run/history.jsonl"),
    )
    write_run_report(made / "report.html", report, show_text=True)
    assert found_below(made) == {}
    assert (made / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("folder", {"table": "Quimby list.csv"}, id="columns that are not mapped"),
        pytest.param("folder", {"table": "bare.csv"}, id="table without a header"),
        pytest.param(
            "folder", {"table": "Quimby list.csv", "columns": {"image": "file", "label:x": "name"}}, id="label"
        ),
        pytest.param("folder", {"table": "split.csv"}, id="patient in two splits"),
        pytest.param("folder", {"table": "empty.csv"}, id="empty table"),
        pytest.param("folder", {"table": "zip.csv.gz"}, id="damaged table"),
        pytest.param("dicom", {"views": ["LLO"]}, id="nothing that is asked for"),
        pytest.param("dicom", {"reports": "csv", "table": "bare.csv"}, id="reports without a header"),
        pytest.param("dicom", {"series": "Zebulon("}, id="bad expression"),
        pytest.param("dicom", {"scrub": ["Quimby("]}, id="bad expression to scrub"),
    ],
)
def test_nobody_is_in_an_error(
    archive: Path, tmp_path: Path, heard: list[str], kind: str, options: dict[str, Any]
) -> None:
    write_table(archive / "bare.csv", [], [["Quimby, Zebulon", "MRN-88001", "19470619"]])
    name = next(path.relative_to(archive).as_posix() for path in sorted(archive.rglob("*.dcm")))
    both = [[name, "MRN-88001", "train"], ["Zebulon.png", "MRN-88001", "test"]]
    write_table(archive / "split.csv", ["image", "patient_id", "split"], both)
    write_table(archive / "empty.csv", ["image", "Quimby"], [])
    (archive / "zip.csv.gz").write_bytes(b"\x1f\x8bQuimby")
    with pytest.raises((ValueError, OSError)) as caught:
        prepare_source(kind, archive, tmp_path / "out", key_file=str(tmp_path / "key"), **options)
    # The name of a table is the user's own word; what is in it is not.
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    said = "\n".join(line for line in lines if not line.lstrip().startswith("File "))
    assert found_in(said.replace("Quimby list.csv", "")) == [], said
    assert not (tmp_path / "out" / "datalist.json").exists()
