"""Records for classification: one test for each thing that can be wrong with labels, ids and shares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.datalist import Datalist, write_datalist
from monai_place.data.labeled import load_labeled_records, task_classes

CLASSES = ["normal", "pneumonia", "COVID-19"]


def write(folder: Path, labels: list[Any], classes: list[str] | None = None) -> Path:
    records = [{"id": f"s{index}", "image": f"{index}.png", "label": label} for index, label in enumerate(labels)]
    splits = {"training": records, "validation": records[:1], "test": []}
    write_datalist(Datalist("x", "1", "", ".", classes or CLASSES, splits), folder / "datalist.json")
    return folder / "datalist.json"


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    return write(tmp_path, [[1, 0, 0], None, [0, None, 1], [None, None, None], [0, 1, 0]])


def load(path: Path, **options: Any) -> dict[str, Any]:
    return {record["id"]: record["label"] for record in load_labeled_records(path, "training", **options)}


def test_records_with_any_label_are_taken_as_they_are(datalist: Path) -> None:
    assert load(datalist) == {"s0": [1, 0, 0], "s2": [0, None, 1], "s4": [0, 1, 0]}


def test_of_several_classes_only_records_whose_class_is_known_are_taken(datalist: Path) -> None:
    assert load(datalist, task="multiclass") == {"s0": [1, 0, 0], "s4": [0, 1, 0]}


def test_one_class_against_the_rest_has_one_label(datalist: Path) -> None:
    assert load(datalist, task="binary", target_class="pneumonia") == {"s0": [0], "s4": [1]}
    assert task_classes(datalist, task="binary", target_class="pneumonia") == ["pneumonia"]


def test_a_datalist_of_one_class_needs_no_name(tmp_path: Path) -> None:
    path = write(tmp_path, [[1], [0]], ["pneumothorax"])
    assert task_classes(path, task="binary") == ["pneumothorax"]
    assert load(path, task="binary") == {"s0": [1], "s1": [0]}
    with pytest.raises(ValueError, match="'pneumothorax' alone; task 'multiclass' needs two"):
        task_classes(path, task="multiclass")


@pytest.mark.parametrize("label", [[1, 1, 0], [0, 0, 0]])
def test_several_or_no_classes_at_once_are_refused_by_record(tmp_path: Path, label: list[int]) -> None:
    path = write(tmp_path, [[1, 0, 0], label])
    with pytest.raises(ValueError, match=rf"datalist.json: training: record 's1': {sum(label)} labels are 1"):
        load(path, task="multiclass")
    assert len(load(path)) == 2, "each class by itself may be so"


@pytest.mark.parametrize(
    ("label", "message"),
    [([1, 0], "record 's1' has 2 labels, there are 3 classes"), ([1, 0, 2], "key 'label' holds 2, expected 0, 1")],
)
def test_a_label_that_does_not_fit_is_refused_by_record(tmp_path: Path, label: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, [[1, 0, 0], label]))


def test_smaller_shares_lie_inside_larger_ones_and_are_of_the_labeled_records(tmp_path: Path) -> None:
    path = write(tmp_path, [None] * 50 + [[1, 0, 0]] * 200)
    shares = [list(load(path, fraction=fraction, seed=1)) for fraction in (0.01, 0.1, 1.0)]
    assert [len(share) for share in shares] == [2, 20, 200]
    assert set(shares[0]) < set(shares[1]) < set(shares[2])
    assert shares[1] == sorted(shares[1], key=lambda name: int(name[1:])), "in the order of the datalist"
    assert list(load(path, fraction=0.1, seed=2)) != shares[1]


@pytest.mark.parametrize("name", ["ids.txt", "ids.json"])
def test_ids_choose_the_records(datalist: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(json.dumps(["s4", "s0"]) if name.endswith("json") else "\ufeffs4\n\ns0\n", encoding="utf-8")
    assert list(load(datalist, ids=file)) == ["s0", "s4"]
    assert list(load(datalist, ids=["s4"])) == ["s4"]
    assert len(load(datalist, ids=file, fraction=0.5)) == 1


def test_an_id_of_no_labeled_record_is_refused(datalist: Path) -> None:
    with pytest.raises(ValueError, match="1 of 2 ids are of no labeled record, such as 's1'"):
        load(datalist, ids=["s0", "s1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression"}, "task is 'regression', expected one of"),
        ({"target_class": "normal"}, "only task 'binary' has"),
        ({"task": "binary"}, "needs target_class, one of them"),
        ({"task": "binary", "target_class": "edema"}, "no class 'edema'; known"),
        ({"fraction": 0}, "fraction must be above 0"),
    ],
)
def test_ill_arguments_are_refused(datalist: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(datalist, **options)


def test_a_split_without_labels_and_a_datalist_without_classes_are_refused(tmp_path: Path, datalist: Path) -> None:
    with pytest.raises(ValueError, match="split 'test' has no record with a label"):
        load_labeled_records(datalist, "test")
    assert load_labeled_records(datalist, "test", required=False) == []
    content = json.loads(datalist.read_text()) | {"classes": []}
    (tmp_path / "bare.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has no classes"):
        task_classes(tmp_path / "bare.json")
