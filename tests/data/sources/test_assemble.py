from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.conversion import Conversion
from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.radiograph import read_mask, read_radiograph
from monai_place.data.sources.assemble import assemble, safe_name
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.masks import FilledBoxes, RunLengths
from monai_place.data.verify import verify_datalist

HEIGHT, WIDTH = 90, 60


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with pictures a0 to a5, one that is none, and a report."""
    folder = tmp_path / "source"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)).save(folder / f"a{index}.png")
    (folder / "broken.png").write_bytes((folder / "a0.png").read_bytes()[:200])
    (folder / "report.txt").write_text("Clear lungs.")
    return folder


def record(name: str, **values: Any) -> dict[str, Any]:
    return {"id": name, "image": f"{name}.png", "patient_id": name, "label": [0], **values}


def draft(**changes: Any) -> SourceDraft:
    splits = {
        "training": [record("a0"), record("a1"), record("broken"), record("gone"), record("out", image="../x.png")],
        "validation": [record("a2")],
        "test": [record("a3"), record("a4")],
    }
    return SourceDraft(**{"name": "set", "version": "1", "source": "x", "classes": ["c"], "splits": splits, **changes})


def records(path: Path) -> dict[str, dict[str, Any]]:
    return {record["id"]: record for *_, record in read_datalist(path).records()}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_stay_where_they_are_and_are_found_from_there(source: Path, tmp_path: Path) -> None:
    before = tree(source)
    path = assemble(draft(), source, tmp_path / "out")
    assert tree(source) == before
    assert tree(tmp_path / "out").keys() == {"datalist.json", "left_out.csv"}
    assert read_datalist(path).image_root == "../source"
    assert load_records(path, "test")[0]["image"] == str(source / "a3.png")


def test_what_is_missing_or_leads_outside_is_left_out_and_listed(source: Path, tmp_path: Path) -> None:
    report = PrepareReport()
    assemble(draft(), source, tmp_path / "out", report=report)
    assert report.left_out == {"image file missing": 1, "path outside the source": 1}
    assert report.splits == {"training": 3, "validation": 1, "test": 2}
    assert report.unreadable == []  # nothing was opened
    with (tmp_path / "out" / "left_out.csv").open() as file:
        assert list(csv.reader(file)) == [
            ["entry", "reason"],
            ["gone", "image file missing"],
            ["out", "path outside the source"],
        ]


@pytest.mark.parametrize("how", [{"copy": True}, {"decode": True}, {"opaque": True}])
def test_a_file_that_was_opened_and_is_broken_makes_the_job_fail_in_the_end(
    how: dict[str, bool], source: Path, tmp_path: Path
) -> None:
    report = PrepareReport()
    path = assemble(draft(**how), source, tmp_path / "out", report=report)
    assert report.left_out["image file unreadable"] == 1
    assert [entry for entry, _ in report.unreadable] == ["broken"]
    assert report.to_dict()["unreadable"] == 1
    assert verify_datalist(path) == []


def test_a_copied_set_lies_under_one_root(source: Path, tmp_path: Path) -> None:
    path = assemble(draft(copy=True), source, tmp_path / "out")
    assert read_datalist(path).root == tmp_path / "out"
    assert (tmp_path / "out" / "images" / "a0.png").read_bytes() == (source / "a0.png").read_bytes()


def test_opaque_images_are_written_anew_under_their_ids(source: Path, tmp_path: Path) -> None:
    splits = {"training": [record("k9f", image="a0.png")]}
    path = assemble(draft(splits=splits, opaque=True), source, tmp_path / "out")
    (loaded,) = load_records(path, "training")
    assert Path(loaded["image"]).name == "k9f.png"
    np.testing.assert_array_equal(read_radiograph(loaded["image"])[0], read_radiograph(source / "a0.png")[0])


def test_boxes_are_scaled_from_their_frame_and_cut_at_the_edge(source: Path, tmp_path: Path) -> None:
    boxes = [[10, 20, 30, 40], [100, 20, 140, 40], [-10, 0, 8, 8]]
    splits = {"training": [record("a0", boxes=boxes, box_classes=["x", "y", "z"])]}
    report = PrepareReport()
    path = assemble(
        draft(splits=splits, frames={"a0": (2 * HEIGHT, 2 * WIDTH)}), source, tmp_path / "out", report=report
    )
    assert records(path)["a0"]["boxes"] == [[5, 10, 15, 20], [50, 10, 60, 20], [0, 0, 4, 4]]
    assert report.notes["box sets rescaled to their image"] == 1
    splits["training"][0]["boxes"] = [[10, 20, 30, 40], [70, 20, 80, 40], [5, 5, 5, 9]]
    path = assemble(draft(splits=splits), source, tmp_path / "out", report=(report := PrepareReport()))
    assert records(path)["a0"]["boxes"] == [[10, 20, 30, 40]]
    assert records(path)["a0"]["box_classes"] == ["x"]
    assert report.notes["boxes dropped that lie outside their image"] == 2


def test_masks_of_ids_with_dots_do_not_overwrite_each_other(source: Path, tmp_path: Path) -> None:
    splits = {"training": [record(name, image="a0.png") for name in ("1.2.3", "1.2.4")]}
    masks = {"1.2.3": FilledBoxes(((0, 0, 10, 10),)), "1.2.4": FilledBoxes(((20, 20, 40, 40),))}
    path = assemble(draft(splits=splits, masks=masks, extra={"mask_classes": ["m"]}), source, tmp_path / "out")
    sums = [int(read_mask(loaded["mask"]).sum()) for loaded in load_records(path, "training")]
    assert sums == [100, 400]


def test_a_mask_that_cannot_be_drawn_is_noted_and_its_record_kept(source: Path, tmp_path: Path) -> None:
    report = PrepareReport()
    masks = {"a0": RunLengths(("1 9000",), HEIGHT, WIDTH)}
    path = assemble(draft(masks=masks), source, tmp_path / "out", report=report)
    assert "mask" not in records(path)["a0"]
    assert report.notes["masks left out: not readable"] == 1
    assert [entry for entry, _ in report.unreadable] == ["a0"]


def test_conversion_brings_masks_boxes_and_reports_along(source: Path, tmp_path: Path) -> None:
    splits = {
        "training": [
            record("a0", boxes=[[10, 20, 30, 40]], box_classes=["c"], report_path="report.txt"),
            record("a1", report_path="no.txt"),
            record("broken"),
        ],
        "test": [record("a2")],
    }
    masks = {"a0": FilledBoxes(((10, 20, 30, 40),))}
    report = PrepareReport()
    path = assemble(
        draft(splits=splits, masks=masks), source, tmp_path / "out", convert=Conversion(30, depth=16), report=report
    )
    assert verify_datalist(path) == []
    found = records(path)
    assert found.keys() == {"a0", "a2"}
    assert found["a0"]["boxes"] == [[5, 10, 15, 20]]
    assert found["a0"]["report"] == "Clear lungs."
    assert read_mask(tmp_path / "out" / found["a0"]["mask"]).sum() == 100
    datalist = read_datalist(path)
    assert datalist.root == datalist.mask_root == tmp_path / "out"
    pixels, _ = read_radiograph(datalist.root / found["a0"]["image"])
    assert pixels.shape == (45, 30)
    assert datalist.extra["pixel_mean"] == report.to_dict()["pixel_mean"] == pytest.approx(pixels.mean(), abs=1e-6)
    assert datalist.extra["pixel_std"] == pytest.approx(pixels.std(), abs=1e-6)
    assert [entry for entry, _ in report.unreadable] == ["a1", "broken"]
    assert {name.split("/")[0] for name in tree(tmp_path / "out")} == {
        "conversion.jsonl", "datalist.json", "images", "left_out.csv", "masks"
    }  # fmt: skip


@pytest.mark.parametrize("how", [{}, {"copy": True}, {"opaque": True}])
def test_a_second_conversion_opens_no_picture_again(how: dict[str, bool], source: Path, tmp_path: Path) -> None:
    splits = {"training": [record("a0"), record("a1")], "test": [record("a2")]}
    first = assemble(draft(splits=splits, **how), source, tmp_path / "out", convert=Conversion(30)).read_bytes()
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "images").iterdir()}
    second = assemble(draft(splits=splits, **how), source, tmp_path / "out", convert=Conversion(30)).read_bytes()
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "images").iterdir()} == times
    assert first == second


def test_processes_give_the_same_as_one(source: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        assemble(draft(), source, tmp_path / str(workers), convert=Conversion(30), workers=workers)
    assert tree(tmp_path / "0") == tree(tmp_path / "2")


def complete(record: dict[str, Any]) -> str | None:
    record["report"] = "text"
    return "no report" if record["id"] == "a1" else None


def test_records_are_completed_and_left_out_where_that_fails(source: Path, tmp_path: Path) -> None:
    report = PrepareReport()
    path = assemble(draft(complete=complete), source, tmp_path / "out", report=report)
    assert records(path)["a0"]["report"] == "text"
    assert report.left_out["no report"] == 1


def test_a_limit_and_progress_are_of_what_is_looked_at(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    assemble(draft(), source, tmp_path / "out", limit=1, progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda source, out: assemble(draft(), source, source), "another folder than source", id="source"),
        pytest.param(lambda source, out: assemble(draft(), source, out, limit=0), "limit must be at least", id="limit"),
        pytest.param(lambda source, out: assemble(draft(), source, out, workers=-1), "workers must be", id="workers"),
        pytest.param(
            lambda source, out: assemble(draft(splits={"training": [record("gone")]}), source, out),
            "no usable record; left out: {'image file missing': 1}",
            id="nothing left",
        ),
    ],
)
def test_what_cannot_be_done_is_said(call: Callable[..., Path], message: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        call(source, tmp_path / "out")
    assert not (tmp_path / "out" / "datalist.json").exists()


def test_names_of_files_are_safe() -> None:
    for name in ("../x", "a/b", "a\\b", "con\0", "é", ".hidden", "a" * 500):
        safe = safe_name(name)
        assert safe != name
        assert len(safe) < 140
        assert not set(safe) & set("/\\\0")
        assert not safe.startswith(".")
