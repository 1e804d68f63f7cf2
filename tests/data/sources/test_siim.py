from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.draft import SourceDraft
from monai_place.data.sources.siim import EXPECTED, read_siim
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, read_mask_of, records_by_id, write_dicom

ROOT = "1.2.276.0.7230010.3.1"
IDS = [f"{ROOT}.4.8323329.{index}.1517875{index:03d}.{index}" for index in range(40)]
STUDIES = [image.replace(".4.8323329.", ".2.8323329.") for image in IDS]
ILL = IDS[::5]  # 8 images; the second, third, ... have two or three rows
SIDE = 1024


def runs(column: int, first: int, length: int) -> str:
    """Pixels of one column, rows `first` to `first + length`."""
    return f"{column * SIDE + first} {length}"


def rows() -> list[tuple[str, str]]:
    listed = []
    for index, image in enumerate(IDS):
        if image in ILL:
            listed += [(image, runs(100 + number, 200, 50)) for number in range(1 + index // 5 % 3)]
        else:
            listed.append((image, "-1"))
    return listed


def table(listed: list[tuple[str, str]], newline: str = "\n") -> str:
    # The official file has a space before the name of the column and before each value.
    return newline.join(["ImageId, EncodedPixels", *(f"{image}, {value}" for image, value in listed), ""])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree in the layout of stage 1."""
    root = tmp_path / "source"
    root.mkdir()
    (root / "train-rle.csv").write_text(table(rows()))
    for image, study in zip(IDS, STUDIES, strict=True):
        write_dicom(root / "dicom-images-train" / study / study.replace(".2.", ".3.") / f"{image}.dcm", 32, 32)
    return root


def prepare(source: Path, output: Path, **options: Any) -> PrepareReport:
    return prepare_source("siim", source, output, **{"check_counts": False, **options})


def test_clean_is_sound_split_by_patient_and_spread_over_the_class(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out")
    assert verify_datalist(report.datalist) == []
    assert report.splits == {"training": 28, "validation": 6, "test": 6}
    assert not report.left_out
    datalist = read_datalist(report.datalist)
    ill = [sum(record["label"][0] for record in datalist.splits[split]) for split in report.splits]
    assert sum(ill) == 8
    assert min(ill) >= 1
    record = records_by_id(report.datalist)[IDS[3]]
    assert record["study_id"] == record["patient_id"] == STUDIES[3]
    assert record["image"].endswith(f"/{IDS[3]}.dcm")
    assert datalist.extra["mask_classes"] == datalist.classes == ["Pneumothorax"]
    assert "Planted" not in report.datalist.read_text()


def test_the_rows_of_an_image_are_joined_and_minus_one_is_an_empty_mask(source: Path, tmp_path: Path) -> None:
    image = next((source / "dicom-images-train").rglob(f"{ILL[1]}.dcm"))
    write_dicom(image, SIDE, SIDE)
    report = prepare(source, tmp_path / "out")
    records = records_by_id(report.datalist)
    expected = np.zeros((SIDE, SIDE), dtype=np.uint8)
    expected[200:250, 100:102] = 1  # runs go down the columns
    np.testing.assert_array_equal(read_mask_of(report.datalist, records[ILL[1]]), expected)
    assert records[ILL[1]]["label"] == [1]
    assert records[IDS[1]]["label"] == [0]
    assert read_mask_of(report.datalist, records[IDS[1]]).max() == 0
    assert report.notes["masks resized to their image"] == 39


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(table(rows(), "\r\n").encode("utf-8-sig"), id="BOM and Windows lines"),
        pytest.param(table(rows()).replace(", ", ",").encode(), id="no space after the comma"),
    ],
)
def test_the_table_is_read_as_it_is_handed_around(source: Path, tmp_path: Path, text: bytes) -> None:
    plain = records_by_id(prepare(source, tmp_path / "plain").datalist)
    (source / "train-rle.csv").write_bytes(text)
    assert records_by_id(prepare(source, tmp_path / "out").datalist) == plain


def test_missing_duplicate_unlisted_and_hidden_files_are_counted(source: Path, tmp_path: Path) -> None:
    folder = source / "dicom-images-train"
    next(folder.rglob(f"{IDS[2]}.dcm")).unlink()
    write_dicom(folder / "zz copy" / f"{IDS[3]}.dcm")
    write_dicom(folder / STUDIES[4] / "other" / f"{ROOT}.4.99.DCM")
    (folder / STUDIES[4] / f"._{IDS[4]}.dcm").write_bytes(b"resource fork")
    report = prepare(source, tmp_path / "out")
    assert report.left_out == {"image file missing": 1}
    assert report.notes["DICOM files of a name that is there before, not taken"] == 1
    assert report.notes["DICOM files that the table does not list"] == 1
    assert records_by_id(report.datalist)[IDS[3]]["study_id"] == STUDIES[3]
    assert (tmp_path / "out" / "left_out.csv").read_text() == f"entry,reason\n{IDS[2]},image file missing\n"


def test_a_flat_folder_serves_and_its_images_are_their_own_patients(source: Path, tmp_path: Path) -> None:
    for image in IDS:
        found = next((source / "dicom-images-train").rglob(f"{image}.dcm"))
        flat = source / "images" / "all" / "train" / found.name
        flat.parent.mkdir(parents=True, exist_ok=True)
        found.rename(flat)
    report = prepare(source, tmp_path / "out")
    assert {record["patient_id"] for record in records_by_id(report.datalist).values()} == set(IDS)
    assert verify_datalist(report.datalist) == []


def test_images_of_one_study_stay_together(source: Path, tmp_path: Path) -> None:
    for index, image in enumerate(IDS):
        found = next((source / "dicom-images-train").rglob(f"{image}.dcm"))
        shared = source / "shared" / STUDIES[index // 4] / f"{ROOT}.3.{index}" / found.name
        shared.parent.mkdir(parents=True)
        found.rename(shared)
    report = prepare(source, tmp_path / "out")
    assert len({record["patient_id"] for record in records_by_id(report.datalist).values()}) == 10
    assert verify_datalist(report.datalist) == []


def test_duplicate_blank_and_contradicting_rows_are_counted(source: Path, tmp_path: Path) -> None:
    extra = [(ILL[1], runs(100, 200, 50)), (ILL[0], "-1"), ("1.2.3.4.5", "")]
    (source / "train-rle.csv").write_text(table(rows() + extra))
    report = prepare(source, tmp_path / "out")
    assert report.left_out == {"row without run lengths": 1}
    assert report.notes["rows listed twice, taken once"] == 1
    assert report.notes["rows of -1 of an image that has run lengths, not taken"] == 1
    assert records_by_id(report.datalist)[ILL[0]]["label"] == [1]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        pytest.param(f"{SIDE * SIDE} 5", "run lengths reach pixel 1048581, the picture has 1048576", id="beyond"),
        pytest.param("1 2 3", "run lengths come in pairs, found 3 numbers", id="odd"),
        pytest.param("1 x", "run lengths hold something else than whole numbers", id="letters"),
        pytest.param("5 -2", "run lengths reach pixel 3, the picture has 1048576", id="negative"),
    ],
)
@pytest.mark.parametrize("split", ["images", "rows"])
def test_an_image_whose_run_lengths_cannot_be_read_is_left_out_as_unreadable(
    source: Path, runs: str, message: str, split: str
) -> None:
    whole = ids_of(read_siim(source, split=split, check_counts=False, report=PrepareReport()))
    spoilt = [(image, runs if image == ILL[0] else value) for image, value in rows()]
    (source / "train-rle.csv").write_text(table(spoilt))
    report = PrepareReport()
    left = ids_of(read_siim(source, split=split, check_counts=False, report=report))
    assert left == {name: [id_ for id_ in ids if id_ != ILL[0]] for name, ids in whole.items()}
    assert report.left_out["mask unreadable"] == sum(map(len, whole.values())) - sum(map(len, left.values())) > 0
    assert report.unreadable[0] == (ILL[0], f"mask unreadable: {message}")  # exit code 1


def ids_of(draft: SourceDraft) -> dict[str, list[str]]:
    return {name: [record["id"] for record in records] for name, records in draft.splits.items()}


def expected_row_split() -> dict[str, set[str]]:
    """MGCA's split over rows in scikit-learn's words, as an oracle."""
    images = [image for image, _ in rows()]
    training, others = train_test_split(images, test_size=0.3, random_state=0)
    test, validation = train_test_split(others, test_size=0.5, random_state=0)
    return {"training": set(training), "validation": set(validation), "test": set(test)}


def test_the_published_split_over_rows_leaks_and_verify_names_each_image(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", split="rows")
    found = {
        split: {name.partition("#")[0] for name in names} for split, names in ids_by_split(report.datalist).items()
    }
    assert found == expected_row_split()
    leaking = {image for image in IDS if sum(image in images for images in found.values()) > 1}
    assert leaking
    assert report.notes["images in several splits"] == len(leaking)
    faults = verify_datalist(report.datalist)
    assert {fault.key for fault in faults} == {"patient_id"}
    assert {fault.record_id.partition("#")[0] for fault in faults} == leaking
    records = records_by_id(report.datalist)
    assert all(f"{image}#{split}" in records for split, images in found.items() for image in images & leaking)


def test_in_the_split_over_rows_a_split_has_the_mask_of_its_own_rows(source: Path, tmp_path: Path) -> None:
    report = PrepareReport()
    whole = read_siim(source, check_counts=False, report=report)
    parts = read_siim(source, split="rows", check_counts=False, report=report)
    leaking = {name.partition("#")[0] for name in parts.masks if "#" in name}
    for image in leaking:
        drawn = sum(drawing.draw(SIDE, SIDE) for name, drawing in parts.masks.items() if name.startswith(image + "#"))
        np.testing.assert_array_equal(drawn, whole.masks[image].draw(SIDE, SIDE))


def test_mgca_is_the_split_over_rows_with_as_many_negatives_as_positives(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path / "out", mode="mgca")
    datalist = read_datalist(report.datalist)
    assert datalist.extra["split"] == "rows"
    labels = [record["label"][0] for record in datalist.splits["training"]]
    assert sum(labels) * 2 == len(labels)
    dropped = report.left_out["training negative not drawn (balance)"]
    assert dropped == len(expected_row_split()["training"]) - len(labels)
    again = prepare(source, tmp_path / "again", mode="mgca")
    assert again.datalist.read_text() == report.datalist.read_text()
    other = prepare(source, tmp_path / "other", mode="mgca", balance=False)
    assert other.splits["training"] == len(labels) + dropped
    balanced = prepare(source, tmp_path / "clean", balance=True)
    assert verify_datalist(balanced.datalist) == []
    assert balanced.splits == {"training": 2 * 6, "validation": 6, "test": 6}


def test_another_seed_gives_another_split_and_the_same_seed_the_same(source: Path, tmp_path: Path) -> None:
    first, same, other = (
        ids_by_split(prepare(source, tmp_path / name, seed=seed).datalist)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == same != other


@pytest.mark.parametrize("name", list(EXPECTED))
def test_other_counts_than_the_competitions_are_refused_with_both_numbers(source: Path, name: str) -> None:
    (source / "train-rle.csv").rename(source / name)
    images = EXPECTED[name]["images"]
    with pytest.raises(ValueError, match=rf"siim: .* images: expected {images}, found 40"):
        read_siim(source, report=PrepareReport())


def test_a_source_without_table_or_images_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'train-rle\.csv' or 'stage_2_train\.csv'"):
        prepare(tmp_path, tmp_path / "out")
    (source / "dicom-images-train").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"no DICOM file of the images of train-rle\.csv"):
        prepare(source, tmp_path / "out")
    (source / "train-rle.csv").write_text("ImageId,EncodedPixels\n,-1\n")
    with pytest.raises(ValueError, match=r"train-rle\.csv: row 1: ImageId is empty"):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize(("option", "value"), [("mode", "paper"), ("split", "patients")])
def test_an_unknown_choice_is_refused(source: Path, tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be one of .*, got '{value}'"):
        prepare(source, tmp_path / "out", **{option: value})


def test_rows_that_are_not_taken_are_drawn_all_the_same(source: Path) -> None:
    extra = [rows()[0], rows()[9], (IDS[1], ""), (ILL[0], "-1")]  # twice, twice, without a value, contradicting
    (source / "train-rle.csv").write_text(table(extra + rows()))
    table_of = [*extra, *rows()]
    training, others = train_test_split(table_of, test_size=0.3, random_state=0)
    test, validation = train_test_split(others, test_size=0.5, random_state=0)
    draft = read_siim(source, mode="mgca", balance=False, check_counts=False, report=PrepareReport())
    for name, drawn in (("training", training), ("validation", validation), ("test", test)):
        expected = [image for image, runs in drawn if runs not in ("", "-1") or (runs == "-1" and image not in ILL)]
        found = [record["id"].partition("#")[0] for record in draft.splits[name]]
        assert found == list(dict.fromkeys(expected))


@pytest.mark.parametrize("options", [{}, {"balance": True}, {"mode": "mgca"}], ids=str)
def test_a_missing_file_or_a_flat_folder_moves_no_image_to_another_split(
    source: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    def split_of(root: Path) -> dict[str, str]:
        draft = read_siim(root, check_counts=False, report=PrepareReport(), **options)
        return {
            record["image"].rpartition("/")[2] + name: name for name in draft.splits for record in draft.splits[name]
        }

    whole = split_of(source)
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "train-rle.csv").write_text(table(rows()))
    for path in source.rglob("*.dcm"):
        (flat / path.name).symlink_to(path)
    assert split_of(flat) == whole
    next(source.rglob(f"{IDS[13]}.dcm")).unlink()
    left = split_of(source)
    assert left == {key: name for key, name in whole.items() if f"{IDS[13]}.dcm" not in key}
    assert len(left) in (len(whole), len(whole) - 1)
