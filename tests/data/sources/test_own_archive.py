from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.deidentify import Pseudonyms
from monai_place.data.sources.draft import PrepareReport
from monai_place.data.sources.own_archive import (
    OwnArchive,
    list_files,
    look_at_files,
    open_archive,
    split_by_patient,
)
from tests.support.own_archive import write_radiograph
from tests.support.source_files import write_picture

KEY = b"0123456789abcdef0123456789abcdef"


def opened(folder: Path, **changes: Any) -> OwnArchive:
    settings = {"deidentify": True, "key_file": str(folder / "key"), "linkage": None, "scrub": ()} | changes
    (folder / "in").mkdir(exist_ok=True)
    return open_archive(folder / "in", folder / "out", PrepareReport(), **settings)


def test_files_are_listed_in_order_and_hidden_ones_counted(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", ".hidden", "b/.thumb", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == (["a", "b/1", "b/2"], 2)


def test_links_to_folders_are_not_followed_and_links_out_of_the_source_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "outside" / "a.png")
    source = tmp_path / "in"
    source.mkdir()
    (source / "folder").symlink_to(tmp_path / "outside")
    (source / "a.png").symlink_to(tmp_path / "outside" / "a.png")
    files, _ = list_files(source)
    assert files == ["a.png"]
    assert [file.problem for file in look_at_files(source, files)] == ["path outside the source"]


@pytest.mark.parametrize("workers", [0, 1])
def test_each_file_is_told_by_its_content(tmp_path: Path, workers: int) -> None:
    write_picture(tmp_path / "picture.dcm.png")
    (tmp_path / "picture.dcm.png").rename(tmp_path / "a.dcm")
    write_radiograph(tmp_path / "b.txt", PatientID="1")
    (tmp_path / "c.png").write_text("no picture" * 50)
    (tmp_path / "d").touch()
    found = list(look_at_files(tmp_path, ["a.dcm", "b.txt", "c.png", "d"], workers=workers))
    assert [file.kind for file in found] == ["PNG", "DICOM", None, None]
    assert [file.problem for file in found] == ["", "", "", "the file is empty"]
    assert found[1].header is not None
    assert found[1].header.patient == "1"


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="names of bytes are Linux")
def test_a_name_that_is_no_text_is_refused_and_not_lost(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"x")
    files, _ = list_files(tmp_path)
    assert [file.problem for file in look_at_files(tmp_path, files)] == ["its name is not UTF-8"]


def test_ids_of_files_are_noted_for_the_linkage(tmp_path: Path) -> None:
    archive = OwnArchive(tmp_path, Pseudonyms(KEY), PrepareReport(), tmp_path / "link.csv")
    one = archive.name("image", "Doe.png")
    archive.leave_out("Roe.txt", "no image")
    linkage = archive.linkage()
    assert linkage is not None
    assert [path for _, path in linkage.rows] == ["Doe.png", "Roe.txt"]
    assert linkage.rows[0][0] == one
    assert archive.report.entries == [(linkage.rows[1][0], "no image")]
    assert "Roe" not in archive.report.entries[0][0]


def test_a_report_of_which_nothing_is_left_is_none(tmp_path: Path) -> None:
    archive = OwnArchive(tmp_path, Pseudonyms(KEY), PrepareReport())
    record: dict[str, Any] = {"id": "i1"}
    archive.add_report(record, " Jane Doe ", {"Jane", "Doe"})
    assert record == {"id": "i1"}
    other: dict[str, Any] = {"id": "i2"}
    archive.add_report(other, "Jane: clear.\n", {"Jane"})
    assert other == {"id": "i2", "report": "___: clear."}
    assert archive.record_notes == {
        "strings taken out of reports": {"i1": 2, "i2": 1},
        "records without a report": {"i1": 1},
    }


def test_a_name_is_found_behind_damage_and_markup(tmp_path: Path) -> None:
    archive = OwnArchive(tmp_path, Pseudonyms(KEY), PrepareReport())
    record: dict[str, Any] = {"id": "i1"}
    text = "J\0a\0n\0e\0 M&uuml;ller, Jane<br>MÃ¼ller, <b>Mü</b>ller, Scan_MÜLLER.pdf"
    archive.add_report(record, text, {"Jane", "Müller"})
    assert record == {"id": "i1", "report": "___ ___, ___\n___, ___, Scan____.pdf"}


def test_the_linkage_may_lie_neither_in_the_source_nor_in_the_output(tmp_path: Path) -> None:
    for place in ("in", "out", "out/deep"):
        with pytest.raises(ValueError, match="linkage must lie outside the source and the output folder"):
            opened(tmp_path, linkage=str(tmp_path / place / "link.csv"))
    assert not (tmp_path / "key").exists()
    assert opened(tmp_path, linkage=str(tmp_path / "link.csv")).linkage_path == tmp_path / "link.csv"


def test_a_setting_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    for changes in ({"scrub": ["a"]}, {"linkage": str(tmp_path / "l.csv")}):
        with pytest.raises(ValueError, match="no meaning with deidentify=false"):
            opened(tmp_path, deidentify=False, **changes)
    assert opened(tmp_path, deidentify=False).is_opaque is False
    assert not (tmp_path / "key").exists()
    with pytest.raises(FileNotFoundError, match="the source folder does not exist"):
        open_archive(
            tmp_path / "gone", tmp_path, PrepareReport(), deidentify=False, key_file=None, linkage=None, scrub=()
        )


def test_patients_stay_together_and_reports_are_spread() -> None:
    records = [{"id": str(i), "patient_id": f"p{i // 2}", **({"report": "x"} if i < 40 else {})} for i in range(80)]
    splits = split_by_patient(records, seed=1, fractions=(0.5, 0.25, 0.25))
    patients = [{record["patient_id"] for record in part} for part in splits.values()]
    assert sum(map(len, patients)) == 40
    assert [len(part) for part in splits.values()] == [40, 20, 20]
    assert [sum("report" in record for record in part) for part in splits.values()] == [20, 10, 10]
