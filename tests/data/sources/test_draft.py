from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from monai_place.data.sources.draft import UNREADABLE, PrepareReport, SourceDraft


def filled() -> PrepareReport:
    report = PrepareReport(Path("/somewhere/private/datalist.json"), {"training": 2, "test": 1})
    report.leave_out("a.png", "image file missing")
    report.leave_out("b.png", "image file missing")
    report.leave_out("c.png", "view 'L' not asked for")
    report.notes["records with a mask"] += 3
    return report


def test_what_is_left_out_is_counted_by_reason_and_remembered_one_by_one() -> None:
    report = filled()
    assert report.left_out == {"image file missing": 2, "view 'L' not asked for": 1}
    assert report.entries[0] == ("a.png", "image file missing")
    assert len(report.entries) == 3


def test_a_report_is_plain_json_and_names_no_folder_and_no_entry() -> None:
    text = json.dumps(filled().to_dict())
    assert json.loads(text) == {
        "unreadable": 0,
        "datalist": "datalist.json",
        "splits": {"training": 2, "test": 1},
        "left_out": {"image file missing": 2, "view 'L' not asked for": 1},
        "notes": {"records with a mask": 3},
    }
    assert "private" not in text
    assert "a.png" not in text


def test_files_that_could_not_be_read_are_remembered_apart_with_what_is_wrong() -> None:
    report = PrepareReport()
    report.leave_out("a.dcm", UNREADABLE, "truncated")
    report.leave_out("b.dcm", UNREADABLE)
    report.leave_out("c.dcm", "image file missing")
    report.note_unreadable("d", "mask not readable")
    assert report.left_out == {UNREADABLE: 2, "image file missing": 1}
    assert report.unreadable == [
        ("a.dcm", f"{UNREADABLE}: truncated"),
        ("b.dcm", UNREADABLE),
        ("d", "mask not readable"),
    ]
    assert len(report.entries) == 4
    assert report.to_dict()["unreadable"] == 3


def test_a_report_reads_as_a_table() -> None:
    assert str(filled()).splitlines() == [
        "     2  training",
        "     1  test",
        "     2  left out: image file missing",
        "     1  left out: view 'L' not asked for",
        "     3  records with a mask",
    ]
    assert str(PrepareReport()) == ""


def test_two_reports_or_drafts_share_nothing() -> None:
    PrepareReport().leave_out("a", "b")
    assert not PrepareReport().left_out
    assert not PrepareReport().entries
    first, second = (SourceDraft("n", "1", "s", [], {}) for _ in range(2))
    first.masks["a"] = None  # type: ignore[assignment]
    first.extra["b"] = 1
    assert not second.masks
    assert not second.extra
    assert not second.copy


def test_notes_on_records_count_those_that_are_kept() -> None:
    draft = SourceDraft("a", "1", "ours", [], {}, record_notes={"strings": {"a": 2, "b": 3}, "none": {"b": 1}})
    report = PrepareReport(notes=Counter({"strings": 1}))
    draft.count_notes({"training": [{"id": "a"}], "test": [{"id": "c"}]}, report)
    assert report.notes == {"strings": 3, "none": 0}
    assert set(report.notes) == {"strings", "none"}  # that nothing was found is worth knowing, too
