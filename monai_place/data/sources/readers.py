"""What several readers have drawn on one image, brought together: boxes of one thing, labels of a majority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ReaderBox", "fuse_boxes", "overlap"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ReaderBox:
    """A box that one reader has drawn.

    Args:
        reader: who.
        finding: of what.
        box: (x0, y0, x1, y1).
    """

    reader: str
    finding: str
    box: Box


def overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share, for one of their union.

    Example:
        >>> overlap((0, 0, 2, 2), (1, 0, 3, 2)), overlap((0, 0, 1, 1), (1, 1, 2, 2))
        (0.3333333333333333, 0.0)
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def fuse_boxes(boxes: Sequence[ReaderBox], *, min_readers: int = 2, min_overlap: float = 0.5) -> list[tuple[str, Box]]:
    """Bring boxes of one finding together, and keep what enough readers have seen.

    Boxes of a finding are taken largest first. Each that is not yet taken gathers, of every other reader, the box that
    overlaps it most, if by `min_overlap` (intersection over union) at least. The group becomes the mean of its boxes:
    weighted box fusion, all weights alike, since readers state no confidence. A group of fewer than `min_readers` is
    dropped. A reader's second box on the same thing is a group of its own.

    Args:
        boxes: of one image.
        min_readers: of a group.
        min_overlap: above 0, at most 1.

    Returns:
        (finding, box) in the order of findings, larger groups' seeds first; coordinates to hundredths.

    Example:
        >>> drawn = [ReaderBox("R1", "Mass", (0, 0, 10, 10)), ReaderBox("R2", "Mass", (0, 0, 10, 8)),
        ...     ReaderBox("R1", "Mass", (50, 50, 60, 60)), ReaderBox("R3", "Edema", (0, 0, 10, 10))]
        >>> fuse_boxes(drawn)
        [('Mass', (0.0, 0.0, 10.0, 9.0))]
    """
    fused = []
    for finding in sorted({entry.finding for entry in boxes}):
        left = sorted(
            (entry for entry in boxes if entry.finding == finding), key=lambda entry: (-_area(entry.box), entry.box)
        )
        while left:
            group = _group(left, min_overlap)
            left = [entry for entry in left if entry not in group]
            if len(group) >= min_readers:
                fused.append((finding, _mean([entry.box for entry in group])))
    return fused


def _group(boxes: Sequence[ReaderBox], min_overlap: float) -> list[ReaderBox]:
    """Return the first box, and the best match of each other reader."""
    seed, group = boxes[0], {boxes[0].reader: boxes[0]}
    for entry in boxes[1:]:
        share = overlap(seed.box, entry.box)
        best = group.get(entry.reader)
        if share >= min_overlap and (best is None or (best is not seed and share > overlap(seed.box, best.box))):
            group[entry.reader] = entry
    return list(group.values())


def _mean(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = (round(sum(values) / len(boxes), 2) for values in zip(*boxes, strict=True))
    return x0, y0, x1, y1


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
