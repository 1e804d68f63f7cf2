from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_place.data.datalist import SPLITS, read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources.chexpert import read_chexpert
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, COMPETITION_CLASSES
from monai_place.data.verify import verify_datalist

COLUMNS = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_CLASSES]
ALONE = 205  # images with one task alone, of each task
OTHERS = 240
JPEG = io.BytesIO()
Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(JPEG, "JPEG")


def row(part: str, patient: int, study: int = 1, view: str = "view1_frontal", **labels: str) -> dict[str, str]:
    values = dict.fromkeys(COLUMNS, "")
    values |= {"Path": f"CheXpert-v1.0-small/{part}/patient{patient:05d}/study{study}/{view}.jpg", "Sex": "Female"}
    values |= {"Age": "68", "Frontal/Lateral": "Lateral" if "lateral" in view else "Frontal"}
    values |= {"AP/PA": "" if "lateral" in view else "AP"}
    return values | labels


def train_rows() -> list[dict[str, str]]:
    rows = [
        row("train", 1, **{"No Finding": "1.0", "Support Devices": "1.0"}),
        row("train", 2, 1, "view1_frontal", Edema="-1.0", Consolidation="-1.0", Fracture="-1.0"),
        row("train", 2, 1, "view2_lateral", Edema="-1.0", Consolidation="-1.0"),
        row("train", 2, 2, "view1_frontal", Cardiomegaly="0.0"),
    ]
    for index in range(5 * ALONE):
        # Two images a patient, of which one may be drawn and the other not.
        task = COMPETITION_CLASSES[index % 5]
        rows.append(row("train", 10 + index // 2, 1 + index % 2, **{task: "1.0"}))
    rows += [row("train", 1000 + index // 3, 1 + index % 3, Fracture="1.0") for index in range(OTHERS)]
    return rows


VALID_ROWS = [
    *(row("valid", 64541 + index, **dict.fromkeys(CHEXPERT_CLASSES, "0.0")) for index in range(4)),
    row("valid", 64541, 1, "view2_lateral", **dict.fromkeys(CHEXPERT_CLASSES, "0.0")),
]


def write_table(path: Path, rows: list[dict[str, str]], newline: str = "\n", *, bom: bool = False) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator=newline, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode())


def write_images(folder: Path, rows: list[dict[str, str]]) -> None:
    for values in rows:
        path = folder / values["Path"].split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG.getvalue())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small version's tree, inside the folder that it unpacks to."""
    root = tmp_path_factory.mktemp("chexpert") / "CheXpert-v1.0-small"
    write_table(root / "train.csv", train_rows(), "\r\n", bom=True)
    write_table(root / "valid.csv", VALID_ROWS)
    write_images(root, [*train_rows()[:-1], *VALID_ROWS])  # the last one is missing
    return root.parent


def prepare(source: Path, output: Path, **options: Any) -> Any:
    options = {"check_counts": False, "validation_size": 60} | options
    return prepare_source("chexpert", source, output, **options)


def records_of(report: Any, split: str | None = None) -> dict[str, dict[str, Any]]:
    found = read_datalist(report.datalist)
    return {record["id"]: record for name, _, record in found.records() if split in (None, name)}


def test_the_clean_datalist_is_sound_and_every_row_is_kept_or_counted(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path)
    assert verify_datalist(report.datalist) == []
    rows = len(train_rows()) + len(VALID_ROWS)
    assert sum(report.splits.values()) + sum(report.left_out.values()) == rows
    assert report.left_out["drawn for 5x200"] == 1000
    assert report.left_out["image file missing"] == 1
    assert report.left_out["view 'Lateral' not asked for"] == 2
    assert report.splits["test"] == 4


def test_records_have_ids_views_and_labels_of_the_five_tasks(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path)
    assert read_datalist(report.datalist).classes == list(COMPETITION_CLASSES)
    record = records_of(report)["patient00002_study1_view1_frontal"]
    assert record["image"] == "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg"
    assert (record["patient_id"], record["study_id"], record["view"]) == ("patient00002", "patient00002_study1", "AP")
    assert record["label"] == [0, 0, 0, 1, 0]  # Edema -1 is 1, Consolidation -1 is 0, blank is 0
    assert not {"Sex", "Age"} & record.keys()


def test_all_classes_and_other_policies_can_be_asked_for(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path, classes="all", uncertain="ignore", blank="ignore")
    label = records_of(report)["patient00002_study1_view1_frontal"]["label"]
    assert (read_datalist(report.datalist).classes, label) == (list(CHEXPERT_CLASSES), [None] * 14)
    assert records_of(report)["patient00002_study2_view1_frontal"]["label"][2] == 0


def test_lateral_views_come_when_asked_for(source: Path, tmp_path: Path) -> None:
    record = records_of(prepare(source, tmp_path, views=["Frontal", "Lateral"]))["patient00002_study1_view2_lateral"]
    assert record["view"] == "Lateral"


def test_clean_splits_share_no_patient_and_validation_is_as_large_as_asked(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path)
    patients = {split: {r["patient_id"] for r in records_of(report, split).values()} for split in SPLITS}
    assert not patients["training"] & patients["validation"]
    assert not patients["test"] & (patients["training"] | patients["validation"])
    assert 60 - 1 <= report.splits["validation"] < 60 + 3  # one image is missing; patients stay whole
    again = prepare(source, tmp_path / "again")
    assert records_of(again, "validation").keys() == records_of(report, "validation").keys()
    other = prepare(source, tmp_path / "other", seed=1)
    assert records_of(other, "validation").keys() != records_of(report, "validation").keys()


def test_the_5x200_set_is_a_datalist_of_its_own_and_its_patients_do_not_train(source: Path, tmp_path: Path) -> None:
    drawn = prepare(source, tmp_path / "drawn", part="5x200")
    assert drawn.splits == {"training": 0, "validation": 0, "test": 1000}
    assert verify_datalist(drawn.datalist, images=False) == []
    labels = Counter(tuple(record["label"]) for record in records_of(drawn).values())
    assert set(labels.values()) == {200}
    assert all(sum(label) == 1 for label in labels)
    train = prepare(source, tmp_path / "train")
    patients = {record["patient_id"] for record in records_of(drawn).values()}
    assert not patients & {record["patient_id"] for record in records_of(train).values()}
    assert train.left_out["of a patient of 5x200"] > 0


def test_the_5x200_set_is_the_published_draw(source: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(source / "CheXpert-v1.0-small" / "train.csv")
    frame[list(CHEXPERT_CLASSES)] = frame[list(CHEXPERT_CLASSES)].fillna(0)
    frame = frame[frame["Frontal/Lateral"] == "Frontal"]
    expected = []
    for task in COMPETITION_CLASSES:
        others = [name for name in CHEXPERT_CLASSES if name not in (task, "No Finding")]
        alone = frame[(frame[task] == 1) & (frame[others] == 0).all(axis=1)]
        expected += alone.sample(n=200, random_state=0)["Path"].tolist()
    assert [record["image"] for record in records_of(prepare(source, tmp_path, part="5x200")).values()] == expected


def test_training_can_keep_5x200_or_leave_several_draws_out(source: Path, tmp_path: Path) -> None:
    kept = prepare(source, tmp_path / "kept", exclude_5x200=False)
    assert "drawn for 5x200" not in kept.left_out
    several = prepare(source, tmp_path / "several", samplings=[0, 1, 2, 3, 4])
    assert several.left_out["drawn for 5x200"] > 1000
    with pytest.raises(ValueError, match=r"samplings must hold one seed, got \[0, 1\]"):
        prepare(source, tmp_path / "two", part="5x200", samplings=[0, 1])


def test_mode_mgca_takes_validation_out_of_training_by_position(source: Path, tmp_path: Path) -> None:
    report = prepare(source, tmp_path, mode="mgca")
    frame = pd.read_csv(source / "CheXpert-v1.0-small" / "train.csv")
    drawn = {record["image"] for record in records_of(prepare(source, tmp_path / "drawn", part="5x200")).values()}
    left = frame[~frame["Path"].isin(drawn)]
    positions = np.random.RandomState(0).choice(len(left), size=len(left) // 2, replace=False)
    validation, training = left.iloc[positions], left.drop(positions, errors="ignore")
    here = [f"{name}" for name in ("training", "validation")]
    published = [
        {path for path, view in zip(part["Path"], part["Frontal/Lateral"], strict=True) if view == "Frontal"}
        - {frame["Path"].iloc[-1]}  # its image is missing
        for part in (training, validation)
    ]
    assert [{r["image"] for r in records_of(report, split).values()} for split in here] == published
    both = published[0] & published[1]
    assert report.notes["images in several splits"] >= len(both) > 0.5 * len(published[1])
    assert sum(name.endswith("#validation") for name in records_of(report, "validation")) >= len(both)


def test_verify_tells_that_splits_of_mode_mgca_share_records_and_those_of_clean_do_not(
    source: Path, tmp_path: Path
) -> None:
    faults = verify_datalist(prepare(source, tmp_path / "mgca", mode="mgca").datalist, images=False)
    assert {fault.key for fault in faults} == {"patient_id"}
    assert verify_datalist(prepare(source, tmp_path / "clean").datalist, images=False) == []


def test_mode_official_takes_the_three_tables_of_the_publisher(tmp_path: Path) -> None:
    root = tmp_path / "source"
    rows = train_rows()[:4]
    tests = [
        row("test", 64741 + index, Path=f"test/patient{64741 + index}/study1/view1_frontal.jpg") for index in range(3)
    ]
    write_table(root / "train.csv", rows)
    write_table(root / "valid.csv", VALID_ROWS)
    write_table(root / "test_labels.csv", tests)
    write_images(root, [*rows, *VALID_ROWS, *({"Path": f"x/{values['Path']}"} for values in tests)])
    report = prepare(root, tmp_path / "out", mode="official", exclude_5x200=False)
    assert report.splits == {"training": 3, "validation": 4, "test": 3}
    assert records_of(report, "test")["patient64741_study1_view1_frontal"]["image"].startswith("test/")
    assert verify_datalist(report.datalist) == []


def test_the_full_version_s_archives_are_read_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "source"
    first = root / "CheXpert-v1.0 batch 1 (validate & csv)"
    rows = [
        row("train", patient, Path=f"CheXpert-v1.0/train/patient{patient:05d}/study1/view1_frontal.jpg")
        for patient in (1, 30000)
    ]
    write_table(first / "train.csv", rows)
    write_table(first / "valid.csv", VALID_ROWS)
    write_images(first, VALID_ROWS)
    for batch, values in zip(("batch 2 (train 1)", "batch 3 (train 2)"), rows, strict=True):
        path = root / f"CheXpert-v1.0 {batch}" / values["Path"].split("train/")[1]
        path.parent.mkdir(parents=True)
        path.write_bytes(JPEG.getvalue())
    report = prepare(root, tmp_path / "out", exclude_5x200=False, validation_size=1)
    assert report.splits == {"training": 1, "validation": 1, "test": 4}
    assert verify_datalist(report.datalist) == []


def test_the_folder_itself_is_a_source_too_and_an_odd_path_and_a_second_row_are_left_out(tmp_path: Path) -> None:
    rows = [*train_rows()[:4], train_rows()[0], row("train", 5, Path="CheXpert-v1.0-small/patient5.jpg")]
    write_table(tmp_path / "train.csv", rows)
    write_table(tmp_path / "valid.csv", VALID_ROWS)
    write_images(tmp_path, [*rows[:4], *VALID_ROWS])
    report = prepare(tmp_path, tmp_path / "out", exclude_5x200=False, validation_size=1)
    assert report.left_out == {
        "view 'Lateral' not asked for": 2,
        "duplicate row": 1,
        "path is not .../patient/study/view": 1,
    }


def test_other_counts_are_an_error_that_names_expected_and_found(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"rows of train\.csv: expected 223414, found 1269; rows of valid\.csv: expected 234, found 5"
    ):
        prepare(source, tmp_path, check_counts=True)
    assert not (tmp_path / "datalist.json").exists()


def test_a_missing_table_or_column_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the train table is not in the source folder: expected 'train\.csv'"):
        prepare(tmp_path, tmp_path / "out")
    (tmp_path / "train.csv").write_text("Path,Edema\n")
    with pytest.raises(ValueError, match=r"train\.csv: columns \['No Finding'.* are missing"):
        prepare(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "named"),
    [({"mode": "mgac"}, "mode"), ({"part": "5x20"}, "part"), ({"views": ["PA"]}, "views"), ({"blank": "x"}, "blank")],
)
def test_an_unknown_choice_is_an_error_that_lists_the_known(
    source: Path, tmp_path: Path, options: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=f"{named} must be one of"):
        prepare(source, tmp_path, **options)


def test_a_cell_that_is_no_label_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", [row("train", 1), row("train", 2, Edema="yes")])
    with pytest.raises(ValueError, match=r"train\.csv: row 2: column 'Edema' holds 'yes', expected 1, 0, -1"):
        prepare(tmp_path, tmp_path / "out")


def test_a_second_row_is_not_drawn_for_5x200(tmp_path: Path) -> None:
    tasks = [name for name in COMPETITION_CLASSES for _ in range(200)]
    rows = [row("train", number, **{name: "1.0"}) for number, name in enumerate(tasks, 1)]
    write_table(tmp_path / "train.csv", [*rows, rows[0]])
    write_table(tmp_path / "valid.csv", [row("valid", 64541)])
    draft = read_chexpert(tmp_path, part="5x200", check_counts=False, report=PrepareReport())
    assert len(draft.splits["test"]) == 1000
