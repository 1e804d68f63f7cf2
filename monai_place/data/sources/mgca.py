"""What several sources share of the protocol that MGCA published: the two modes, and how it draws its splits.

MGCA and those who compare with it draw with scikit-learn's `train_test_split` at `random_state=0`. The draw depends on
the order of what is drawn from and on nothing else, so the ids of a published split follow from the publisher's table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["MODES", "check_choice", "draw_three_splits", "draw_two_splits"]

MODES = ("clean", "mgca")
SEED = 0

Item = TypeVar("Item")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that an option does not know.

    Args:
        name: of the option.
        value: that was given.
        known: the allowed ones.

    Raises:
        ValueError: it is another; the message lists the allowed ones.
    """
    if value not in known:
        raise ValueError(f"{name} must be one of {list(known)}, got {value!r}")


def draw_two_splits(items: Sequence[Item], rest: float) -> tuple[list[Item], list[Item]]:
    """Draw (training, rest) as `train_test_split(items, test_size=rest, random_state=0)` does.

    Args:
        items: in the order of the publisher's table.
        rest: the share that does not train; rounded up to whole items.

    Raises:
        ValueError: there are too few items for two splits.

    Example:
        >>> draw_two_splits("abcdefghij", 0.2)
        (['e', 'j', 'b', 'g', 'h', 'd', 'a', 'f'], ['c', 'i'])
    """
    from sklearn.model_selection import train_test_split

    try:
        training, others = train_test_split(list(items), test_size=rest, random_state=SEED)
    except ValueError as error:
        raise ValueError(f"too few images or rows of a table to split: {len(items)} ({error})") from None
    return training, others


def draw_three_splits(items: Sequence[Item], rest: float) -> dict[str, list[Item]]:
    """Draw the three splits: training against the rest, and half of the rest each for test and validation.

    Args:
        items: in the order of the publisher's table.
        rest: the share of validation and test together; rounded up to whole items.

    Returns:
        The items by split.

    Raises:
        ValueError: there are too few items for three splits.

    Example:
        >>> {split: len(items) for split, items in draw_three_splits(range(26684), 0.4).items()}
        {'training': 16010, 'validation': 5337, 'test': 5337}
    """
    training, others = draw_two_splits(items, rest)
    test, validation = draw_two_splits(others, 0.5)
    return {"training": training, "validation": validation, "test": test}
