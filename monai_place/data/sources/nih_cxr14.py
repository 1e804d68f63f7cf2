"""NIH ChestX-ray14: frontal radiographs with findings mined from their reports, and a few with boxes.

What to download: "CXR8" from the NIH Clinical Center's page of the set (or a copy of all of it, such as Kaggle's),
where the terms stand: no restriction, with attribution. Unpack it, and keep its names::

    Data_Entry_2017_v2020.csv                  or Data_Entry_2017.csv: one row an image
    train_val_list.txt, test_list.txt          the official split, one name a line
    BBox_List_2017.csv                         one row a box (optional)
    images/<name>.png                          or images_001/images/<name>.png to images_012, or images_001/<name>.png

Expected counts: 112,120 images of 30,805 patients, 86,524 to train and validate, 25,596 to test, 984 boxes on 880
images.

- `label`: 14 findings, 0 or 1; `No Finding` is 0 for all. Both versions of the table are read; some hundred images have
  other labels in one than in the other, and `version` of the datalist says which it is.
- `boxes`: `Bbox [x,y,w,h]` of the picture of 1,024 pixels; an image of another size has them scaled. `Infiltrate` of
  that table is `Infiltration`. Only images of the table have the key `boxes`: of the others nobody drew any, so they
  count neither as negatives nor as positives. All of them are test images.
- `patient_id`: `nih-` and the number in eight digits, as `rsna` with `split=patients` has it, since its images are from
  here. `study_id`: with the follow-up number. `view`: PA or AP. Ages and sexes are not taken.
- Splits: the official test list; `validation` (0.1) of the other patients, drawn at `seed`, validate. No patient is on
  two sides.
- Left out: images without a file, in none of the lists, or with a second row; names of a list, and boxes, without a
  row. Boxes without area are not taken; a box that is there twice counts once.

There is no mode to choose: the published preparations that we know of use the official list as well.

The names of columns and lists, the two versions and the counts were read from public analyses of the files and loaders.

Reference:
    Wang et al.: ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks. CVPR 2017, arXiv:1705.02315.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.tables import Row, find_file, read_table
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.splits import split_patients

__all__ = ["read_nih_cxr14"]

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
BOXES = "BBox_List_2017.csv"
TRAIN_VAL, TEST = "train_val_list.txt", "test_list.txt"
COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "View Position")
BOX_COLUMNS = ("Bbox [x", "y", "w", "h]")  # the commas of "Bbox [x,y,w,h]" are taken for separators
CLASSES = [
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
]
NO_FINDING = "No Finding"
BOX_NAMES = {"Infiltrate": "Infiltration"}
BOX_FRAME = (1024, 1024)
FOLDERS = ("images", *(f"images_{n:03}/images" for n in range(1, 13)), *(f"images_{n:03}" for n in range(1, 13)), ".")
EXPECTED = {"images": 112120, "patients": 30805, f"names of {TRAIN_VAL}": 86524, f"names of {TEST}": 25596}
EXPECTED_BOXES = {"boxes": 984, "images with boxes": 880}

_Drawn = tuple[str, tuple[float, float, float, float]]  # finding, box


def read_nih_cxr14(
    source: Path, *, validation: float = 0.1, seed: int = 0, check_counts: bool = True, report: PrepareReport
) -> SourceDraft:
    """Read the tables of ChestX-ray14.

    Args:
        source: the folder with `Data_Entry_2017_v2020.csv` or `Data_Entry_2017.csv`.
        validation: share of the patients to train and validate that validate.
        seed: of their draw.
        check_counts: refuse tables of other counts than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a table or a list is not there.
        ValueError: a row is not what it must be, an image or a patient is on two sides, or counts differ.
    """
    if not 0 < validation < 1:
        raise ValueError(f"validation must be above 0 and below 1, got {validation}")
    table = find_file(source, *TABLES, what="the table of findings")
    rows = _read_rows(table, report)
    lists = {name: _read_list(source / name) for name in (TRAIN_VAL, TEST)}
    boxes = _read_boxes(source, rows, report, check=check_counts)
    found = {"images": len(rows), "patients": len({row["Patient ID"] for row in rows.values()})}
    found |= {f"names of {name}": len(names) for name, names in lists.items()}
    compare_counts("nih-cxr14", EXPECTED, found, check=check_counts)
    draft = SourceDraft(
        name="nih-cxr14",
        version=table.name.removesuffix(".gz").removesuffix(".csv"),
        source="NIH Clinical Center, ChestX-ray14, arXiv:1705.02315; no restriction, with attribution",
        classes=CLASSES,
        splits=_split(rows, lists, validation, seed, report),
    )
    paths = _image_paths(source)
    for records in draft.splits.values():
        for index, record in enumerate(records):
            name = record["id"]
            records[index] = _record(rows[name], paths.get(name, f"images/{name}"), f"{table.name}: {name}")
            if boxes.get(name):
                records[index]["boxes"] = [list(box) for _, box in boxes[name]]
                records[index]["box_classes"] = [finding for finding, _ in boxes[name]]
                draft.frames[name] = BOX_FRAME
    return draft


def _read_rows(table: Path, report: PrepareReport) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for number, row in enumerate(read_table(table, COLUMNS), 1):
        if not row["Image Index"] or not row["Patient ID"].isdigit():
            raise ValueError(f"{table.name}: row {number}: Image Index or Patient ID is not what it must be")
        if row["Image Index"] in rows:
            report.leave_out(row["Image Index"], "second row of an image")
        else:
            rows[row["Image Index"]] = row
    return rows


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not in the source folder: it is the official split")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not UTF-8 text at byte {error.start}") from None
    return list(dict.fromkeys(line for line in lines if line))


def _read_boxes(
    source: Path, rows: Mapping[str, Row], report: PrepareReport, *, check: bool
) -> dict[str, list[_Drawn]]:
    boxes: defaultdict[str, list[_Drawn]] = defaultdict(list)
    try:
        path = find_file(source, BOXES, what="the table of boxes")
    except FileNotFoundError:
        report.notes["table of boxes not there"] += 1
        return {}
    for number, row in enumerate(read_table(path, ("Image Index", "Finding Label", *BOX_COLUMNS)), 1):
        name = BOX_NAMES.get(row["Finding Label"], row["Finding Label"])
        try:
            x, y, width, height = (float(row[column]) for column in BOX_COLUMNS)
        except ValueError:
            given = [row[column] for column in BOX_COLUMNS]
            raise ValueError(f"{path.name}: row {number}: a box is four numbers, got {given!r:.80}") from None
        if name not in CLASSES:
            raise ValueError(f"{path.name}: row {number}: unknown finding {name!r:.40}; known: {CLASSES}")
        boxes[row["Image Index"]].append((name, (x, y, x + width, y + height)))
    counts = {"boxes": sum(map(len, boxes.values())), "images with boxes": len(boxes)}
    compare_counts("nih-cxr14", EXPECTED_BOXES, counts, check=check)
    return _choose_boxes(boxes, rows, report)


def _choose_boxes(
    boxes: Mapping[str, list[_Drawn]], rows: Mapping[str, Row], report: PrepareReport
) -> dict[str, list[_Drawn]]:
    """Return the boxes of images that are known, each once, and none without area."""
    chosen: dict[str, list[_Drawn]] = {}
    for image, listed in boxes.items():
        if image not in rows:
            report.leave_out(image, "box of an image without a row")
            continue
        once = list(dict.fromkeys(listed))
        chosen[image] = [drawn for drawn in once if drawn[1][0] < drawn[1][2] and drawn[1][1] < drawn[1][3]]
        labels = rows[image]["Finding Labels"].split("|")
        notes = {
            "boxes listed twice, taken once": len(listed) - len(once),
            "boxes without area, not taken": len(once) - len(chosen[image]),
            "boxes of a finding that is not among the labels of their image": sum(
                name not in labels for name, _ in chosen[image]
            ),
        }
        report.notes.update({note: count for note, count in notes.items() if count})
    return chosen


def _split(
    rows: Mapping[str, Row], lists: Mapping[str, list[str]], validation: float, seed: int, report: PrepareReport
) -> dict[str, list[dict[str, Any]]]:
    """Return the ids of each split as records to be filled."""
    if shared := set(lists[TRAIN_VAL]) & set(lists[TEST]):
        raise ValueError(f"{len(shared)} images are in {TRAIN_VAL} and in {TEST}")
    for names in lists.values():
        for name in names:
            if name not in rows:
                report.leave_out(name, "name of a list without a row")
    for name in sorted(rows.keys() - set(lists[TRAIN_VAL]) - set(lists[TEST])):
        report.leave_out(name, "image in none of the lists")
    known = {side: [name for name in names if name in rows] for side, names in lists.items()}
    patients = {side: Counter(rows[name]["Patient ID"] for name in names) for side, names in known.items()}
    if both := patients[TRAIN_VAL].keys() & patients[TEST].keys():
        raise ValueError(f"{len(both)} patients are in {TRAIN_VAL} and in {TEST}")
    sizes = patients[TRAIN_VAL]
    drawn = split_patients(dict.fromkeys(sizes, ""), sizes=sizes, fractions=(1 - validation, validation, 0), seed=seed)
    splits: dict[str, list[dict[str, Any]]] = {"training": [], "validation": []}
    for name in known[TRAIN_VAL]:
        splits[drawn[rows[name]["Patient ID"]]].append({"id": name})
    return {**splits, "test": [{"id": name} for name in known[TEST]]}


def _record(row: Row, image: str, where: str) -> dict[str, Any]:
    findings = set(row["Finding Labels"].split("|"))
    if unknown := findings - {*CLASSES, NO_FINDING}:
        raise ValueError(f"{where}: unknown findings {sorted(unknown)}; known: {[*CLASSES, NO_FINDING]}")
    if len(findings) > 1 and NO_FINDING in findings:
        raise ValueError(f"{where}: {NO_FINDING} beside findings")
    patient = f"nih-{int(row['Patient ID']):08}"
    record: dict[str, Any] = {"id": row["Image Index"], "image": image, "patient_id": patient}
    record["study_id"] = f"{patient}-{row['Follow-up #']}"
    if row["View Position"]:
        record["view"] = row["View Position"]
    record["label"] = [int(name in findings) for name in CLASSES]
    return record


def _image_paths(source: Path) -> dict[str, str]:
    """Return the path of each picture; the set comes in twelve archives, which people unpack in several ways."""
    paths: dict[str, str] = {}
    for folder in FOLDERS:
        if (source / folder).is_dir():
            below = "" if folder == "." else f"{folder}/"
            for path in sorted((source / folder).glob("*.png")):
                paths.setdefault(path.name, below + path.name)
    return paths
