from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sklearn.model_selection import train_test_split

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.covidx import EXPECTED, THREE, read_covidx
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, records_by_id, write_picture

# Twenty patients of three images, of each class in turn; the second has a name with a space.
TRAIN = [
    f"{patient:03d} {patient:03d}{' (1)' if image == 1 else f'-{image}'}.png {THREE[patient % 3]} cohen"
    for patient in range(20)
    for image in range(3)
]
# The lists of version 9A spell one source in two ways.
TRAIN += ["aa-1 aa-1.png normal rnsa", "bb-2 bb-2.png pneumonia rnsa"]
TEST = [
    "000 MIDRC-000.png COVID-19 ricord",  # another source's patient 000
    "SITE2-1 MIDRC-1.png COVID-19 ricord",
    "cc-3 cc-3.png normal rsna",
    "dd-4 dd-4.png pneumonia rsna",
]


def write_lists(root: Path, train: Iterable[str], test: Iterable[str], version: str = "_COVIDx9A") -> None:
    (root / f"train{version}.txt").write_text("".join(f"{line}\n" for line in train))
    (root / f"test{version}.txt").write_text("".join(f"{line}\n" for line in test))


def name_of(line: str) -> str:
    return line.partition(" ")[2].rsplit(" ", 2)[0]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree in the layout of version 9A."""
    root = tmp_path / "source"
    for folder, lines in (("train", TRAIN), ("test", TEST)):
        for line in lines:
            write_picture(root / folder / name_of(line), 8, 8)
    write_lists(root, TRAIN, TEST)
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("covidx", source, output, **{"check_counts": False, **options})


def test_clean_is_sound_split_by_patient_and_keeps_the_official_test(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert sum(report.splits.values()) == len(TRAIN) + len(TEST)
    assert report.splits["validation"] / len(TRAIN) == pytest.approx(0.2, abs=0.05)
    assert set(ids_by_split(report.datalist)["test"]) == {f"test/{name_of(line)}" for line in TEST}
    datalist = read_datalist(report.datalist)
    assert (datalist.version, datalist.classes) == ("9A", list(THREE))


def test_a_name_with_spaces_is_read_and_labels_are_one_of_three(source: Path, tmp_path: Path) -> None:
    records = records_by_id(prepare(source, tmp_path / "out").datalist)
    assert records["train/000 (1).png"]["label"] == [1, 0, 0]
    assert records["train/001-0.png"]["label"] == [0, 1, 0]
    assert records["test/MIDRC-1.png"]["label"] == [0, 0, 1]


def test_each_source_has_its_own_patients_and_its_misspelling_is_the_same_source(source: Path, tmp_path: Path) -> None:
    records = records_by_id(prepare(source, tmp_path / "out").datalist)
    assert records["train/000-0.png"]["patient_id"] != records["test/MIDRC-000.png"]["patient_id"]
    assert records["train/aa-1.png"]["patient_id"] == "rsna:aa-1"
    assert records["test/cc-3.png"]["patient_id"] == "rsna:cc-3"


def test_a_patient_of_the_test_list_does_not_train(source: Path, tmp_path: Path) -> None:
    write_picture(source / "train" / "again.png", 8, 8)
    write_lists(source, [*TRAIN, "cc-3 again.png normal rnsa"], TEST)
    report = prepare(source, tmp_path / "out")
    assert report.left_out == {"patient is in the test list": 1}
    assert verify_datalist(report.datalist) == []


def test_the_published_split_over_rows_leaks_and_verify_names_each(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", mode="mgca")
    training, validation = train_test_split([name_of(line) for line in TRAIN], train_size=0.8, random_state=0)
    ids = ids_by_split(report.datalist)
    assert ids["training"] == [f"train/{name}" for name in training]
    assert ids["validation"] == [f"train/{name}" for name in validation]
    patients = [{records_by_id(report.datalist)[name]["patient_id"] for name in ids[split]} for split in ids]
    leaks = patients[0] & patients[1]
    assert report.notes["patients in several splits"] == len(leaks) > 0
    faults = verify_datalist(report.datalist)
    assert {(fault.split, fault.key) for fault in faults} == {("validation", "patient_id")}
    assert read_datalist(report.datalist).extra["split"] == "rows"
    assert verify_datalist(prepare(source, tmp_path / "b", mode="mgca", split="patients").datalist) == []


def test_a_list_of_two_classes_has_one_label(source: Path, tmp_path: Path) -> None:
    binary = {"normal": "negative", "pneumonia": "negative", "COVID-19": "positive"}
    lists = [
        [f"{' '.join(line.split(' ')[:-2])} {binary[line.split(' ')[-2]]} {line.split(' ')[-1]}" for line in lines]
        for lines in (TRAIN, TEST)
    ]
    for path in source.glob("*.txt"):
        path.unlink()
    write_lists(source, *lists, version="_COVIDx_CXR-3B")
    path = prepare(source, tmp_path / "out").datalist
    assert verify_datalist(path) == []
    datalist = read_datalist(path)
    assert (datalist.version, datalist.classes) == ("CXR-3B", ["COVID-19"])
    assert records_by_id(path)["train/002-0.png"]["label"] == [1]
    assert records_by_id(path)["train/000 (1).png"]["label"] == [0]


def test_a_list_without_sources_windows_lines_bom_and_blank_lines_is_read(source: Path, tmp_path: Path) -> None:
    bare = [line.rpartition(" ")[0].replace("normal", "Normal") for line in TRAIN]
    (source / "train_COVIDx9A.txt").write_bytes("\r\n".join([*bare, "", ""]).encode("utf-8-sig"))
    records = records_by_id(prepare(source, tmp_path / "out").datalist)
    assert records["train/000 (1).png"]["label"] == [1, 0, 0]
    assert records["train/000 (1).png"]["patient_id"] == "covidx:000"


def test_missing_and_repeated_files_are_left_out(source: Path, tmp_path: Path) -> None:
    (source / "train" / "003-0.png").unlink()
    write_lists(source, [*TRAIN, TRAIN[5], TRAIN[4].replace("pneumonia", "normal")], TEST)
    for number, mode in enumerate(("clean", "mgca")):
        report = prepare(source, tmp_path / str(number), mode=mode)
        assert report.left_out["image file missing"] == 1
        assert sum(report.left_out.values()) == 3
        assert sum(report.splits.values()) == len(TRAIN) + len(TEST) - 1
        assert not [fault for fault in verify_datalist(report.datalist) if fault.key == "id"]


def test_a_validation_list_is_used_where_there_is_one(source: Path, tmp_path: Path) -> None:
    (source / "val_COVIDx9A.txt").write_text("000 v.png normal cohen\nnew w.png normal cohen\n")
    for name in ("v", "w"):
        write_picture(source / "val" / f"{name}.png", 8, 8)
    report = prepare(source, tmp_path / "out")
    assert ids_by_split(report.datalist)["validation"] == ["val/v.png", "val/w.png"]
    assert report.left_out == {"patient is in the validation list": 3}
    assert verify_datalist(report.datalist) == []
    assert prepare(source, tmp_path / "b", mode="mgca").notes["rows of the validation list, not used"] == 2


def test_the_version_is_told_by_the_names_and_chosen_where_there_are_several(source: Path, tmp_path: Path) -> None:
    (source / "labels").mkdir()
    write_lists(source / "labels", TRAIN, TEST, version="_COVIDx8A")
    (source / "labels" / "train_COVIDxSev.txt").write_text("another list\n")
    with pytest.raises(ValueError, match=r"several versions are there: \['8A', '9A'\]; option version chooses one"):
        prepare(source, tmp_path / "out")
    assert read_datalist(prepare(source, tmp_path / "out", version="8A").datalist).version == "8A"
    with pytest.raises(ValueError, match=r"version must be one of \['8A', '9A'\], got '7B'"):
        prepare(source, tmp_path / "out", version="7B")


def test_a_version_given_as_a_number_is_its_name(source: Path, tmp_path: Path) -> None:
    write_lists(source, TRAIN, TEST, version="_COVIDx5")
    assert read_datalist(prepare(source, tmp_path / "out", version=5).datalist).version == "5"


@pytest.mark.parametrize("version", ["5", "6", "9A"])
def test_the_published_counts_of_each_version_pass_and_one_image_less_does_not(tmp_path: Path, version: str) -> None:
    classes = THREE if len(EXPECTED[version][0]) == 3 else ("negative", "positive")
    train, test = (
        [
            f"{name}{index} {name}{index}.png {name} s"
            for name, n in zip(classes, counts, strict=True)
            for index in range(n)
        ]
        for counts in EXPECTED[version]
    )
    write_lists(tmp_path, train, [f"t{line}" for line in test], version=f"_COVIDx{'_' * ('-' in version)}{version}")
    draft = read_covidx(tmp_path, report=PrepareReport())
    assert draft.version == version
    assert sum(map(len, draft.splits.values())) == len(train) + len(test)
    write_lists(tmp_path, train[1:], test, version=f"_COVIDx{'_' * ('-' in version)}{version}")
    count = EXPECTED[version][0][0]
    with pytest.raises(
        ValueError, match=rf"COVIDx {version}: .* {classes[0]} in train: expected {count}, found {count - 1}"
    ):
        read_covidx(tmp_path, report=PrepareReport())


@pytest.mark.parametrize("version", ["_COVIDx9C", "_COVIDx12A", ""])
def test_a_version_of_unknown_count_is_refused_loudly_or_noted(source: Path, tmp_path: Path, version: str) -> None:
    for path in source.glob("*.txt"):
        path.unlink()
    write_lists(source, TRAIN, TEST, version=version)
    name = version.removeprefix("_COVIDx") or "unknown"
    with pytest.raises(ValueError, match=rf"COVIDx {name}: unknown count: .* `--any-count`"):
        prepare(source, tmp_path / "out", check_counts=True)
    assert prepare(source, tmp_path / "out").notes[f"lists of a version of unknown count: {name}"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("1 a.png covid cohen", "line 63: expected 'patient file class source'", id="class"),
        pytest.param("1 normal cohen", "line 63: expected 'patient file class source'", id="no file"),
        pytest.param("1 a.png positive cohen", r"the lists mix the classes \['COVID-19', 'normal',", id="mixed"),
    ],
)
def test_a_line_that_cannot_be_is_named(source: Path, tmp_path: Path, line: str, message: str) -> None:
    write_lists(source, [*TRAIN, line], TEST)
    with pytest.raises(ValueError, match=message):
        prepare(source, tmp_path / "out")


def test_lists_of_two_classes_under_the_name_of_a_version_with_three_are_refused(tmp_path: Path) -> None:
    write_lists(tmp_path, ["1 a.png positive s"], ["2 b.png negative s"])
    with pytest.raises(ValueError, match=r"COVIDx 9A has 3 classes, its lists have \['negative', 'positive'\]"):
        read_covidx(tmp_path, check_counts=False, report=PrepareReport())


def test_lists_that_are_missing_or_no_text_are_refused(source: Path, tmp_path: Path) -> None:
    (source / "test_COVIDx9A.txt").write_bytes(b"\xff\xfe1\0")
    with pytest.raises(ValueError, match=r"test_COVIDx9A\.txt: not UTF-8 text at byte 0"):
        prepare(source, tmp_path / "out")
    (source / "test_COVIDx9A.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"versions with only one of both: \['9A'\]"):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize(("option", "value"), [("mode", "paper"), ("split", "images")])
def test_an_unknown_choice_is_refused(source: Path, tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be one of .*, got '{value}'"):
        prepare(source, tmp_path / "out", **{option: value})
