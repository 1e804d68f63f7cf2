from __future__ import annotations

import pytest

from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, COMPETITION_CLASSES, LabelPolicy, label_value

UNCERTAIN_ROW = dict.fromkeys(CHEXPERT_CLASSES, "-1.0")
BLANK_ROW = dict.fromkeys(CHEXPERT_CLASSES, "")


@pytest.mark.parametrize(
    ("uncertain", "expected"),
    [
        ("ones", [1, 1, 1, 1, 1]),
        ("zeros", [0, 0, 0, 0, 0]),
        ("ignore", [None] * 5),
        ("per-class", [1, 0, 0, 1, 1]),  # Atelectasis, Cardiomegaly, Consolidation, Edema, Pleural Effusion
    ],
)
def test_uncertain_labels_follow_the_policy(uncertain: str, expected: list[int | None]) -> None:
    assert LabelPolicy("competition", uncertain=uncertain, blank="zero").label(UNCERTAIN_ROW, "t") == expected


def test_per_class_leaves_the_other_nine_unknown() -> None:
    label = LabelPolicy("all", uncertain="per-class", blank="zero").label(UNCERTAIN_ROW, "t")
    known = {name for name, value in zip(CHEXPERT_CLASSES, label, strict=True) if value is not None}
    assert known == set(COMPETITION_CLASSES)


@pytest.mark.parametrize(("blank", "expected"), [("zero", 0), ("ignore", None)])
def test_blank_labels_follow_the_policy(blank: str, expected: int | None) -> None:
    assert LabelPolicy(["Edema"], uncertain="ones", blank=blank).label(BLANK_ROW, "t") == [expected]


def test_stated_labels_pass_whatever_the_policy_and_equal_ones_are_held_once() -> None:
    policy = LabelPolicy(["Edema", "Fracture"], uncertain="zeros", blank="ignore")
    first = policy.label({"Edema": "1.0", "Fracture": "0"}, "t")
    assert first == [1, 0]
    assert policy.label({"Edema": "1.0", "Fracture": "0"}, "t") is first
    assert policy.label({"Edema": "1", "Fracture": "0.0"}, "t") == first
    assert policy.unknown() == [None, None]


def test_another_number_is_an_error_that_names_file_column_and_value() -> None:
    with pytest.raises(ValueError, match=r"train\.csv: column 'Edema' holds '0\.5', expected 1, 0, -1 or nothing"):
        label_value({"Edema": "0.5"}, "Edema", "train.csv")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"uncertain": "maybe", "blank": "zero"}, "uncertain must be one of"),
        ({"uncertain": "ones", "blank": "one"}, "blank must be one of"),
    ],
)
def test_an_unknown_policy_is_an_error_that_lists_the_known(options: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LabelPolicy("all", **options)


def test_an_unknown_class_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"classes must be one of .*'Edema'.*, got 'Oedema'"):
        LabelPolicy(["Oedema"], uncertain="ones", blank="zero")
    with pytest.raises(ValueError, match=r"classes must be one of \['all', 'competition'\]"):
        LabelPolicy("five", uncertain="ones", blank="zero")
