from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import read_datalist
from monai_place.data.radiograph import read_radiograph
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.verify import verify_datalist
from tests.support.own_archive import text_item, write_radiograph, write_report
from tests.support.source_files import ids_by_split, write_picture

ONE, TWO, THREE = "1.2.826.1", "1.2.826.2", "1.2.826.3"
PERSON = {"PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19550203", "StudyDate": "20200115"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree as a PACS exports it: three studies, structured reports, and what else lies about."""
    root = tmp_path / "in"
    study = {"StudyInstanceUID": ONE, "AccessionNumber": "ACC-1", **PERSON}
    write_radiograph(root / "DOE" / "IM1", seed=1, SOPInstanceUID="1.1", SeriesDescription="Thorax pa", **study)
    write_radiograph(root / "DOE" / "IM2", seed=2, SOPInstanceUID="1.2", ViewPosition="LL", Modality="DX", **study)
    write_radiograph(root / "DOE" / "copy", seed=1, SOPInstanceUID="1.1", **study)
    old, new = (
        [text_item("Findings", "Preliminary.")],
        [text_item("Findings", "Jane Doe: nodule, MRN-4711, 15.01.2020.")],
    )
    write_report(root / "DOE" / "SR2", new, ContentTime="130000", **study)
    write_report(root / "DOE" / "SR1", old, ContentTime="120000", **study)
    other = {"StudyInstanceUID": TWO, "AccessionNumber": "ACC-2", "PatientID": "MRN-9"}
    write_radiograph(root / "2" / "a", seed=3, SOPInstanceUID="2.1", ViewPosition="DOE", Modality="DX", **other)
    write_radiograph(root / "2" / "ct", SOPInstanceUID="2.2", Modality="CT", **other)
    write_radiograph(root / "2" / "us", SOPInstanceUID="2.3", Modality="DOE JANE", **other)
    write_radiograph(root / "3" / "b", seed=4, StudyInstanceUID=THREE, SOPInstanceUID="3.1")
    lone = {"StudyInstanceUID": "1.2.826.99"}
    write_report(root / "SR", [text_item("Findings", "Whose?")], **lone)
    (root / "cut").write_bytes((root / "2" / "a").read_bytes()[:-50])
    (root / "notes.txt").write_text("A note on Jane Doe. " * 30)
    write_picture(root / "photo.png")
    return root


def prepare(source: Path, name: str = "out", **options: Any) -> PrepareReport:
    folder = source.parent
    settings = {"key_file": str(folder / "key"), "linkage": str(folder / "link.csv")} | options
    return prepare_source("dicom", source, folder / name, **{k: v for k, v in settings.items() if v is not None})


def by_file(report: PrepareReport, link: Path) -> dict[str, dict[str, Any]]:
    with link.open(newline="") as file:
        original = {row["id"]: row["file"] for row in csv.DictReader(file)}
    return {original[record["id"]]: record for _, _, record in read_datalist(report.datalist).records()}


@pytest.fixture
def prepared(source: Path) -> tuple[dict[str, dict[str, Any]], PrepareReport]:
    report = prepare(source)
    return by_file(report, source.parent / "link.csv"), report


def test_the_result_passes_verification(prepared: Any) -> None:
    assert verify_datalist(prepared[1].datalist) == []


def test_radiographs_are_chosen_by_modality_and_the_rest_is_listed(prepared: Any) -> None:
    records, report = prepared
    assert set(records) == {"DOE/IM1", "DOE/IM2", "2/a", "3/b"}
    assert report.left_out == {
        "second file of the same SOP Instance UID": 2,  # the copy, and the one that is cut
        "modality CT not asked for": 1,
        "modality unknown not asked for": 1,
        "older report of a study": 1,
        "report without an image": 1,
        "not a DICOM file by its content": 2,
    }
    assert report.notes["records without a report"] == 2


def test_a_broken_image_is_left_out_with_its_reason(source: Path) -> None:
    (source / "2" / "a").unlink()
    report = prepare(source)
    assert report.left_out["image file unreadable"] == 1
    assert report.notes["records without a report"] == sum(
        "report" not in record for _, _, record in read_datalist(report.datalist).records()
    )
    assert ": the pixel data are damaged or truncated" in (source.parent / "out" / "left_out.csv").read_text()


def test_a_copy_that_is_cut_off_does_not_take_the_place_of_the_whole_one(source: Path) -> None:
    whole = write_radiograph(source / "5" / "b", SOPInstanceUID="5.1")
    (source / "5" / "a").write_bytes(whole.read_bytes()[:-70])
    records = by_file(prepare(source), source.parent / "link.csv")
    assert "5/b" in records
    assert "5/a" not in records


def test_images_of_a_study_share_its_report_patient_and_study(prepared: Any) -> None:
    records, _ = prepared
    one, two, other, blank = (records[name] for name in ("DOE/IM1", "DOE/IM2", "2/a", "3/b"))
    assert one["report"] == two["report"] == "FINDINGS:\n___ ___: nodule, ___, ___."
    assert (one["patient_id"], one["study_id"]) == (two["patient_id"], two["study_id"])
    assert len({one["patient_id"], other["patient_id"], blank["patient_id"]}) == 3
    assert (one["view"], two["view"], "view" in other) == ("PA", "LL", False)  # what is no term may be a name


def test_images_are_written_anew_with_their_spacing(prepared: Any, source: Path) -> None:
    records, report = prepared
    for original, record in records.items():
        path = report.datalist.parent / record["image"]
        assert path.name == f"{record['id']}.png"
        with Image.open(path) as image:
            assert (image.mode, image.info) == ("I;16", {})
        np.testing.assert_allclose(
            read_radiograph(path)[0], read_radiograph(source / original)[0], rtol=0, atol=0.5 / 65535 + 1e-7
        )
        assert record["pixel_spacing_mm"] == [0.2, 0.3]


def test_ids_come_of_uids_so_that_a_moved_file_keeps_them(source: Path, prepared: Any) -> None:
    records, _ = prepared
    (source / "DOE" / "IM1").rename(source / "moved")
    (source / "DOE" / "copy").unlink()
    again = by_file(prepare(source, "again"), source.parent / "link.csv")
    assert again["moved"]["id"] == records["DOE/IM1"]["id"]
    assert again["moved"]["patient_id"] == records["DOE/IM1"]["patient_id"]


def test_patients_have_the_ids_that_prepare_folder_gives_them(source: Path, prepared: Any) -> None:
    records, _ = prepared
    (source / "t.csv").write_text("image,patient_id\nDOE/IM1,MRN-4711\n")
    report = prepare_source(
        "folder", source, source.parent / "folder", table="t.csv", key_file=str(source.parent / "key")
    )
    ((_, _, record),) = list(read_datalist(report.datalist).records())
    assert record["patient_id"] == records["DOE/IM1"]["patient_id"]
    assert record["study_id"] == records["DOE/IM1"]["study_id"]


def test_views_series_and_body_parts_choose(source: Path) -> None:
    def chosen(**options: Any) -> set[str]:
        return set(by_file(prepare(source, **options), source.parent / "link.csv"))

    assert chosen(views=["pa", "AP"]) == {"DOE/IM1", "3/b"}
    assert chosen(series="^thorax") == {"DOE/IM1"}
    assert chosen(modalities="DX") == {"DOE/IM2", "2/a"}
    write_radiograph(source / "4" / "c", BodyPartExamined="CHEST")
    assert chosen(body_parts=["CHEST"]) == {"4/c"}
    with pytest.raises(ValueError, match="no image that is asked for among 14 files"):
        prepare(source, views=["LLO"])


def test_reports_as_text_are_found_by_accession_number_or_study(source: Path) -> None:
    (source / "texts").mkdir()
    (source / "texts" / "ACC-1.txt").write_bytes("Erguß bei Jane Doe.".encode("cp1252"))
    (source / "texts" / f"{TWO}.TXT").write_text("Clear. ACC-2.")
    (source / "texts" / "ACC-2.txt").write_text("Second.")
    (source / "texts" / "ACC-77.txt").write_text("Nobody's.")
    report = prepare(source, reports="text")
    records = by_file(report, source.parent / "link.csv")
    assert records["DOE/IM1"]["report"] == records["DOE/IM2"]["report"] == "Erguß bei ___ ___."
    assert records["2/a"]["report"] in ("Clear. ___.", "Second.")
    assert report.left_out["second report of a study"] == 1
    assert report.left_out["report without an image"] == 2  # ACC-77, and the note
    assert report.left_out["structured report not asked for"] == 3


def test_the_encoding_of_texts_and_tables_may_be_said(source: Path) -> None:
    (source / "ACC-1.txt").write_bytes("右侧胸腔积液。".encode("gbk"))
    records = by_file(prepare(source, reports="text", encoding="gbk"), source.parent / "link.csv")
    assert records["DOE/IM1"]["report"] == "右侧胸腔积液。"
    (source / "reports.csv").write_bytes("accession,report\nACC-1,右侧胸腔积液。\n".encode("gbk"))
    options = {"reports": "csv", "table": "reports.csv", "encoding": "gbk"}
    records = by_file(prepare(source, **options), source.parent / "link.csv")
    assert records["DOE/IM1"]["report"] == "右侧胸腔积液。"


def test_reports_of_a_table_are_found_by_either_number(source: Path) -> None:
    rows = ["Request;UID;Text", "ACC-1;;Nodule of Jane.", f";{TWO};", "ACC-2;;Clear.", "ACC-2;;Again.", "ACC-0;;Lost."]
    (source / "reports.csv").write_text("\r\n".join(rows))
    columns = {"accession": "Request", "study_uid": "UID", "report": "Text"}
    report = prepare(source, reports="csv", table="reports.csv", columns=columns, delimiter=";")
    records = by_file(report, source.parent / "link.csv")
    assert records["DOE/IM1"]["report"] == "Nodule of ___."
    assert records["2/a"]["report"] == "Clear."
    assert report.left_out["second report of a study"] == 1
    assert report.left_out["report without an image"] == 1


def test_without_reports_none_is_read(source: Path) -> None:
    report = prepare(source, reports="none")
    assert report.notes["records without a report"] == 4
    assert report.left_out["structured report not asked for"] == 3


def test_without_deidentification_files_stay_where_they_are(source: Path) -> None:
    report = prepare(source, deidentify=False, key_file=None, linkage=None)
    assert verify_datalist(report.datalist) == []
    records = {record["id"]: record for _, _, record in read_datalist(report.datalist).records()}
    assert set(records) == {"DOE/IM1", "DOE/IM2", "2/a", "3/b"}
    assert records["DOE/IM1"]["patient_id"] == "MRN-4711"
    assert "Jane Doe" in records["DOE/IM1"]["report"]
    assert not (source.parent / "key").exists()
    assert not (source.parent / "out" / "images").exists()


def test_a_study_without_a_patient_is_one_and_counted(prepared: Any) -> None:
    assert prepared[1].notes["images whose patient is not known, each study taken for one"] == 1


def test_a_file_without_study_and_instance_is_a_study_of_its_own(source: Path) -> None:
    for name in ("x", "y"):
        write_radiograph(source / name, StudyInstanceUID=None, SOPInstanceUID=None)
    records = by_file(prepare(source), source.parent / "link.csv")
    assert records["x"]["id"] != records["y"]["id"]
    assert records["x"]["study_id"] != records["y"]["study_id"]


def test_burned_in_names_are_left_out_unless_they_are_asked_for(source: Path) -> None:
    write_radiograph(source / "x", BurnedInAnnotation="YES")
    assert prepare(source).left_out["names are burned into its pixels, the header says"] == 1
    assert len(by_file(prepare(source, keep_burned_in=True), source.parent / "link.csv")) == 5


def test_no_patient_is_in_two_splits_and_workers_change_nothing(source: Path) -> None:
    for number in range(30):
        write_radiograph(
            source / "many" / str(number), size=8, SOPInstanceUID=f"9.{number}", PatientID=f"P{number // 3}"
        )
    report = prepare(source)
    seen: dict[str, set[str]] = {}
    for split, _, record in read_datalist(report.datalist).records():
        seen.setdefault(record["patient_id"], set()).add(split)
    assert len(seen) == 13
    assert all(len(splits) == 1 for splits in seen.values())
    assert ids_by_split(prepare(source, "again", workers=1).datalist) == ids_by_split(report.datalist)
    assert ids_by_split(prepare(source, "other", seed=1).datalist) != ids_by_split(report.datalist)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"reports": "pdf"}, "reports must be one of", id="kind"),
        pytest.param({"reports": "csv"}, "reports=csv needs the option table", id="no table"),
        pytest.param({"table": "t.csv"}, "reports=csv needs the option table", id="table in vain"),
        pytest.param({"series": "("}, "series is no regular expression", id="series"),
        pytest.param({"scrub": ["("]}, r"scrub\[0\] is no regular expression", id="scrub"),
    ],
)
def test_a_wrong_option_is_named(source: Path, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(source, **options)


def test_a_table_without_a_number_is_refused(source: Path) -> None:
    (source / "t.csv").write_text("report\nJane Doe\n")
    with pytest.raises(ValueError, match=r"t\.csv: columns must have 'accession' or 'study_uid'"):
        prepare(source, reports="csv", table="t.csv")
