from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import SPLITS, read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.verify import verify_datalist

PNG = io.BytesIO()
Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(PNG, "PNG")


def xml(
    number: int, findings: str = "Lungs are clear.", impression: str = "Normal.", mesh: str = "normal", images: int = 2
) -> str:
    parts = {
        "COMPARISON": "None.",
        "INDICATION": "XXXX-year-old with cough.",
        "FINDINGS": findings,
        "IMPRESSION": impression,
    }
    texts = "".join(f'<AbstractText Label="{label}">{text}</AbstractText>' for label, text in parts.items())
    terms = "".join(f"<major>{term}</major>" for term in mesh.split(";"))
    names = "".join(f'<parentImage id="CXR{number}_{number}_IM-0001-{view}001"/>' for view in (3, 4)[:images])
    return f'<?xml version="1.0"?><eCitation><uId id="CXR{number}"/>{texts}<MeSH>{terms}</MeSH>{names}</eCitation>'


REPORTS = {
    **{
        number: xml(number, mesh="normal" if number % 2 else "Cardiomegaly/mild;Pleural Effusion/left")
        for number in range(1, 13)
    },
    13: xml(13, findings="", impression=""),
    14: xml(14, images=0),
    15: xml(15, mesh="No Indexing", findings=""),
    16: xml(16, images=1),  # its image is missing
    17: "<eCitation>",
    18: xml(12),  # CXR12 once more
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "ecgen-radiology").mkdir(parents=True)
    (root / "NLMCXR_png").mkdir()
    lines = ["uid,filename,projection"]
    for number, text in REPORTS.items():
        (root / "ecgen-radiology" / f"{number}.xml").write_text(text)
        for view, projection in ((3, "Frontal"), (4, "Lateral")):
            name = f"{number}_IM-0001-{view}001"
            if number not in (14, 16, 17, 18):
                (root / "NLMCXR_png" / f"CXR{number}_{name}.png").write_bytes(PNG.getvalue())
            if number != 15:
                lines.append(f"{number},{name}.dcm.png,{projection}")
    (root / "indiana_projections.csv").write_text("\r\n".join(lines) + "\r\n")
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("iu-xray", source, output, **{"check_counts": False, "minimum": 2, **options})


def records_of(report: PrepareReport, split: str | None = None) -> dict[str, dict[str, Any]]:
    found = read_datalist(report.datalist)
    return {record["id"]: record for name, _, record in found.records() if split in (None, name)}


def test_the_datalist_is_sound_and_every_image_is_kept_or_counted(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert sum(report.splits.values()) == 26
    assert report.left_out == {
        "report file unreadable": 1,
        "report that is there twice": 1,
        "report has neither findings nor impression": 2,
        "image file missing": 1,
    }
    assert report.notes["reports without an image"] == 1
    assert report.unreadable == [("17.xml", "report file unreadable: no XML: no element found, line 1")]


def test_a_record_has_its_view_its_text_and_its_terms(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert read_datalist(report.datalist).classes == ["Cardiomegaly", "Pleural Effusion", "normal"]
    assert records_of(report)["CXR2_2_IM-0001-4001"] == {
        "id": "CXR2_2_IM-0001-4001",
        "image": "NLMCXR_png/CXR2_2_IM-0001-4001.png",
        "patient_id": "CXR2",
        "study_id": "CXR2",
        "view": "Lateral",
        "report": (
            "COMPARISON: None.\nINDICATION: XXXX-year-old with cough.\nFINDINGS: Lungs are clear.\nIMPRESSION: Normal."
        ),
        "label": [1, 1, 0],
        "language": "en",
        "mesh": ["Cardiomegaly/mild", "Pleural Effusion/left"],
        "sections": {"findings": "Lungs are clear.", "impression": "Normal."},
    }


def test_a_report_that_was_not_indexed_has_unknown_labels_and_a_section_may_be_missing(
    source: Path, tmp_path: Path
) -> None:
    record = records_of(prepare(source, tmp_path / "out"))["CXR15_15_IM-0001-3001"]
    assert record["label"] == [None, None, None]
    assert record["sections"] == {"impression": "Normal."}


def test_views_are_those_of_the_projections_or_unknown(source: Path, tmp_path: Path) -> None:
    frontal = prepare(source, tmp_path / "frontal", views=["Frontal"])
    assert all(name.endswith("3001") for name in records_of(frontal))
    assert frontal.left_out["view '' not asked for"] == 2  # the projections do not list report 15
    (source / "indiana_projections.csv").unlink()
    records = records_of(prepare(source, tmp_path / "unknown"))
    assert len(records) == 26
    assert {record["view"] for record in records.values()} == {None}


def test_images_of_reports_without_text_can_be_kept(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", keep_empty=True)
    assert records_of(report)["CXR13_13_IM-0001-3001"]["sections"] == {}
    assert verify_datalist(report.datalist) == []


def test_no_report_is_in_two_splits_and_normal_ones_are_spread(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    patients = [{record["patient_id"] for record in records_of(report, split).values()} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert all(report.splits.values())


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("images", "CXR{0}_{0}_IM-0001-{1}001.png"),
        (".", "CXR{0}_{0}_IM-0001-{1}001.png"),
        ("images/images_normalized", "{0}_IM-0001-{1}001.dcm.png"),
        ("NLMCXR_dcm/{0}", "{0}_IM-0001-{1}001.dcm"),
    ],
)
def test_images_are_found_in_every_layout(place: str, name: str, source: Path, tmp_path: Path) -> None:
    for path in source.glob("NLMCXR_png/*"):
        path.unlink()
    (source / "NLMCXR_reports").mkdir()
    (source / "ecgen-radiology").rename(source / "NLMCXR_reports" / "ecgen-radiology")
    for number in range(1, 13):
        for view in (3, 4):
            path = source / place.format(number) / name.format(number, view)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG.getvalue())
    assert sum(prepare(source, tmp_path / "out").splits.values()) == 24


def test_the_split_of_r2gen_is_taken_by_the_number_of_the_report(source: Path, tmp_path: Path) -> None:
    entry = "CXR{0}_IM-0001".format
    content = {
        key: [{"id": entry(number), "image_path": [f"{entry(number)}/0.png"], "report": "..."} for number in numbers]
        for key, numbers in {"train": (1, 2, 3), "val": (4, 9999), "test": (5, 12)}.items()
    }
    (source / "annotation.json").write_text(json.dumps(content))
    report = prepare(source, tmp_path / "out", split="r2gen")
    assert report.splits == {"training": 6, "validation": 2, "test": 4}
    assert {record["study_id"] for record in records_of(report, "test").values()} == {"CXR5", "CXR12"}
    assert report.left_out["not in the split of R2Gen"] == 15
    assert report.notes["reports of R2Gen's split without an image to use here"] == 1
    with pytest.raises(
        ValueError, match="reports: expected 3955, found 17; images of the reports: expected 7470, found 29"
    ):
        prepare(source, tmp_path / "counts", check_counts=True)
    (source / "annotation.json").write_text('{"train": []}')
    with pytest.raises(ValueError, match=r"annotation\.json: not R2Gen's: KeyError: 'val'"):
        prepare(source, tmp_path / "broken", split="r2gen")
    (source / "annotation.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"annotation\.json of R2Gen is not in the source folder"):
        prepare(source, tmp_path / "none", split="r2gen")


def test_missing_reports_and_images_and_unknown_choices_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="views must be one of"):
        prepare(source, tmp_path / "out", views=["PA"])
    for path in source.glob("NLMCXR_png/*"):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"the images are not in .*expected 'NLMCXR_png/CXR1_1_IM-0001-3001\.png' or"
    ):
        prepare(source, tmp_path / "out")
    for path in source.glob("ecgen-radiology/*"):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"the reports are not in .*expected \*\.xml in one of \['ecgen-radiology'"
    ):
        prepare(source, tmp_path / "out")


def test_what_a_mac_leaves_beside_a_report_is_no_report(source: Path, tmp_path: Path) -> None:
    before = prepare(source, tmp_path / "before")
    (source / "ecgen-radiology" / "._1.xml").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    assert prepare(source, tmp_path / "out").left_out == before.left_out
