"""What must not be in two splits of a datalist: a patient, or a picture that is another's copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from itertools import chain, combinations, islice
from pathlib import Path
from typing import Any

import numpy as np

from monai_place.data.datalist import SPLITS, Datalist, read_datalist
from monai_place.data.journal import FileJournal, file_stamp
from monai_place.data.parallel import map_ordered
from monai_place.data.paths import PathGuard
from monai_place.data.perceptual import FINE_DISTANCE, HASH_WORDS, Words, near_pairs, perceptual_hash
from monai_place.data.radiograph import read_radiograph
from monai_place.data.verify import Fault

__all__ = ["LeakageReport", "NearDuplicate", "find_near_duplicates"]

METHOD = {"hash": 1}  # raised where the same file gives another hash
LEAST_SIDE = 64  # pixels; the hash looks at 32
HASH_DIGITS = 16 * HASH_WORDS
CHUNK = 16


@dataclass(frozen=True)
class NearDuplicate:
    """Two records of two splits whose images look the same.

    Args:
        splits: of the two.
        ids: of the two.
        distance: bits of 256 in which their hashes differ; 0 is a copy, or as good as one.
        same_patient: whether the records say that it is the same patient.
    """

    splits: tuple[str, str]
    ids: tuple[str, str]
    distance: int
    same_patient: bool


@dataclass
class LeakageReport:
    """What was found.

    Args:
        pairs: near duplicates, the nearest first.
        hashed: images that were compared.
        plain: ids of images without contrast, which look like each other and are not compared.
        unreadable: (split, id, reason) of images that could not be read.
    """

    pairs: list[NearDuplicate] = field(default_factory=list)
    hashed: int = 0
    plain: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)

    def faults(self) -> list[Fault]:
        """Return the pairs as `verify_datalist` reports what it finds, each at its second record."""
        return [
            Fault(
                pair.splits[1],
                pair.ids[1],
                "image",
                f"looks like that of {pair.ids[0]!r:.80} in split {pair.splits[0]!r}, "
                f"{pair.distance} of 256 bits differ",
            )
            for pair in self.pairs
        ]


def find_near_duplicates(
    path: str | os.PathLike[str],
    *,
    max_distance: int = FINE_DISTANCE,
    workers: int = 0,
    cache: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LeakageReport:
    """Find images that are in two splits of a datalist: as copies, encoded anew, resized, windowed or slightly cut.

    `monai_place.data.perceptual` says what is found. What is not: mirrored or turned images, and those that lost more
    than a hundredth or two at each edge. A near pair may be two images of one patient on one day, or two very alike
    patients: look at them.

    Args:
        path: the datalist.
        max_distance: bits of 256 that may differ. With more, more cuts are found, and from about 50 on images that only
            look alike.
        workers: processes that read images; 0 works in this one.
        cache: a file for the hashes; images that have not changed are not read again.
        progress: called with (images done, all images).

    Returns:
        The pairs across splits. Pairs within a split are no leak, and not looked for.

    Raises:
        DatalistError: the file is no datalist.
        ValueError: `max_distance` is out of its range.
    """
    if not 0 <= max_distance <= 256:
        raise ValueError(f"max_distance must be 0 to 256, got {max_distance}")
    datalist = read_datalist(path)
    report = LeakageReport()
    hashes: dict[str, list[Words]] = {split: [] for split in SPLITS}
    records: dict[str, list[Mapping[str, Any]]] = {split: [] for split in SPLITS}
    journal = FileJournal(cache, METHOD) if cache is not None else None
    total = sum(len(datalist.splits[split]) for split in SPLITS)
    pending = map_ordered(_hash_chunk, _chunks(datalist, journal.entries if journal else {}), workers=workers)
    with journal or nullcontext(), closing(pending) as chunks:
        hashed = zip(datalist.records(), chain.from_iterable(chunks), strict=True)
        for done, ((split, _, record), (entry, reason)) in enumerate(hashed, 1):
            if reason:
                report.unreadable.append((split, record["id"], reason))
            elif not entry["hash"]:
                report.plain.append(record["id"])
            else:
                hashes[split].append(_words(entry["hash"]))
                records[split].append(record)
            if journal is not None and not reason:
                journal.add(record["image"], entry)
            if progress is not None:
                progress(done, total)
    report.hashed = sum(map(len, records.values()))
    for one, other in combinations(SPLITS, 2):
        report.pairs += _pairs((one, other), hashes, records, max_distance)
    report.pairs.sort(key=lambda pair: (pair.distance, pair.splits, pair.ids))
    return report


def _pairs(
    splits: tuple[str, str],
    hashes: Mapping[str, list[Words]],
    records: Mapping[str, list[Mapping[str, Any]]],
    max_distance: int,
) -> Iterator[NearDuplicate]:
    small, large = sorted(splits, key=lambda split: len(hashes[split]))
    if not hashes[small]:
        return
    sets = (np.stack(hashes[small]), np.stack(hashes[large]))
    for row, column, distance in zip(*near_pairs(*sets, fine=max_distance), strict=True):
        found = {small: records[small][row], large: records[large][column]}
        patients = [found[split].get("patient_id") for split in splits]
        same = patients[0] not in (None, "") and str(patients[0]) == str(patients[1])
        yield NearDuplicate(splits, (found[splits[0]]["id"], found[splits[1]]["id"]), int(distance), same)


@dataclass(frozen=True)
class _Chunk:
    images: tuple[tuple[str, Mapping[str, Any] | None], ...]
    root: str


def _chunks(datalist: Datalist, known: Mapping[str, Mapping[str, Any]]) -> Iterator[_Chunk]:
    images = ((record["image"], known.get(record["image"])) for *_, record in datalist.records())
    while part := tuple(islice(images, CHUNK)):
        yield _Chunk(part, str(datalist.root))


def _hash_chunk(chunk: _Chunk) -> list[tuple[dict[str, Any], str]]:
    guard = PathGuard(chunk.root)
    return [_hash(image, known, guard) for image, known in chunk.images]


def _hash(image: str, known: Mapping[str, Any] | None, guard: PathGuard) -> tuple[dict[str, Any], str]:
    """Return the entry of an image and no reason, or nothing and the reason."""
    try:
        path = Path(guard.resolve(image))
        stamp = file_stamp(path)
        if known is not None and known["stamp"] == stamp and len(known["hash"]) in (0, HASH_DIGITS):
            return dict(known), ""
        words = perceptual_hash(read_radiograph(path, least_side=LEAST_SIDE)[0])
    except OSError as error:
        return {}, f"cannot read the file: {error.strerror or type(error).__name__}"
    except ValueError as error:  # RadiographError among them
        return {}, str(error)
    return {"stamp": stamp, "hash": "" if words is None else "".join(f"{word:016x}" for word in words)}, ""


def _words(text: str) -> Words:
    return np.array([int(text[at : at + 16], 16) for at in range(0, HASH_DIGITS, 16)], dtype=np.uint64)
