from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_place.data.conversion import Conversion
from monai_place.data.datalist import SPLITS, load_records, read_datalist
from monai_place.data.radiograph import read_radiograph
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.own_archive import GUESSED
from monai_place.data.verify import verify_datalist
from tests.support.own_archive import write_radiograph
from tests.support.source_files import read_mask_of, write_picture

COLUMNS = {
    "image": "file",
    "patient_id": "pid",
    "study_id": "study",
    "view": "view",
    "language": "lang",
    "report": "text",
    "report_path": "report",
    "mask": "mask",
    "label:nodule": "nodule",
    "label:effusion": "fluid",
}
ROWS = [
    {"file": "a/one.png", "pid": "007", "study": "S1", "view": "PA", "text": "A nodule of patient 007.", "nodule": "1"},
    {"file": "a\\two.jpg", "pid": "007", "study": "S1", "view": "LL", "report": "texts/two.txt", "fluid": "0"},
    {"file": "three", "pid": "8", "text": "Klarer Befund, kein Erguß.", "lang": "de", "mask": "masks/three.png"},
    {"file": "slice.nii.gz", "pid": "9", "text": " \n", "nodule": "0.0", "fluid": "1.0"},
    {"file": "a/one.png", "pid": "007", "text": "Again."},
    {"file": "gone.png", "pid": "10", "text": "Gone."},
    {"file": "twin.png", "pid": "11", "text": "Which of them?"},
    {"file": "../outside.png", "pid": "12", "text": "Outside."},
    {"file": "broken.png", "pid": "13", "text": "Broken."},
    {"file": "cut.dcm", "pid": "14", "report": "texts/gone.txt"},
    {"file": "whole.dcm", "pid": "15", "report": "texts/gone.txt", "nodule": "1", "fluid": ""},
]


def write_table(path: Path, rows: list[dict[str, str]], **options: Any) -> None:
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        table = csv.DictWriter(file, [*COLUMNS.values(), "name", "split"], restval="", **options)
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder as people have them, with a table that is not quite right."""
    root = tmp_path / "in"
    write_picture(root / "a" / "one.png", 40, 60)
    write_picture(root / "a" / "two.jpg", 30, 20)
    write_picture(root / "x" / "three.png", 16, 24)
    write_picture(root / "l" / "twin.png")
    write_picture(root / "r" / "twin.png")
    write_picture(root / "rowless.png")
    write_picture(tmp_path / "outside.png")
    nibabel.Nifti1Image(np.arange(80, dtype=np.uint8).reshape(8, 10, 1), np.eye(4)).to_filename(root / "slice.nii.gz")
    (root / "broken.png").write_bytes((root / "rowless.png").read_bytes()[:60])
    whole = write_radiograph(root / "whole.dcm", PatientID="ignored")
    (root / "cut.dcm").write_bytes(whole.read_bytes()[:-100])
    (root / "notes.docx").write_bytes(b"PK\x03\x04" + bytes(400))
    (root / ".DS_Store").write_bytes(b"x")
    (root / "texts").mkdir()
    (root / "texts" / "two.txt").write_bytes("Effusion of S1.\r\nPleuraerguß.".encode("cp1252"))
    mask = np.zeros((16, 24), dtype=np.uint8)
    mask[4:8, 5:9] = 255
    (root / "masks").mkdir()
    Image.fromarray(mask).save(root / "masks" / "three.png")
    write_table(root / "cases.csv", ROWS)
    return root


def prepare(source: Path, name: str = "out", **options: Any) -> PrepareReport:
    folder = source.parent
    settings: dict[str, Any] = {"table": "cases.csv", "columns": COLUMNS, "mask_classes": ["lung"]} | options
    if settings.get("deidentify", True):
        settings.setdefault("key_file", str(folder / "key"))
    return prepare_source("folder", source, folder / name, **{k: v for k, v in settings.items() if v is not None})


def by_file(report: PrepareReport, link: Path) -> dict[str, dict[str, Any]]:
    """Return the records by the name of their original file."""
    with link.open(newline="") as file:
        original = {row["id"]: row["file"] for row in csv.DictReader(file)}
    return {original[record["id"]]: record for _, _, record in read_datalist(report.datalist).records()}


@pytest.fixture
def prepared(source: Path) -> tuple[dict[str, dict[str, Any]], PrepareReport]:
    report = prepare(source, linkage=str(source.parent / "link.csv"))
    return by_file(report, source.parent / "link.csv"), report


def test_the_result_passes_verification(prepared: Any) -> None:
    assert verify_datalist(prepared[1].datalist) == []


def test_every_file_and_row_is_kept_or_left_out_with_its_reason(prepared: Any, source: Path) -> None:
    records, report = prepared
    assert set(records) == {"a/one.png", "a/two.jpg", "x/three.png", "slice.nii.gz", "whole.dcm"}
    assert report.left_out == {
        "second row of a file": 1,
        "row without a file": 2,
        "row whose name several files have": 1,
        "image without a row in the table": 3,
        "not a DICOM, NIfTI, PNG or JPEG file by its content": 1,
        "image file unreadable": 2,
    }
    assert report.notes["hidden files not looked at"] == 1
    assert report.notes["report files that cannot be read or are not there"] == 2
    with (report.datalist.parent / "left_out.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    with (source.parent / "link.csv").open(newline="") as file:
        original = {row["id"]: row["file"] for row in csv.DictReader(file)}
    reasons = {original[row["entry"]]: row["reason"] for row in listed}
    assert reasons["broken.png"].startswith("image file unreadable: the PNG file is ")
    assert reasons["cut.dcm"] == "image file unreadable: the pixel data are damaged or truncated"
    assert reasons["twin.png"] == "row whose name several files have"
    assert reasons["l/twin.png"] == reasons["r/twin.png"] == "image without a row in the table"
    assert reasons["a/one.png"] == "second row of a file"
    assert reasons["gone.png"] == reasons["../outside.png"] == "row without a file"
    assert len(listed) == 10


def test_images_are_written_anew_with_the_pixels_that_the_reader_shows(prepared: Any, source: Path) -> None:
    records, report = prepared
    for original, record in records.items():
        path = report.datalist.parent / record["image"]
        assert path.name == f"{record['id']}.png"
        with Image.open(path) as image:
            assert image.mode == "I;16"
            assert image.info == {}
        np.testing.assert_allclose(
            read_radiograph(path)[0], read_radiograph(source / original)[0], rtol=0, atol=0.5 / 65535 + 1e-7
        )
    assert records["whole.dcm"]["pixel_spacing_mm"] == [0.2, 0.3]


def test_texts_come_from_the_table_or_from_files_in_any_encoding(prepared: Any) -> None:
    records, _ = prepared
    assert records["a/one.png"]["report"] == "A nodule of patient 007."  # a number of three digits is like a measure
    assert records["a/two.jpg"]["report"] == "Effusion of ___.\nPleuraerguß."
    assert records["x/three.png"]["report"] == "Klarer Befund, kein Erguß."
    assert records["x/three.png"]["language"] == "de"
    assert "report" not in records["slice.nii.gz"]
    assert "report" not in records["whole.dcm"]


def test_labels_masks_and_views_are_those_of_the_row(prepared: Any) -> None:
    records, report = prepared
    datalist = read_datalist(report.datalist)
    assert datalist.classes == ["nodule", "effusion"]
    assert records["a/one.png"]["label"] == [1, None]
    assert records["a/two.jpg"]["label"] == [None, 0]
    assert records["slice.nii.gz"]["label"] == [0, 1]
    assert (records["a/one.png"]["view"], records["a/two.jpg"]["view"]) == ("PA", "LL")
    mask = read_mask_of(report.datalist, records["x/three.png"])
    assert mask.shape == (16, 24)
    assert set(np.unique(mask)) == {0, 1}
    assert datalist.extra["mask_classes"] == ["lung"]


def test_images_of_a_patient_and_a_study_stay_together_under_opaque_names(prepared: Any) -> None:
    records, _ = prepared
    one, two = records["a/one.png"], records["a/two.jpg"]
    assert (one["patient_id"], one["study_id"]) == (two["patient_id"], two["study_id"])
    assert [one[key][0] for key in ("id", "patient_id", "study_id")] == ["i", "p", "s"]
    assert len({record["patient_id"] for record in records.values()}) == 4


def test_the_linkage_is_its_owners_alone(prepared: Any, source: Path) -> None:
    if os.name == "posix":
        assert stat.S_IMODE((source.parent / "link.csv").stat().st_mode) == 0o600
    assert not list((source.parent / "out").rglob("*link*"))


def test_the_same_key_gives_the_same_ids_to_what_comes_later(source: Path) -> None:
    first = {record["id"]: record for _, _, record in read_datalist(prepare(source).datalist).records()}
    write_picture(source / "late.png", 20, 20)
    write_table(source / "cases.csv", [*ROWS, {"file": "late.png", "pid": "007"}])
    later = {record["id"]: record for _, _, record in read_datalist(prepare(source, "later").datalist).records()}
    assert set(first) < set(later)
    (new,) = set(later) - set(first)
    assert later[new]["patient_id"] in {record["patient_id"] for record in first.values()}
    other = prepare(source, "other", key_file=str(source.parent / "key2"))
    assert not set(first) & {record["id"] for _, _, record in read_datalist(other.datalist).records()}


def test_known_strings_are_taken_out_of_reports(source: Path) -> None:
    write_radiograph(source / "whole.dcm", PatientName="Roe^Richard", PatientBirthDate="19550203")
    row = {"file": "whole.dcm", "pid": "MRN-7", "name": "Doe, Jane"}
    text = "Mrs. Jane DOE (MRN-7, born 3 Feb 1955, see R. Roe): clear, call 555-1234. Doe's heart is normal."
    write_table(source / "cases.csv", [row | {"text": text}])
    options = {"personal_columns": ["name"], "scrub": [r"\d{3}-\d{4}"]}
    (record,) = [record for _, _, record in read_datalist(prepare(source, **options).datalist).records()]
    assert record["report"] == "Mrs. ___ ___ (___, born ___, see R. ___): clear, call ___. ___'s heart is normal."


def test_without_deidentification_files_stay_and_only_what_is_broken_is_left_out(source: Path) -> None:
    report = prepare(source, deidentify=False)
    assert verify_datalist(report.datalist) == []
    records = {record["id"]: record for _, _, record in read_datalist(report.datalist).records()}
    assert set(records) == {"a/one.png", "a/two.jpg", "x/three.png", "slice.nii.gz", "whole.dcm"}
    assert records["a/one.png"]["patient_id"] == "007"
    assert records["a/one.png"]["report"] == "A nodule of patient 007."
    assert report.left_out["image file unreadable"] == 2
    assert not (source.parent / "out" / "images").exists()
    assert not (source.parent / "key").exists()
    assert read_datalist(report.datalist).root == source.resolve()


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="names of bytes are Linux")
@pytest.mark.parametrize("deidentify", [True, False])
def test_a_name_that_is_no_text_does_not_stop_it_at_its_end(source: Path, deidentify: bool) -> None:
    (source / os.fsdecode(b"odd\xff.png")).write_bytes(b"x")
    link = {"linkage": str(source.parent / "link.csv")} if deidentify else {}
    report = prepare(source, deidentify=deidentify, **link)
    assert report.left_out["image file unreadable"] == 3
    table = source.parent / ("link.csv" if deidentify else "out/left_out.csv")
    assert "odd\\udcff.png" in table.read_text(encoding="utf-8")


def test_without_a_table_each_image_is_a_record_without_report(source: Path) -> None:
    report = prepare(source, table=None, columns=None, mask_classes=None)
    records = [record for _, _, record in read_datalist(report.datalist).records()]
    assert len(records) == 9  # the mask is an image, too: nothing says that it is none
    assert not [record for record in records if "report" in record]
    assert report.left_out["not a DICOM, NIfTI, PNG or JPEG file by its content"] == 3
    assert report.notes["images whose patient is not known, each taken for one"] == 9


def test_the_patient_is_the_rows_or_the_paths_or_the_headers(source: Path) -> None:
    write_radiograph(source / "p1" / "a", PatientID="H")
    write_radiograph(source / "b.dcm", PatientID="H")
    write_radiograph(source / "c.dcm", PatientID="H")
    rows = [{"file": "p1/a"}, {"file": "b.dcm"}, {"file": "c.dcm", "pid": "p1"}]
    write_table(source / "cases.csv", rows)
    report = prepare(source, deidentify=False, patient_pattern=r"^(p\d+)/")
    patients = {record["id"]: record["patient_id"] for _, _, record in read_datalist(report.datalist).records()}
    assert patients == {"p1/a": "p1", "b.dcm": "H", "c.dcm": "p1"}


def test_burned_in_names_are_left_out_unless_they_are_asked_for(source: Path) -> None:
    write_radiograph(source / "whole.dcm", BurnedInAnnotation="YES")
    write_table(source / "cases.csv", ROWS[:2] + ROWS[-1:])
    report = prepare(source)
    assert report.left_out["names are burned into its pixels, the header says"] == 1
    assert sum(prepare(source, keep_burned_in=True).splits.values()) == 3


def test_splits_of_the_table_are_kept(source: Path) -> None:
    names = ["train", "Validation", "test", "", "TEST"]
    rows = [{"file": f"{i}.png", "pid": str(i), "split": names[i]} for i in range(5)]
    for row in rows:
        write_picture(source / row["file"])
    write_table(source / "cases.csv", rows)
    columns = {"image": "file", "patient_id": "pid", "split": "split"}
    report = prepare(source, deidentify=False, columns=columns)
    splits = {split: [r["id"] for r in read_datalist(report.datalist).splits[split]] for split in SPLITS}
    assert splits == {"training": ["0.png"], "validation": ["1.png"], "test": ["2.png", "4.png"]}
    assert report.left_out["row without a known split"] == 1
    rows[4]["pid"] = "0"
    write_table(source / "cases.csv", rows)
    with pytest.raises(ValueError, match="1 patients are in more than one split of the table"):
        prepare(source, deidentify=False, columns=columns)


def test_patients_are_in_one_split_and_the_seed_decides_which(source: Path) -> None:
    rows = []
    for i in range(40):
        write_picture(source / "many" / f"{i}.png")
        rows.append({"file": f"many/{i}.png", "pid": str(i // 2)})
    write_table(source / "cases.csv", rows)
    texts = [prepare(source, name, seed=seed).datalist.read_text() for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert texts[0] == texts[1] != texts[2]
    splits = json.loads(texts[0])
    patients = [{record["patient_id"] for record in splits[split]} for split in SPLITS]
    assert [len(splits[split]) for split in SPLITS] == [28, 4, 8]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"encoding": "utf-8-sig"}, id="BOM"),
        pytest.param({"lineterminator": "\r\n"}, id="Windows lines"),
        pytest.param({"encoding": "cp1252"}, id="Windows encoding"),
        pytest.param({"quoting": csv.QUOTE_ALL}, id="quoted"),
    ],
)
def test_the_table_is_read_as_it_comes(source: Path, options: Any) -> None:
    write_table(source / "cases.csv", ROWS, **options)
    report = prepare(source, linkage=str(source.parent / "link.csv"))
    records = by_file(report, source.parent / "link.csv")
    assert records["x/three.png"]["report"] == "Klarer Befund, kein Erguß."
    assert len(records) == 5


def test_an_encoding_that_nothing_tells_may_be_said_and_is_else_counted(source: Path) -> None:
    rows = [ROWS[0] | {"text": "Выпот справа, Иванова.", "name": "Иванова"}, ROWS[1] | {"text": "", "name": "Петров"}]
    write_table(source / "cases.csv", rows, encoding="cp1251")
    (source / "texts" / "two.txt").write_bytes("Петров: без изменений.".encode("cp1251"))
    link, options = source.parent / "link.csv", {"personal_columns": ["name"]}
    report = prepare(source, linkage=str(link), encoding="windows-1251", **options)
    records = by_file(report, link)
    assert records["a/one.png"]["report"] == "Выпот справа, ___."
    assert records["a/two.jpg"]["report"] == "___: без изменений."
    assert GUESSED not in report.notes
    assert prepare(source, "guessed", **options).notes[GUESSED] == 2  # the table and the text


def test_masks_with_several_classes_are_taken_as_they_are(source: Path) -> None:
    mask = np.zeros((16, 24), dtype=np.uint8)
    mask[0, :3] = (1, 2, 2)
    Image.fromarray(mask).save(source / "masks" / "three.png")
    report = prepare(source, linkage=str(source.parent / "link.csv"), mask_classes=["lung", "heart"])
    record = by_file(report, source.parent / "link.csv")["x/three.png"]
    np.testing.assert_array_equal(read_mask_of(report.datalist, record), mask)
    mask[0, 0] = 3
    Image.fromarray(mask).save(source / "masks" / "three.png")
    report = prepare(source, "again", linkage=str(source.parent / "link.csv"), mask_classes=["lung", "heart"])
    assert "mask" not in by_file(report, source.parent / "link.csv")["x/three.png"]
    assert report.notes["masks left out: not readable"] == 1


def test_a_wrong_label_stops_it_and_nothing_is_written(source: Path) -> None:
    write_table(source / "cases.csv", [ROWS[0] | {"nodule": "Doe"}])
    with pytest.raises(ValueError, match=r"cases\.csv: row 1, column 'nodule': a label is 1, 0 or blank") as caught:
        prepare(source)
    assert "Doe" not in str(caught.value)
    assert not (source.parent / "out" / "datalist.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"mask_classes": None}, "mask_classes must name the values of the masks", id="mask classes"),
        pytest.param({"table": None}, "no meaning without a table", id="no table"),
        pytest.param({"patient_pattern": "("}, "patient_pattern is no regular expression", id="pattern"),
        pytest.param({"patient_pattern": "p"}, "patient_pattern must have one group", id="group"),
        pytest.param({"fractions": [1, 1, 0]}, "fractions must be 3 numbers", id="fractions"),
        pytest.param({"encoding": "klingon"}, "encoding must be one that Python knows.*got 'klingon'", id="encoding"),
        pytest.param({"encoding": "utf-16-be"}, r"cases\.csv: not in encoding 'utf-16-be'", id="wrong encoding"),
        pytest.param({"tablo": "x"}, "unknown options", id="unknown"),
        pytest.param({"report": "x"}, "unknown options", id="not an option"),
    ],
)
def test_a_wrong_option_is_named(source: Path, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(source, **options)


def test_conversion_goes_with_deidentification(source: Path) -> None:
    report = prepare(source, convert=Conversion(side=12, depth=16), linkage=str(source.parent / "link.csv"))
    assert verify_datalist(report.datalist) == []
    records = by_file(report, source.parent / "link.csv")
    assert set(records) == {"a/one.png", "a/two.jpg", "x/three.png", "slice.nii.gz", "whole.dcm"}
    sizes = {min(read_radiograph(record["image"])[0].shape) for record in load_records(report.datalist, "training")}
    assert max(sizes) <= 12
    text = "".join(path.read_text() for path in (source.parent / "out").glob("*.*") if path.is_file())
    assert not [name for name in ("one.png", "two.jpg", "whole", str(source)) if name in text]


def test_a_limit_and_workers_change_nothing_else(source: Path) -> None:
    whole = prepare(source).datalist.read_text()
    assert prepare(source, "again", workers=1).datalist.read_text() == whole
    assert max(prepare(source, "few", limit=1).splits.values()) == 1
