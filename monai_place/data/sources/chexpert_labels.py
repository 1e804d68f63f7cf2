"""Labels as the CheXpert labeller writes them: 1, 0, -1 (uncertain) and blank (not mentioned), for 14 observations.

CheXpert's own tables have them, and so have MIMIC-CXR's `chexpert` and `negbio` tables and CheXpert Plus. What becomes
of -1 (`uncertain`) and of a blank (`blank`):

| `uncertain` | -1 becomes |
|---|---|
| `ones`, `zeros`, `ignore` | 1, 0, unknown |
| `per-class` | as MGCA and its followers have it: 1 for Atelectasis, Edema and Pleural Effusion, 0 for Cardiomegaly and Consolidation; unknown for the others, of which they say nothing |

| `blank` | a blank becomes |
|---|---|
| `zero`, `ignore` | 0, unknown |
"""  # noqa: E501  (a table cannot be wrapped)

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai_place.data.sources.mgca import check_choice

__all__ = ["CHEXPERT_CLASSES", "COMPETITION_CLASSES", "LabelPolicy", "label_value"]

CHEXPERT_CLASSES = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
COMPETITION_CLASSES = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
UNCERTAIN = ("ones", "zeros", "ignore", "per-class")
BLANK = ("zero", "ignore")
OF_UNCERTAIN = {"ones": 1, "zeros": 0, "ignore": None}
PER_CLASS = {"Atelectasis": 1, "Edema": 1, "Pleural Effusion": 1, "Cardiomegaly": 0, "Consolidation": 0}
VALUES = {"1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": -1, "-1": -1, "": None, "nan": None, "None": None}


class LabelPolicy:
    """Turns the cells of a row into the `label` of a record.

    Args:
        classes: `all` 14, the 5 of the `competition`, or names among the 14.
        uncertain: what -1 becomes; the module's text has the values.
        blank: what a blank becomes.

    Raises:
        ValueError: a class or a policy is unknown; the message lists the known ones.

    Example:
        >>> policy = LabelPolicy(["Edema", "Consolidation", "Fracture"], uncertain="per-class", blank="zero")
        >>> policy.label({"Edema": "-1.0", "Consolidation": "-1.0", "Fracture": ""}, "train.csv")
        [1, 0, 0]
    """

    def __init__(self, classes: str | Sequence[str], *, uncertain: str, blank: str) -> None:
        check_choice("uncertain", uncertain, UNCERTAIN)
        check_choice("blank", blank, BLANK)
        if isinstance(classes, str):
            check_choice("classes", classes, ("all", "competition"))
            classes = CHEXPERT_CLASSES if classes == "all" else COMPETITION_CLASSES
        for name in classes:
            check_choice("classes", name, CHEXPERT_CLASSES)
        self.classes = tuple(classes)
        self._uncertain = {
            name: PER_CLASS.get(name) if uncertain == "per-class" else OF_UNCERTAIN[uncertain] for name in self.classes
        }
        self._blank = 0 if blank == "zero" else None
        # A quarter of a million rows have a few thousand different labels: each is worked out, and held, once.
        self._known: dict[tuple[str, ...], list[int | None]] = {}

    def label(self, row: Mapping[str, str], where: str) -> list[int | None]:
        """Return 1, 0 or None for each class; equal labels are one list, which must not be changed.

        Args:
            row: cells by column.
            where: the file, for the message.

        Raises:
            ValueError: a cell holds something else than 1, 0, -1 or nothing.
        """
        cells = tuple([row[name] for name in self.classes])
        if cells not in self._known:
            self._known[cells] = [self._value(name, label_value(row, name, where)) for name in self.classes]
        return self._known[cells]

    def unknown(self) -> list[int | None]:
        """Return the label of an image that no row speaks of: None for each class."""
        return self._known.setdefault((), [None] * len(self.classes))

    def _value(self, name: str, value: int | None) -> int | None:
        if value is None:
            return self._blank
        return self._uncertain[name] if value == -1 else value


def label_value(row: Mapping[str, str], name: str, where: str) -> int | None:
    """Return 1, 0, -1 or None (blank) as a cell has it.

    Args:
        row: cells by column.
        name: the column.
        where: the file, for the message.

    Raises:
        ValueError: the cell holds something else.
    """
    try:
        return VALUES[row[name]]
    except KeyError:
        raise ValueError(
            f"{where}: column {name!r} holds {row.get(name)!r:.40}, expected 1, 0, -1 or nothing"
        ) from None
