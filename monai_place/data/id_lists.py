"""Splits of one's own data, and lists of ids: what can be published so that others train on the same studies.

A list is a text file with one id a line, sorted: the records of a split, or a share of the training split's. Shares are
drawn by id with `draw_fraction`, as the datasets for MMDetection and MMSegmentation draw them (`fraction=`, `seed=`):
`ids="training_1pct_seed0.txt"` and `fraction=0.01, seed=0` are the same records; with one seed, 1 % lies inside 10 %.
They are not drawn by patient: the splits are, and within the training split no study can leak into a test.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.atomic import write_text_atomic
from monai_place.data.datalist import SPLITS, Datalist, read_datalist, write_datalist
from monai_place.data.paths import relative_root
from monai_place.data.splits import draw_fraction, split_patients

__all__ = ["SplitReport", "fraction_name", "read_ids", "split_datalist", "write_id_lists"]

logger = logging.getLogger(__name__)

DATALIST_NAME = "datalist.json"


@dataclass
class SplitReport:
    """What was written.

    Args:
        datalist: the new datalist.
        splits: records by split.
        patients: patients by split.
        positives: positive records by split, by class.
        lists: how many ids each list has, by the file's name.
        notes: counts worth knowing.
    """

    datalist: Path = field(default_factory=Path)
    splits: dict[str, int] = field(default_factory=dict)
    patients: dict[str, int] = field(default_factory=dict)
    positives: dict[str, dict[str, int]] = field(default_factory=dict)
    lists: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; the datalist by its name."""
        return {**vars(self), "datalist": self.datalist.name}

    def __str__(self) -> str:
        lines = [f"{count:7d}  {split}, {self.patients[split]} patients" for split, count in self.splits.items()]
        lines += [f"{count:7d}  {name}" for name, count in self.lists.items()]
        return "\n".join(lines + [f"{count:7d}  {note}" for note, count in self.notes.items()])


def split_datalist(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fractions: Sequence[float] | None = (0.7, 0.1, 0.2),
    seed: int = 0,
    stratify: bool = True,
    label_fractions: Sequence[float] = (0.01, 0.1),
    label_seeds: Sequence[int] = (0,),
    require: str | None = None,
) -> SplitReport:
    """Split a datalist by patient, and write the splits and label fractions as lists of ids.

    Records that share a patient (or a study, where no patient is known) or an image file stay together. A record with
    neither counts as a patient of its own, which is noted. Patients are spread by their rarest positive class.

    Args:
        path: the datalist; its own splits are given up, unless `fractions` is None.
        output: the folder for the new datalist and the lists; images stay where they are.
        fractions: of training, validation and test; None keeps the datalist's own splits.
        seed: of the splits.
        stratify: spread each class about the splits evenly, as far as there are labels.
        label_fractions: shares of the training split to list, each above 0 and below 1.
        label_seeds: of their draws; a list for each seed and share.
        require: draw the shares only from records that have this key, such as `mask` for segmentation.

    Raises:
        DatalistError: the file is no datalist.
        ValueError: a fraction is out of its range, an id is used twice, cannot stand on a line of its own, or no
            record has the required key.
    """
    path, output = Path(path), Path(output)
    datalist = read_datalist(path)
    if (output / DATALIST_NAME).resolve() == path.resolve():
        raise ValueError("output must be another folder than that of the datalist, which is only read")
    report = SplitReport()
    groups = _groups(datalist, report)
    if fractions is not None:
        _split_again(datalist, groups, fractions, seed, stratify=stratify)
    output.mkdir(parents=True, exist_ok=True)
    report.lists = write_id_lists(
        datalist, output, label_fractions=label_fractions, label_seeds=label_seeds, require=require
    )
    _count(datalist, groups, report)
    report.datalist = output / DATALIST_NAME
    _write(datalist, report.datalist)
    return report


def write_id_lists(
    datalist: Datalist,
    output: str | os.PathLike[str],
    *,
    label_fractions: Sequence[float] = (0.01, 0.1),
    label_seeds: Sequence[int] = (0,),
    require: str | None = None,
) -> dict[str, int]:
    """Write the ids of each split, and of shares of the training split, one a line.

    Args:
        datalist: whose records.
        output: the folder.
        label_fractions: shares of the training split to list.
        label_seeds: of their draws.
        require: draw the shares only from records that have this key.

    Returns:
        How many ids each file has, by its name.

    Raises:
        ValueError: a share is out of its range, an id is used twice or cannot stand on a line, or no record has the
            required key.
    """
    ids = {split: [record["id"] for record in datalist.splits[split]] for split in SPLITS}
    _check_ids([name for split in SPLITS for name in ids[split]])
    training = datalist.splits[SPLITS[0]]
    drawn_from = [record["id"] for record in training if require is None or record.get(require) is not None]
    if label_fractions and not drawn_from:
        raise ValueError(f"no record of the training split has {require!r}" if require else "no training record")
    lists = {f"{split}.txt": ids[split] for split in SPLITS}
    for share in label_fractions:
        for seed in label_seeds:
            name = f"{fraction_name(share)}_seed{seed}.txt"
            lists[name] = list(draw_fraction(drawn_from, share, seed=seed))
    for name, listed in lists.items():
        write_text_atomic(Path(output) / name, "".join(f"{record_id}\n" for record_id in sorted(listed)))
    return {name: len(listed) for name, listed in lists.items()}


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read ids from a file: a JSON list, or one a line.

    Raises:
        ValueError: the file is neither, or holds none.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not UTF-8 text: {error}; save the list as UTF-8") from None
    found: Any = None
    if path.suffix == ".json":
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path.name}: not JSON: {error}") from None
    else:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(found, list) or not found or not all(isinstance(entry, str) for entry in found):
        raise ValueError(f"{path.name}: expected a list of ids, at least one")
    return found


def fraction_name(share: float) -> str:
    """Return the name of a share of the training split.

    Raises:
        ValueError: the share is not above 0 and below 1.

    Example:
        >>> fraction_name(0.01), fraction_name(0.005)
        ('training_1pct', 'training_0.5pct')
    """
    if not 0 < share < 1:
        raise ValueError(f"a label fraction is above 0 and below 1, got {share}")
    return f"{SPLITS[0]}_{round(100 * share, 6):g}pct"


def _check_ids(ids: Sequence[str]) -> None:
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{len(twice)} ids are used twice, such as {twice[:3]}")
    if unfit := [name for name in ids if name.splitlines() != [name] or name != name.strip()]:
        raise ValueError(f"{len(unfit)} ids cannot stand on a line of their own, such as {unfit[:3]}")


def _groups(datalist: Datalist, report: SplitReport) -> dict[str, str]:
    """Return what each record must stay together with: a name of the group by the record's id."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parents.setdefault(name, name)) != name:
            parents[name] = parents[above]
            name = above
        return name

    alone = 0
    for *_, record in datalist.records():
        # The study only where there is no patient: some number a patient's studies 1, 2, 3.
        keys = [key for key in ("patient_id", "study_id") if record.get(key) not in (None, "")][:1]
        ties = [f"{key} {record[key]}" for key in keys]
        alone += not ties
        for tie in (*ties, f"image {record['image']}"):
            # Sorted, so that a group's name does not depend on the order of the records.
            first, second = sorted((root(f"record {record['id']}"), root(tie)))
            parents[second] = first
    if alone:
        report.notes["records without a patient or study: each counts as a patient"] = alone
    return {record["id"]: root(f"record {record['id']}") for *_, record in datalist.records()}


def _split_again(
    datalist: Datalist, groups: Mapping[str, str], fractions: Sequence[float], seed: int, *, stratify: bool
) -> None:
    records = [record for *_, record in datalist.records()]
    strata = _strata(records, groups, datalist.classes) if stratify else dict.fromkeys(groups.values(), "")
    assigned = split_patients(strata, sizes=Counter(groups.values()), fractions=fractions, seed=seed)
    datalist.splits = {split: [] for split in SPLITS}
    for record in records:
        datalist.splits[assigned[groups[record["id"]]]].append(record)


def _strata(records: Sequence[Mapping[str, Any]], groups: Mapping[str, str], classes: Sequence[str]) -> dict[str, str]:
    """Return the rarest positive class of each group, so that rare ones are dealt out evenly as well."""
    positive: defaultdict[str, set[int]] = defaultdict(set)
    for record in records:
        positive[groups[record["id"]]] |= {index for index, value in enumerate(record.get("label") or ()) if value == 1}
    counts = Counter(index for found in positive.values() for index in found)
    rank = [index for index, _ in sorted(counts.items(), key=lambda item: (item[1], item[0]))]
    rarest = {group: next((index for index in rank if index in found), -1) for group, found in positive.items()}
    return {group: classes[index] if 0 <= index < len(classes) else "" for group, index in rarest.items()}


def _count(datalist: Datalist, groups: Mapping[str, str], report: SplitReport) -> None:
    for split in SPLITS:
        records = datalist.splits[split]
        report.splits[split] = len(records)
        report.patients[split] = len({groups[record["id"]] for record in records})
        report.positives[split] = {
            name: sum((record.get("label") or [0] * (index + 1))[index] == 1 for record in records)
            for index, name in enumerate(datalist.classes)
        }


def _write(datalist: Datalist, path: Path) -> None:
    """Write the datalist, its roots seen from its new folder."""
    root, mask_root = datalist.root, datalist.mask_root
    datalist.image_root = relative_root(root, path.parent)
    if "mask_root" in datalist.extra:
        datalist.extra = {**datalist.extra, "mask_root": relative_root(mask_root, path.parent)}
    write_datalist(datalist, path)
