from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.datalist import SPLITS, read_datalist
from monai_place.data.id_lists import fraction_name, read_ids, split_datalist, write_id_lists
from monai_place.mm.datalists import RecordChoice

CLASSES = ["common", "rare"]


def record(number: int, **values: Any) -> dict[str, Any]:
    patient = number // 2
    label = [int(patient % 2 == 0), int(patient % 10 == 0)]
    return {
        "id": f"s{number:03d}",
        "image": f"images/{number}.png",
        "patient_id": f"p{patient}",
        "label": label,
    } | values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a datalist of 400 records of 200 patients, all in one split; every fourth has a mask."""
    records = [record(number, **({"mask": "m.png"} if number % 4 == 0 else {})) for number in range(400)]
    return written(tmp_path / "in", records)


def written(folder: Path, records: list[dict[str, Any]], **extra: Any) -> Path:
    folder.mkdir()
    head = {"name": "own", "version": "1", "source": "", "image_root": "pictures", "classes": CLASSES, **extra}
    (folder / "datalist.json").write_text(json.dumps({**head, "training": records}))
    return folder / "datalist.json"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_patients_stay_together_and_classes_are_spread(path: Path, tmp_path: Path) -> None:
    report = split_datalist(path, tmp_path / "out")
    assert report.splits == {"training": 280, "validation": 40, "test": 80}
    assert report.patients == {"training": 140, "validation": 20, "test": 40}
    assert {split: report.positives[split]["rare"] for split in SPLITS} == {"training": 28, "validation": 4, "test": 8}
    homes = defaultdict(set)
    for split, _, found in read_datalist(report.datalist).records():
        homes[found["patient_id"]].add(split)
    assert all(len(splits) == 1 for splits in homes.values())


def test_records_roots_and_other_keys_stay(path: Path, tmp_path: Path) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"mask_root": "masks", "note": 5}))
    report = split_datalist(path, tmp_path / "deep" / "out")
    before, after = read_datalist(path), read_datalist(report.datalist)
    assert (after.root, after.mask_root) == (before.root, before.mask_root)
    assert after.image_root == "../../in/pictures"
    assert after.extra["note"] == 5
    key = "id"
    assert sorted((found for *_, found in after.records()), key=lambda found: found[key]) == before.splits["training"]


def test_the_same_seed_gives_the_same_splits_whatever_the_order(path: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "turned", read_datalist(path).splits["training"][::-1])
    for folder, source, seed in (("a", path, 0), ("b", other, 0), ("c", path, 1)):
        split_datalist(source, tmp_path / folder, seed=seed)
    lists = [lines(tmp_path / folder / "test.txt") for folder in "abc"]
    assert lists[0] == lists[1] != lists[2]


def test_shares_are_nested_and_those_that_the_toolboxes_draw(path: Path, tmp_path: Path) -> None:
    split_datalist(path, tmp_path / "out", label_seeds=(0, 7))
    datalist = read_datalist(tmp_path / "out" / "datalist.json")
    training = set(lines(tmp_path / "out" / "training.txt"))
    for seed in (0, 7):
        one, ten = (tmp_path / "out" / f"training_{share}pct_seed{seed}.txt" for share in (1, 10))
        assert set(lines(one)) < set(lines(ten)) < training
        assert (len(lines(one)), len(lines(ten))) == (3, 28)
        for file, share in ((one, 0.01), (ten, 0.1)):
            by_list = RecordChoice("training", ids=file).records(datalist, "d", "label")
            by_share = RecordChoice("training", fraction=share, seed=seed).records(datalist, "d", "label")
            assert by_list == by_share
    assert lines(tmp_path / "out" / "training_10pct_seed0.txt") != lines(tmp_path / "out" / "training_10pct_seed7.txt")


def test_shares_of_annotated_records_are_those_of_a_segmentation_data_set(path: Path, tmp_path: Path) -> None:
    split_datalist(path, tmp_path / "out", require="mask", label_fractions=(0.1,))
    datalist = read_datalist(tmp_path / "out" / "datalist.json")
    by_list = RecordChoice("training", ids=tmp_path / "out" / "training_10pct_seed0.txt").records(datalist, "d", "mask")
    assert by_list == RecordChoice("training", fraction=0.1, missing="skip").records(datalist, "d", "mask")


def test_splits_that_are_there_can_be_kept(path: Path, tmp_path: Path) -> None:
    split_datalist(path, tmp_path / "a")
    report = split_datalist(tmp_path / "a" / "datalist.json", tmp_path / "b", fractions=None)
    assert report.splits == {"training": 280, "validation": 40, "test": 80}
    for split in SPLITS:
        assert lines(tmp_path / "a" / f"{split}.txt") == lines(tmp_path / "b" / f"{split}.txt")


def test_what_ties_records_together(tmp_path: Path) -> None:
    records = [
        record(0, patient_id="a", study_id="1", label=None),
        record(1, patient_id="b", study_id="1"),  # another patient's first study
        record(2, patient_id=None, study_id="x"),
        record(3, patient_id=None, study_id="x"),
        record(4, patient_id="c"),
        record(5, patient_id="d", image="images/4.png"),
        record(6, patient_id=7),
        record(7, patient_id="7"),
        record(8, patient_id=None),
        record(9, patient_id=""),
    ]
    report = split_datalist(written(tmp_path / "in", records), tmp_path / "out", fractions=(1, 0, 0))
    assert report.patients["training"] == 7
    assert report.notes == {"records without a patient or study: each counts as a patient": 2}


def test_without_labels_patients_are_split_all_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "in", [record(number, label=None) for number in range(40)])
    for stratify in (True, False):
        report = split_datalist(path, tmp_path / str(stratify), stratify=stratify)
        assert report.splits == {"training": 28, "validation": 4, "test": 8}


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        pytest.param([record(0), record(0)], {}, "1 ids are used twice, such as .'s000'.", id="twice"),
        pytest.param([record(0, id="a\nb")], {}, "cannot stand on a line", id="line end"),
        pytest.param([record(0, id=" a")], {}, "cannot stand on a line", id="blank"),
        pytest.param([record(0)], {"label_fractions": (1.5,)}, "above 0 and below 1, got 1.5", id="share"),
        pytest.param([record(0)], {"fractions": (0.5, 0.1, 0.1)}, "fractions must be 3 numbers", id="fractions"),
        pytest.param([record(0)], {"require": "mask"}, "no record of the training split has 'mask'", id="no mask"),
    ],
)
def test_what_cannot_be_listed_is_refused(records: Any, options: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "in", records)
    with pytest.raises(ValueError, match=message):
        split_datalist(path, tmp_path / "out", **options)
    assert not list((tmp_path / "out").glob("*"))


def test_the_datalist_itself_is_not_replaced(path: Path) -> None:
    with pytest.raises(ValueError, match="output must be another folder"):
        split_datalist(path, path.parent)


def test_names_tell_shares() -> None:
    assert [fraction_name(share) for share in (0.001, 0.29, 0.5)] == [
        "training_0.1pct",
        "training_29pct",
        "training_50pct",
    ]


def test_lists_alone(path: Path, tmp_path: Path) -> None:
    found = write_id_lists(read_datalist(path), tmp_path / "lists", label_fractions=())
    assert found == {"training.txt": 400, "validation.txt": 0, "test.txt": 0}


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[1]"])
def test_a_file_that_holds_no_ids_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ids.json").write_text(text)
    with pytest.raises(ValueError, match=r"ids\.json: "):
        read_ids(tmp_path / "ids.json")
    (tmp_path / "ids.txt").write_text("\n")
    with pytest.raises(ValueError, match="at least one"):
        read_ids(tmp_path / "ids.txt")


def test_a_list_of_ids_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("s0\ns1\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"ids\.txt: not UTF-8 text: .*; save the list as UTF-8"):
        read_ids(tmp_path / "ids.txt")
