"""What a data set's reader hands over: records whose files still lie where the publisher put them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from monai_place.data.sources.masks import MaskDrawing

__all__ = [
    "MASK_UNREADABLE",
    "NO_REPORT",
    "REPORT_UNREADABLE",
    "UNREADABLE",
    "Linkage",
    "PrepareReport",
    "RecordCompletion",
    "Size",
    "SourceDraft",
]

Size = tuple[int, int]  # height, width

# Reasons that make a job fail in the end: the file is there, and cannot be read.
UNREADABLE = "image file unreadable"
REPORT_UNREADABLE = "report file unreadable"
MASK_UNREADABLE = "mask unreadable"

NO_REPORT = "records without a report"  # a note


@dataclass
class PrepareReport:
    """What a preparation kept, what it left out and why, and what it changed.

    Args:
        datalist: the file that was written.
        splits: records by split.
        left_out: left-out entries by reason.
        notes: other counts worth knowing, such as masks that were resized.
        entries: (entry, reason) of what was left out one by one; the entry is an id or a file's name.
        unreadable: (entry, reason) of files that are there and could not be read: images, reports and masks that were
            left out with their record, and masks whose record was kept. A file that is missing is not among them: that
            is a property of the set, and counted with the others.
        pixels: `pixel_mean` and `pixel_std` of the training split, where images were converted.
    """

    datalist: Path = field(default_factory=Path)
    splits: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    entries: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    pixels: dict[str, float] = field(default_factory=dict)

    def leave_out(self, entry: str, reason: str, detail: str = "") -> None:
        """Count something that does not come into the datalist, and remember which it was.

        Args:
            entry: an id or a file's name; never a name or a number of a patient.
            reason: the same words for the same reason, since they are counted.
            detail: what is wrong with this one in particular; listed, and not counted.
        """
        self.left_out[reason] += 1
        self.entries.append((entry, f"{reason}: {detail}" if detail else reason))
        if reason in (UNREADABLE, REPORT_UNREADABLE, MASK_UNREADABLE):
            self.unreadable.append(self.entries[-1])

    def note_unreadable(self, entry: str, reason: str) -> None:
        """Remember a file that could not be read, of a record that is kept without it.

        Args:
            entry: the id of the record.
            reason: in words.
        """
        self.entries.append((entry, reason))
        self.unreadable.append((entry, reason))

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; the datalist by its name."""
        return {
            "datalist": self.datalist.name,
            "splits": dict(self.splits),
            "left_out": dict(self.left_out),
            "notes": dict(self.notes),
            "unreadable": len(self.unreadable),
            **self.pixels,
        }

    def __str__(self) -> str:
        lines = [f"{count:6d}  {split}" for split, count in self.splits.items()]
        lines += [f"{count:6d}  left out: {reason}" for reason, count in self.left_out.items()]
        lines += [f"{count:6d}  {note}" for note, count in self.notes.items()]
        return "\n".join(lines)


class RecordCompletion(Protocol):
    """Completes a record from files of its own, such as its report's; picklable, since workers do it.

    So a limit holds for these files as well: a hundred records of a large archive open a hundred reports.
    """

    def __call__(self, record: dict[str, Any]) -> str | None:
        """Change the record in place; return the reason where it must be left out.

        Args:
            record: whose image is there.
        """


@dataclass(frozen=True)
class Linkage:
    """Which file each id stands for: what leads from opaque ids back to people.

    Args:
        path: the file to write, readable by its owner alone.
        rows: (id, path of the file relative to the source).
    """

    path: Path
    rows: list[tuple[str, str]]


@dataclass
class SourceDraft:
    """The records of a data set before its files are looked at.

    Args:
        name: of the data set.
        version: of the data set.
        source: where it comes from, and under what terms, in a line.
        classes: names of the entries of `label`.
        splits: records by split, as a datalist has them, but for: `image` is relative to the source folder; `boxes` may
            reach beyond the image, and are clipped; `mask` is not there, see `masks`.
        masks: how the mask of a record is drawn, by its id.
        finding_masks: how the masks of a record's `findings` are drawn, one each, by its id.
        frames: (height, width) of the picture that the boxes of a record were drawn on, by its id, where that need not
            be the image file's.
        record_notes: of a note, how often it holds of which record: only those that are kept are counted.
        extra: more top-level keys of the datalist, such as `mask_classes`.
        copy: copy the images beside the datalist, decoding each once, in place of pointing to where they lie.
        decode: decode each image once, though it stays where it lies: a broken one is left out.
        opaque: the names and the headers of the files tell about people: each image is written anew beside the
            datalist, as a 16 bit PNG file named after its record's id, and no message has another name.
        linkage: written on the user's demand, never into the output folder.
        complete: completes each record that is kept.
    """

    name: str
    version: str
    source: str
    classes: list[str]
    splits: dict[str, list[dict[str, Any]]]
    masks: dict[str, MaskDrawing] = field(default_factory=dict)
    finding_masks: dict[str, list[MaskDrawing]] = field(default_factory=dict)
    frames: dict[str, Size] = field(default_factory=dict)
    record_notes: dict[str, dict[str, int]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    copy: bool = False
    decode: bool = False
    opaque: bool = False
    linkage: Linkage | None = None
    complete: RecordCompletion | None = None

    def count_notes(self, kept: Mapping[str, Sequence[Mapping[str, Any]]], report: PrepareReport) -> None:
        """Add the notes on records that are kept to those of the preparation.

        Args:
            kept: records by split.
            report: to add to.
        """
        for note, counts in self.record_notes.items():
            report.notes[note] += sum(counts.get(record["id"], 0) for records in kept.values() for record in records)
