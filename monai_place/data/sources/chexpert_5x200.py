"""The 5x200 sets: 200 images of each competition task that is positive alone, for zero-shot tests and retrieval.

GLoRIA and MGCA draw them from CheXpert's frontal training images: the one task is 1, the other labels are 0 or blank
(`No Finding` is not looked at, and an uncertain label rules an image out), 200 of each by pandas'
`sample(n=200, random_state=0)`, task by task in the order of `COMPETITION_CLASSES`. PRIOR averages five such draws.
The draws that this package uses are those of `monai_place.data.class_draws.SAMPLING_SEEDS`, of which 0 is published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from monai_place.data.class_draws import SAMPLING_SEEDS, draw_per_class, single_classes
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, COMPETITION_CLASSES, label_value

__all__ = ["NUMBER", "draw_5x200", "drawn_by_any", "exclusive_task"]

NUMBER = 200  # of each task


def exclusive_task(row: Mapping[str, str], where: str) -> str | None:
    """Return the competition task that alone is positive in a row; None where there is none.

    Args:
        row: cells by column.
        where: the file, for the message.

    Raises:
        ValueError: a cell is no label.
    """
    try:
        return _task(tuple([row[name] for name in CHEXPERT_CLASSES]))
    except ValueError:
        for name in CHEXPERT_CLASSES:
            label_value(row, name, where)  # the same error, which says where
        raise


@lru_cache(maxsize=1 << 16)  # a quarter of a million rows have a few thousand different labels
def _task(cells: tuple[str, ...]) -> str | None:
    row = dict(zip(CHEXPERT_CLASSES, cells, strict=True))
    values = [label_value(row, name, "") or 0 for name in CHEXPERT_CLASSES]  # a blank is no finding
    (task,) = single_classes([[None if value == -1 else value for value in values]], CHEXPERT_CLASSES)
    return task if task in COMPETITION_CLASSES else None


def draw_5x200(tasks: Sequence[str | None], sampling: int) -> list[int]:
    """Draw 200 rows of each task.

    Args:
        tasks: the exclusive task of each row, in the order of the table; None where a row has none.
        sampling: one of the committed seeds.

    Returns:
        Positions of the rows drawn, task by task.

    Raises:
        ValueError: the seed is not one of them, or a task has too few rows.
    """
    if sampling not in SAMPLING_SEEDS:
        raise ValueError(f"samplings must be among the seeds {list(SAMPLING_SEEDS)}, got {sampling!r}")
    try:
        return draw_per_class(tasks, COMPETITION_CLASSES, NUMBER, seed=sampling)
    except ValueError as error:
        raise ValueError(f"5x200: {error}; exclude_5x200=false goes without") from None


def drawn_by_any(tasks: Sequence[str | None], samplings: Sequence[int]) -> set[int]:
    """Return the positions that any of several draws holds.

    Args:
        tasks: the exclusive task of each row.
        samplings: seeds of the draws.
    """
    return {position for sampling in samplings for position in draw_5x200(tasks, sampling)}
