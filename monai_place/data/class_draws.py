"""Draws of so many studies of each class: the 5x200 protocol and smaller ones.

A study belongs to a class when that one alone is positive in it. The studies of each class are drawn as pandas'
`sample(n, random_state=seed)` draws them, class by class, from the rows in the order of the table: with 200 of each of
CheXpert's five competition tasks and seed 0 this is the published sampling, and `SAMPLING_SEEDS` are the five that are
averaged.

Reference:
    Huang et al.: GLoRIA, ICCV 2021 (5x200). Cheng et al.: PRIOR, ICCV 2023 (mean of five samplings).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["SAMPLING_SEEDS", "draw_per_class", "single_classes"]

SAMPLING_SEEDS = (0, 1, 2, 3, 4)
NOT_A_FINDING = "no finding"  # says that the others are absent, and is no class of its own


def single_classes(labels: Sequence[Sequence[float | None]], classes: Sequence[str]) -> list[str | None]:
    """Return the class that alone is positive in each row; None where there is none, several, or a label is unknown.

    Args:
        labels: rows of 1, 0 and None or NaN (unknown), one entry a class.
        classes: names of the entries; `No Finding` is not looked at.

    Raises:
        ValueError: a row has another number of entries.

    Example:
        >>> single_classes([[1, 0], [1, 1], [0, None], [0, 0]], ["edema", "nodule"])
        ['edema', None, None, None]
    """
    looked_at = [index for index, name in enumerate(classes) if name.casefold() != NOT_A_FINDING]
    found: list[str | None] = []
    for row, label in enumerate(labels):
        if len(label) != len(classes):
            raise ValueError(f"labels[{row}] has {len(label)} entries, there are {len(classes)} classes")
        positive = [index for index in looked_at if label[index] == 1]
        absent = sum(label[index] == 0 for index in looked_at)  # neither None nor NaN equals 0
        found.append(classes[positive[0]] if len(positive) == 1 and absent == len(looked_at) - 1 else None)
    return found


def draw_per_class(members: Sequence[str | None], classes: Sequence[str], number: int, *, seed: int = 0) -> list[int]:
    """Draw some rows of each class.

    Args:
        members: the class of each row, in the order of the table; None where it has none.
        classes: the classes to draw.
        number: rows of each.
        seed: of the draw, which begins anew for each class; the protocol's are `SAMPLING_SEEDS`.

    Returns:
        Positions of the rows drawn, class by class.

    Raises:
        ValueError: `number` is below 1, there is no class, or a class has too few rows; all such classes are named.

    Example:
        >>> draw_per_class(["a", "b", None, "a", "b", "a", "b"], ["a", "b"], 2)
        [5, 3, 6, 4]
    """
    if number < 1:
        raise ValueError(f"number must be at least 1, got {number}")
    if not classes:
        raise ValueError("there is no class to draw")
    rows = {name: [position for position, member in enumerate(members) if member == name] for name in classes}
    if few := {name: len(found) for name, found in rows.items() if len(found) < number}:
        listed = ", ".join(f"{count} with {name!r} alone" for name, count in few.items())
        raise ValueError(f"{number} rows of each class are wanted, there are {listed}")
    drawn: list[int] = []
    for found in rows.values():
        # What pandas' sample does with random_state=seed; the stream of RandomState never changes.
        chosen = np.random.RandomState(seed).choice(len(found), size=number, replace=False)
        drawn += [found[index] for index in chosen]
    return drawn
