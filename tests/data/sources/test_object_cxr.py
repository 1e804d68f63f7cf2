from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.object_cxr import read_object_cxr
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, read_mask_of, records_by_id, write_picture

TRAIN = [f"{index:05d}.jpg" for index in range(20)]
DEV = [f"{index:05d}.jpg" for index in range(8000, 8006)]
SHAPES = {
    "00000.jpg": "0 2 3 10 8;1 20 10 30 30",
    "00001.jpg": "2 5 5 25 5 25 15 5 15",
    "00002.jpg": "0 30 30 60 70",  # beyond the edge
    "08000.jpg": "2 10 10 20 10 15 30",
}
HEIGHT, WIDTH = 40, 48


def table(names: list[str], shapes: dict[str, str] | None = None, newline: str = "\n") -> str:
    known = SHAPES if shapes is None else shapes
    return newline.join(["image_name,annotation", *(f"{name},{known.get(name, '')}" for name in names), ""])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree in the layout of the challenge, archives unpacked."""
    root = tmp_path / "source"
    for part, names in (("train", TRAIN), ("dev", DEV)):
        for name in names:
            write_picture(root / part / name, HEIGHT, WIDTH)
        (root / f"{part}.csv").write_text(table(names))
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("object-cxr", source, output, **{"check_counts": False, **options})


def test_the_published_split_is_sound_and_drawn_over_the_rows(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    training, validation = train_test_split(TRAIN, test_size=0.1, random_state=0)
    assert ids_by_split(report.datalist) == {
        "training": [f"train/{name}" for name in training],
        "validation": [f"train/{name}" for name in validation],
        "test": [f"dev/{name}" for name in DEV],
    }
    assert not report.left_out
    assert not any("patient_id" in record for record in records_by_id(report.datalist).values())
    datalist = read_datalist(report.datalist)
    assert datalist.classes == datalist.extra["mask_classes"] == ["Foreign object"]


def test_boxes_are_tight_around_every_kind_of_shape_and_cut_at_the_edge(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    records = records_by_id(report.datalist)
    assert records["train/00000.jpg"]["boxes"] == [[2, 3, 10, 8], [20, 10, 30, 30]]
    assert records["train/00000.jpg"]["box_classes"] == ["Foreign object"] * 2
    assert records["train/00001.jpg"]["boxes"] == [[5, 5, 25, 15]]
    assert records["train/00002.jpg"]["boxes"] == [[30, 30, 48, 40]]
    assert records["train/00000.jpg"]["label"] == [1]
    without = records["train/00007.jpg"]
    assert (without["label"], without["boxes"], without["box_classes"]) == ([0], [], [])


def test_masks_are_the_shapes_themselves(source: Path, tmp_path: Path) -> None:
    path = prepare(source, tmp_path / "out").datalist
    records = records_by_id(path)
    mask = read_mask_of(path, records["train/00000.jpg"])
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask[3:8, 2:10].all()
    assert mask[10:30, 20:30].sum() == pytest.approx(np.pi / 4 * 200, rel=0.06)
    assert mask.sum() == mask[3:8, 2:10].sum() + mask[10:30, 20:30].sum()
    assert mask[10, 20] == 0  # a corner of the ellipse's box
    assert read_mask_of(path, records["train/00001.jpg"])[5:16, 5:26].all()
    assert read_mask_of(path, records["train/00007.jpg"]).max() == 0


def test_the_mode_mgca_has_larger_boxes_of_polygons_only(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("shapely")
    corner = "2 1000 1000 1030 1000 1030 1002 1000 1050"
    (source / "train.csv").write_text(table(TRAIN, {**SHAPES, "00001.jpg": corner}))
    drafts = {
        mode: read_object_cxr(source, mode=mode, check_counts=False, report=PrepareReport())
        for mode in ("clean", "mgca")
    }
    boxes = {
        mode: {record["id"]: record["boxes"] for records in draft.splits.values() for record in records}
        for mode, draft in drafts.items()
    }
    assert boxes["clean"]["train/00000.jpg"] == boxes["mgca"]["train/00000.jpg"]
    ((x0, y0, x1, y1),) = boxes["mgca"]["train/00001.jpg"]
    tight = boxes["clean"]["train/00001.jpg"]
    assert tight == [[1000, 1000, 1030, 1050]]
    assert x0 <= 1000
    assert y0 <= 1000
    assert x1 >= 1030
    assert y1 >= 1050
    assert (x1 - x0) * (y1 - y0) > 30 * 50
    assert x0 == pytest.approx(1000) or x1 == pytest.approx(1030)  # it reaches the farther end, and not beyond
    assert y0 == pytest.approx(1000) or y1 == pytest.approx(1050)
    assert drafts["mgca"].extra["polygon_box"] == "centred"
    tightened = read_object_cxr(source, mode="mgca", polygon_box="tight", check_counts=False, report=PrepareReport())
    assert tightened.splits == drafts["clean"].splits


def test_the_mode_mgca_gives_a_sound_datalist(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("shapely")
    assert verify_datalist(prepare(source, tmp_path / "out", mode="mgca").datalist) == []


def test_without_shapely_the_centred_box_says_what_to_install(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(ImportError, match=r"needs shapely: pip install 'monai-place\[mm\]'"):
        read_object_cxr(source, mode="mgca", check_counts=False, report=PrepareReport())


def test_the_official_parts_are_taken_as_they_are(source: Path, tmp_path: Path) -> None:
    names = ["09001.jpg", "09002.jpg"]
    (source / "test.csv").write_text("image_path,annotation\ntest/09001.jpg,0 1 1 5 5\ntest\\09002.jpg,\n")
    for name in names:
        write_picture(source / "test" / name, HEIGHT, WIDTH)
    report = prepare(source, tmp_path / "out", split="official")
    assert verify_datalist(report.datalist) == []
    assert ids_by_split(report.datalist) == {
        "training": [f"train/{name}" for name in TRAIN],
        "validation": [f"dev/{name}" for name in DEV],
        "test": [f"test/{name}" for name in names],
    }
    (source / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"'test\.csv'"):
        prepare(source, tmp_path / "out", split="official")


@pytest.mark.parametrize("folder", ["train/train", "images/train", "images"])
def test_images_are_found_where_an_archive_was_unpacked(source: Path, tmp_path: Path, folder: str) -> None:
    (source / "train").rename(tmp_path / "unpacked")
    (source / folder).parent.mkdir(exist_ok=True)
    (tmp_path / "unpacked").rename(source / folder)
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert not report.left_out
    assert records_by_id(report.datalist)["train/00000.jpg"]["image"] == f"{folder}/00000.jpg"


def test_missing_and_repeated_images_are_left_out(source: Path, tmp_path: Path) -> None:
    (source / "train" / "00004.jpg").unlink()
    (source / "dev" / "08001.jpg").write_bytes(b"no picture")  # looked at, since its mask needs a size
    (source / "dev.csv").write_text(table([*DEV, DEV[0]]))
    report = prepare(source, tmp_path / "out")
    assert report.left_out == {"image file missing": 1, "image file unreadable": 1, "listed twice": 1}
    assert verify_datalist(report.datalist) == []


def test_windows_lines_bom_and_stray_separators_are_read(source: Path, tmp_path: Path) -> None:
    plain = records_by_id(prepare(source, tmp_path / "plain").datalist)
    loose = {name: f" {text} ;; " for name, text in SHAPES.items()}
    (source / "train.csv").write_bytes(table(TRAIN, loose, "\r\n").encode("utf-8-sig"))
    assert records_by_id(prepare(source, tmp_path / "out").datalist) == plain


def test_shapes_without_area_are_counted_and_not_taken(source: Path, tmp_path: Path) -> None:
    (source / "train.csv").write_text(table(TRAIN, {"00000.jpg": "0 5 5 5 9;2 7 7;1 2 2 9 9"}))
    report = prepare(source, tmp_path / "out")
    assert report.notes["shapes without area, not taken"] == 2
    assert records_by_id(report.datalist)["train/00000.jpg"]["boxes"] == [[2, 2, 9, 9]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        pytest.param("3 1 1 2 2", "begins with 3, expected 0, 1 or 2", id="kind"),
        pytest.param("0 1 1 2", "has 3 numbers, expected x1 y1 x2 y2", id="short rectangle"),
        pytest.param("1 1 1 2 2 3 3", "has 6 numbers, expected x1 y1 x2 y2", id="long ellipse"),
        pytest.param("2 1 1 2 2 3", "has 5 numbers, expected pairs of x and y", id="odd polygon"),
        pytest.param("2", "has 0 numbers, expected pairs", id="no points"),
        pytest.param("0 1 1 two 2", "holds something else than numbers", id="word"),
        pytest.param("0 1 1 inf 2", "has 4 numbers, expected x1 y1 x2 y2", id="infinite"),
    ],
)
def test_a_shape_that_cannot_be_is_named(source: Path, tmp_path: Path, shape: str, message: str) -> None:
    (source / "train.csv").write_text(table(TRAIN, {"00003.jpg": f"0 1 1 5 5;{shape}"}))
    with pytest.raises(ValueError, match=rf"train\.csv: row 4: shape '{shape}' {message}"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out" / "datalist.json").exists()


def test_tables_of_full_size_pass_the_counts_and_split_as_published(tmp_path: Path) -> None:
    for part, count in (("train", 8000), ("dev", 1000)):
        (tmp_path / f"{part}.csv").write_text(table([f"{index:05d}.jpg" for index in range(count)]))
    draft = read_object_cxr(tmp_path, report=PrepareReport())
    assert [len(records) for records in draft.splits.values()] == [7200, 800, 1000]


def test_other_counts_are_refused_with_both_numbers(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows of train\.csv: expected 8000, found 20; .* expected 1000, found 6"):
        prepare(source, tmp_path / "out", check_counts=True)


def test_tables_without_names_or_annotations_are_refused(source: Path, tmp_path: Path) -> None:
    for text, message in (
        ("image_name\na.jpg\n", r"dev\.csv: columns \['annotation'\] are missing"),
        ("file,annotation\na.jpg,\n", r"dev\.csv: columns \['image_name'\] are missing"),
        ("image_name,annotation\n,0 1 1 2 2\n", r"dev\.csv: row 1: image_name is empty"),
    ):
        (source / "dev.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            prepare(source, tmp_path / "out")


@pytest.mark.parametrize(("option", "value"), [("mode", "paper"), ("split", "rows"), ("polygon_box", "loose")])
def test_an_unknown_choice_is_refused(source: Path, tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be one of .*, got '{value}'"):
        prepare(source, tmp_path / "out", **{option: value})
