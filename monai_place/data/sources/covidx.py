"""COVIDx CXR: radiographs of normals, pneumonia and COVID-19, which COVID-Net's authors put together from public sets.

What to download: the Kaggle data set "COVIDx CXR-2" (later versions carry other names at the same place), or build it
with COVID-Net's notebooks; terms differ by the set that an image is from, and stand on those pages. What is expected::

    train/                          images of the training list
    test/                           images of the test list
    train_COVIDx9A.txt              one line an image: patient id, file name, class, source
    test_COVIDx9A.txt               (both may lie in a folder `labels`; COVIDx_CXR-3A is spelled so)

The version is told by the names of the lists. Where several versions are there, `version` chooses. Versions that end in
A, and 5, have the classes normal, pneumonia and COVID-19; those that end in B, and 6, negative and positive.
Expected counts, as COVID-Net's documentation has them (its table of 8A is headed 7A by mistake):

| version | training | test |
|---|---|---|
| 5 | 7,966 / 5,475 / 517 | 100 / 100 / 100 |
| 7A | 7,966 / 5,475 / 1,670 | 100 / 100 / 100 |
| 8A | 7,966 / 5,475 / 2,158 | 100 / 100 / 200 |
| 9A | 8,085 / 5,555 / 16,490 | 100 / 100 / 200 |
| CXR-3A | 8,085 / 5,555 / 15,994 | 100 / 100 / 200 |
| 6 | 13,794 / 517 | 100 / 100 |
| 7B | 13,794 / 1,670 | 100 / 100 |
| 8B | 13,794 / 2,158 | 200 / 200 |
| 9B | 13,992 / 16,490 | 200 / 200 |
| CXR-3B | 13,992 / 15,994 | 200 / 200 |

Any other version, and lists that are only called `train.txt` and `test.txt`, are refused unless `--any-count` takes
them, and are then noted as of unknown count.

- `id`: the folder and the file's name. `label`: one of three classes, or `COVID-19` alone in a list of two.
- File names may hold spaces; a list without the source (before version 5) is read, too.
- `patient_id`: source and patient id, since each source counts its own; training lists spell `rsna` as `rnsa`.
- A file listed twice counts once. Images that are not there are left out.

`mode` sets `split`, which can be set by itself:

- clean, `split=patients`: of the training list 20 % of the patients validate, spread over the classes, by `seed`;
  patients of the test list do not train. A validation list (`val_COVIDx...txt`, `val.txt`, images in `val/`) is used
  where there is one.
- mgca, `split=rows`: `train_test_split(train_size=0.8, random_state=0)` over the rows of the training list, so images
  of one patient train and validate; the note "patients in several splits" counts them, and `verify` names them.

Both test on the official test list. MGCA took version 9A, with three classes.

Reference:
    Wang, Lin, Wong: COVID-Net: a tailored deep convolutional neural network design for detection of COVID-19 cases from
    chest X-ray images. Scientific Reports 10:19549, 2020.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.mgca import MODES, check_choice, draw_two_splits
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.splits import split_patients

__all__ = ["read_covidx"]

LIST_NAME = re.compile(r"(train|val|test)(?:_COVIDx_?((?:CXR-)?\d+[A-Z]?))?\.txt")
UNNAMED = "unknown"
THREE, TWO = ("normal", "pneumonia", "COVID-19"), ("negative", "positive")
SPELLINGS = {name.lower(): name for name in (*THREE, *TWO)}
POSITIVE = "COVID-19"
# Images of each class in the training and in the test list, in the order of THREE or TWO.
EXPECTED: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "5": ((7966, 5475, 517), (100, 100, 100)),
    "6": ((13794, 517), (100, 100)),
    "7A": ((7966, 5475, 1670), (100, 100, 100)),
    "7B": ((13794, 1670), (100, 100)),
    "8A": ((7966, 5475, 2158), (100, 100, 200)),
    "8B": ((13794, 2158), (200, 200)),
    "9A": ((8085, 5555, 16490), (100, 100, 200)),
    "9B": ((13992, 16490), (200, 200)),
    "CXR-3A": ((8085, 5555, 15994), (100, 100, 200)),
    "CXR-3B": ((13992, 15994), (200, 200)),
}
SPLIT_CHOICES = ("patients", "rows")
SHARE_THAT_VALIDATES = 0.2
SOURCE_SPELLINGS = {"rnsa": "rsna"}


@dataclass(frozen=True)
class _Row:
    """A line of a list."""

    folder: str
    name: str
    patient: str
    label: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"


def read_covidx(
    source: Path,
    *,
    mode: str = "clean",
    version: str | None = None,
    split: str | None = None,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the lists of COVIDx.

    Args:
        source: the folder with the lists, `train/` and `test/`.
        mode: `clean` or `mgca`; sets `split` where that is not given.
        version: such as `9A`; by default the only one whose lists are there.
        split: `patients` or `rows`, what of the training list validates.
        seed: of the split by patients.
        check_counts: refuse lists of other counts than published, and versions whose counts are not known.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: no version has both lists.
        ValueError: a line is not what it must be, counts differ or are not known, or an option is unknown.
    """
    check_choice("mode", mode, MODES)
    split = split or ("rows" if mode == "mgca" else "patients")
    check_choice("split", split, SPLIT_CHOICES)
    lists = _find_lists(source)
    version = _choose_version(lists, str(version) if version is not None else None)
    rows = {folder: list(_read_list(path, folder)) for folder, path in lists[version].items()}
    classes = _classes(rows, version)
    _check_counts(rows, version, classes, report, check=check_counts)
    rows_of = _split_rows(rows, report) if split == "rows" else _split_patients(rows, seed, report)
    seen: dict[str, str] = {}
    return SourceDraft(
        name="covidx",
        version=version,
        source="COVIDx CXR (COVID-Net, Scientific Reports 10:19549); terms differ by the set an image is from",
        classes=list(THREE) if classes == THREE else [POSITIVE],
        splits={name: [_record(row, classes) for row in _unique(rows_of[name], seen, report)] for name in SPLITS},
        extra={"mode": mode, "split": split},
    )


def _find_lists(source: Path) -> dict[str, dict[str, Path]]:
    """Return the lists by version and folder (train, val, test), of versions that have a training and a test list."""
    found: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for folder in (source / "labels", source):
        for path in sorted(folder.glob("*.txt")):
            if match := LIST_NAME.fullmatch(path.name):
                found[match[2] or UNNAMED][match[1]] = path
    whole = {version: lists for version, lists in found.items() if {"train", "test"} <= lists.keys()}
    if not whole:
        raise FileNotFoundError(
            "the lists are not in the source folder: expected 'train_COVIDx9A.txt' and 'test_COVIDx9A.txt', or another "
            f"version's; versions with only one of both: {sorted(found)}"
        )
    return whole


def _choose_version(lists: Mapping[str, Any], version: str | None) -> str:
    if version is not None:
        check_choice("version", version, sorted(lists))
        return version
    if len(lists) > 1:
        raise ValueError(f"the lists of several versions are there: {sorted(lists)}; option version chooses one")
    return next(iter(lists))


def _read_list(path: Path, folder: str) -> Iterator[_Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not UTF-8 text at byte {error.start}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse(line.strip(), folder, f"{path.name}: line {number}")


def _parse(line: str, folder: str, where: str) -> _Row:
    """Patient, name, class and source; the name may hold spaces, and the source may be missing."""
    patient, _, rest = line.partition(" ")
    for columns in (2, 1):
        name, *others = rest.rsplit(" ", columns)
        if len(others) == columns and name.strip() and others[0].lower() in SPELLINGS:
            origin = others[1].lower() if columns == 2 else "covidx"
            origin = SOURCE_SPELLINGS.get(origin, origin)
            return _Row(folder, name.strip(), f"{origin}:{patient}", SPELLINGS[others[0].lower()])
    raise ValueError(f"{where}: expected 'patient file class source' with a class of {list(SPELLINGS.values())}")


def _classes(rows: Mapping[str, list[_Row]], version: str) -> tuple[str, ...]:
    found = {row.label for listed in rows.values() for row in listed}
    for classes in (THREE, TWO):
        if found <= set(classes):
            break
    else:
        raise ValueError(f"COVIDx {version}: the lists mix the classes {sorted(found)}: they are of two versions")
    if version in EXPECTED and len(EXPECTED[version][0]) != len(classes):
        raise ValueError(f"COVIDx {version} has {len(EXPECTED[version][0])} classes, its lists have {sorted(found)}")
    return classes


def _check_counts(
    rows: Mapping[str, list[_Row]], version: str, classes: tuple[str, ...], report: PrepareReport, *, check: bool
) -> None:
    found = Counter(f"{row.label} in {row.folder}" for listed in rows.values() for row in listed)
    if version in EXPECTED:
        counts = zip(("train", "test"), EXPECTED[version], strict=True)
        expected = {f"{name} in {part}": n for part, of in counts for name, n in zip(classes, of, strict=True)}
        compare_counts(f"COVIDx {version}", expected, found, check=check)
        return
    if check:
        raise ValueError(
            f"COVIDx {version}: unknown count: the counts of this version are not known (known: {sorted(EXPECTED)}); "
            f"its lists have {dict(found)}. `--any-count` (check_counts=False) takes it as it is"
        )
    report.notes[f"lists of a version of unknown count: {version}"] += 1


def _split_patients(rows: Mapping[str, list[_Row]], seed: int, report: PrepareReport) -> dict[str, list[_Row]]:
    """Split the training list by patient; who tests does not validate, and who does either does not train."""
    tested = {row.patient for row in rows["test"]}
    validation = _without(rows.get("val", []), tested, "patient is in the test list", report)
    training = _without(rows["train"], tested, "patient is in the test list", report)
    if validation:
        validating = {row.patient for row in validation}
        training = _without(training, validating, "patient is in the validation list", report)
    else:
        strata: dict[str, str] = {}
        for row in training:
            strata[row.patient] = min(strata.get(row.patient, row.label), row.label)
        fractions = (1 - SHARE_THAT_VALIDATES, SHARE_THAT_VALIDATES, 0.0)
        sizes = Counter(row.patient for row in training)
        split_of = split_patients(strata, sizes=sizes, fractions=fractions, seed=seed)
        validation = [row for row in training if split_of[row.patient] == "validation"]
        training = [row for row in training if split_of[row.patient] == "training"]
    return {"training": training, "validation": validation, "test": rows["test"]}


def _without(rows: Iterable[_Row], patients: set[str], reason: str, report: PrepareReport) -> list[_Row]:
    kept = []
    for row in rows:
        if row.patient in patients:
            report.leave_out(row.path, reason)
        else:
            kept.append(row)
    return kept


def _split_rows(rows: Mapping[str, list[_Row]], report: PrepareReport) -> dict[str, list[_Row]]:
    """Split the rows of the training list as MGCA does, whoever they are of."""
    training, validation = draw_two_splits(rows["train"], SHARE_THAT_VALIDATES)
    if unused := len(rows.get("val", [])):
        report.notes["rows of the validation list, not used"] += unused
    splits = {"training": training, "validation": validation, "test": rows["test"]}
    where: defaultdict[str, set[str]] = defaultdict(set)
    for name, drawn in splits.items():
        for row in drawn:
            where[row.patient].add(name)
    if leaks := sum(len(names) > 1 for names in where.values()):
        report.notes["patients in several splits"] += leaks
    return splits


def _unique(rows: Iterable[_Row], seen: dict[str, str], report: PrepareReport) -> Iterator[_Row]:
    """Yield the rows whose file has not been seen, in this split or in one before."""
    for row in rows:
        if row.path in seen:
            same = seen[row.path] == row.label
            report.leave_out(row.path, "listed twice" if same else "listed twice, with another class before")
        else:
            seen[row.path] = row.label
            yield row


def _record(row: _Row, classes: tuple[str, ...]) -> dict[str, Any]:
    label = [int(row.label == name) for name in classes] if classes == THREE else [int(row.label == "positive")]
    return {"id": row.path, "image": row.path, "patient_id": row.patient, "label": label}
