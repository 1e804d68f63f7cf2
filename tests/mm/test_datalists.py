"""Which records a dataset holds, and how its classes are numbered."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.datalist import Datalist
from monai_place.data.paths import PathGuard
from monai_place.mm.datalists import (
    RecordChoice,
    box_class_names,
    join_root,
    labelled_boxes,
    mask_class_names,
    number_classes,
    overlay_palette,
    resolve_file,
)


def datalist(**extra: Any) -> Datalist:
    """Return ten training records, every second one with a mask, and one test record."""
    training = [{"id": f"a{n}", "image": f"{n}.png", "mask": None if n % 2 else f"{n}.png"} for n in range(10)]
    splits = {"training": training, "validation": [], "test": [{"id": "t", "image": "t.png"}]}
    return Datalist("name", "1", "", ".", ["edema", "nodule"], splits, extra=extra)


def ids_of(chosen: list[tuple[int, dict[str, Any]]]) -> list[str]:
    return [record["id"] for _, record in chosen]


def test_all_records_come_in_order_with_their_index() -> None:
    chosen = RecordChoice("training").records(datalist(), "d.json", "image")
    assert [index for index, _ in chosen] == list(range(10))
    assert ids_of(chosen) == [f"a{n}" for n in range(10)]


def test_records_without_the_annotation_are_an_error_with_counts() -> None:
    with pytest.raises(ValueError, match="5 of 10 records of split 'training' lack 'mask', which this task"):
        RecordChoice("training").records(datalist(), "d.json", "mask")


def test_records_without_the_annotation_are_left_out_on_demand_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "monai_place")
    chosen = RecordChoice("training", "skip").records(datalist(), "d.json", "mask")
    assert chosen == [(n, datalist().splits["training"][n]) for n in range(0, 10, 2)]
    assert "5 of 10 records of split 'training' lack 'mask': left out" in caplog.text


def test_an_empty_annotation_is_one() -> None:
    content = datalist()
    content.splits["test"][0]["boxes"] = []
    assert ids_of(RecordChoice("test").records(content, "d.json", "boxes")) == ["t"]


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_path_is_no_annotation(blank: str) -> None:
    content = datalist()
    content.splits["training"][0]["mask"] = blank
    chosen = RecordChoice("training", "skip").records(content, "d.json", "mask")
    assert ids_of(chosen) == ["a2", "a4", "a6", "a8"]
    with pytest.raises(ValueError, match="6 of 10 records of split 'training' lack 'mask'"):
        RecordChoice("training").records(content, "d.json", "mask")


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_split_with_nothing_to_use_is_an_error(split: str) -> None:
    with pytest.raises(ValueError, match=f"split '{split}' has no record with 'boxes' left to use"):
        RecordChoice(split, "skip").records(datalist(), "d.json", "boxes")


@pytest.mark.parametrize("kind", ["list", "file"])
def test_ids_choose_records_in_the_order_of_the_datalist(kind: str, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes("\ufeffa7\r\n\r\na2\r\n".encode())
    ids = ["a7", "a2"] if kind == "list" else tmp_path / "ids.txt"
    assert ids_of(RecordChoice("training", ids=ids).records(datalist(), "d.json", "image")) == ["a2", "a7"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        pytest.param(
            ["a1", "b", "t"], r"d.json: 2 of 3 ids are not in split 'training', such as \['b', 't'\]", id="foreign"
        ),
        pytest.param(["a1", "a2", "a1"], r"ids: ids are listed twice, such as \['a1'\]", id="twice"),
        pytest.param([], "ids: no id is listed", id="none"),
    ],
)
def test_ids_that_make_no_sense_are_refused(ids: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordChoice("training", ids=ids).records(datalist(), "d.json", "image")


def test_a_file_of_ids_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a1\na2\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"ids\.txt: not UTF-8 text"):
        RecordChoice("training", ids=tmp_path / "ids.txt").records(datalist(), "d.json", "image")


def test_fractions_are_of_annotated_records_and_nested() -> None:
    def drawn(fraction: float | None, seed: int = 0) -> list[str]:
        return ids_of(RecordChoice("training", "skip", None, fraction, seed).records(datalist(), "d.json", "mask"))

    assert [len(drawn(fraction)) for fraction in (0.01, 0.4, 1.0)] == [1, 2, 5]
    assert set(drawn(0.01)) < set(drawn(0.4)) < set(drawn(1.0)) == set(drawn(None))
    assert len({tuple(drawn(0.4, seed)) for seed in range(10)}) > 1


def test_a_fraction_of_ids_is_drawn_among_them() -> None:
    choice = RecordChoice("training", ids=["a2", "a4"], fraction=0.5)
    (record_id,) = ids_of(choice.records(datalist(), "d.json", "mask"))
    assert record_id in {"a2", "a4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"split": "train"}, "split must be one of .*, got 'train'", id="split"),
        pytest.param({"split": "test", "missing": "drop"}, "missing must be one of .*, got 'drop'", id="missing"),
        pytest.param(
            {"split": "test", "fraction": 10}, "fraction must be above 0 and at most 1, got 10", id="fraction"
        ),
        pytest.param(
            {"split": "test", "fraction": "0.1"}, "fraction must be above 0 and at most 1, got '0.1'", id="text"
        ),
    ],
)
def test_choices_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordChoice(**arguments)


def test_masks_have_classes_of_their_own_where_the_datalist_says_so() -> None:
    assert mask_class_names(datalist()) == ["edema", "nodule"]
    assert mask_class_names(datalist(mask_classes=["lung"])) == ["lung"]


def with_boxes(*box_classes: Any) -> Datalist:
    content = datalist()
    content.splits["test"][0] |= {"boxes": [[0, 0, 1, 1]] * len(box_classes), "box_classes": list(box_classes)}
    return content


@pytest.mark.parametrize(
    ("content", "names"),
    [
        pytest.param(with_boxes("nodule"), ["edema", "nodule"], id="classes of the datalist"),
        pytest.param(with_boxes(1), ["edema", "nodule"], id="indices"),
        pytest.param(with_boxes("right lung", "left lung"), ["left lung", "right lung"], id="names of their own"),
        pytest.param(with_boxes(), ["edema", "nodule"], id="no boxes"),
    ],
)
def test_boxes_have_the_classes_of_the_datalist_or_their_own(content: Datalist, names: list[str]) -> None:
    assert box_class_names(content) == names


def test_boxes_without_names_are_of_one_class() -> None:
    content = datalist()
    content.splits["test"][0]["boxes"] = [[0, 0, 1, 1]]
    assert box_class_names(content) == ["finding"]


@pytest.mark.parametrize("name", [None, ["edema", "nodule"], 7])
def test_a_class_that_a_box_cannot_have_is_named_with_its_record(name: Any) -> None:
    with pytest.raises(ValueError, match=r"record 't': a box class is .*, expected a name or an index of the 2"):
        box_class_names(with_boxes(name))


def test_classes_are_numbered_in_the_order_asked_for() -> None:
    assert number_classes("abc", ["c", "a"], merge=False) == (("c", "a"), {"c": 0, "a": 1})


@pytest.mark.parametrize(
    ("chosen", "merge", "name"),
    [
        pytest.param(None, True, "finding", id="several"),
        pytest.param(["b"], True, "b", id="one keeps its name"),
        pytest.param(None, "opacity", "opacity", id="named"),
    ],
)
def test_classes_are_merged_into_one(chosen: list[str] | None, merge: bool | str, name: str) -> None:
    assert number_classes(["a", "b"], chosen, merge=merge) == ((name,), dict.fromkeys(chosen or ["a", "b"], 0))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        pytest.param(["x"], r"classes \['x'\] are not annotated; the annotated ones are \['a', 'b'\]", id="unknown"),
        pytest.param(["a", "a"], "classes must be different names", id="twice"),
        pytest.param([], "classes must be different names, at least one", id="none"),
        pytest.param("a", "classes must be a list of names, got the text 'a'", id="text"),
    ],
)
def test_classes_that_make_no_sense_are_refused(chosen: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        number_classes(["a", "b"], chosen, merge=False)


def test_boxes_of_other_classes_are_left_out() -> None:
    record = {"id": "r", "boxes": [[0, 0, 1, 1], [2, 2, 3.5, 3], [4, 4, 5, 5]], "box_classes": ["a", "b", 1]}
    found = labelled_boxes(record, ["a", "b"], {"b": 0})
    assert found == [("b", 0, (2.0, 2.0, 3.5, 3.0)), ("b", 0, (4.0, 4.0, 5.0, 5.0))]


def test_boxes_without_names_have_the_only_label() -> None:
    assert labelled_boxes({"id": "r", "boxes": [[0, 0, 1, 1]]}, [], {"finding": 0}) == [("finding", 0, (0, 0, 1, 1))]


def test_a_box_without_a_name_is_not_of_the_only_class_that_was_chosen_of_several() -> None:
    record = {"id": "r", "boxes": [[0, 0, 1, 1]]}
    assert labelled_boxes(record, [], {"a": 0}, known=["a"]) == [("a", 0, (0, 0, 1, 1))]
    with pytest.raises(ValueError, match=r"record 'r': key 'box_classes' is missing, the classes are \['a', 'b'\]"):
        labelled_boxes(record, [], {"a": 0}, known=["a", "b"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param({"box_classes": []}, "record 'r': 0 box_classes for 1 boxes", id="too few classes"),
        pytest.param(
            {"box_classes": None}, "record 'r': key 'box_classes' is missing, the classes are", id="no classes"
        ),
        pytest.param(
            {"box_classes": [7]}, "a box class is 7, expected a name or an index of the 2 classes", id="index"
        ),
        pytest.param(
            {"boxes": [[30, 10, 10, 30]]},
            r"record 'r': box 0 is \[30, 10, 10, 30\], expected x0 below x1",
            id="reversed",
        ),
        pytest.param(
            {"boxes": [[1, 2, 3, 2.0]]}, r"record 'r': box 0 is .*, expected x0 below x1 and y0 below y1", id="flat"
        ),
        pytest.param(
            {"boxes": [[1, 2, 3]]}, r"record 'r': box 0 is \[1, 2, 3\], expected \[x0, y0, x1, y1\]", id="box"
        ),
    ],
)
def test_boxes_that_make_no_sense_are_named(more: dict[str, Any], message: str) -> None:
    record = {"id": "r", "boxes": [[0, 0, 1, 1]], "box_classes": ["a"], **more}
    with pytest.raises(ValueError, match=message):
        labelled_boxes(record, ["a", "b"], {"a": 0, "b": 1})


def test_colors_differ() -> None:
    assert len(set(overlay_palette(14))) == 14
    assert overlay_palette(3) == overlay_palette(14)[:3]


def test_relative_paths_start_from_the_root_and_lists_stay() -> None:
    assert join_root("a.json", "/data") == Path("/data/a.json")
    assert join_root("/b/a.json", "/data") == Path("/b/a.json")
    assert join_root("a.json", None) == "a.json"
    assert join_root(["a", "b"], "/data") == ["a", "b"]


@pytest.mark.parametrize("path", ["../a.png", "/etc/passwd", 7])
def test_paths_that_leave_the_data_are_refused(path: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="record 'r': key 'image'"):
        resolve_file(PathGuard(tmp_path), {"id": "r", "image": path}, "image")
