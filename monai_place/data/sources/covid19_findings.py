"""The findings of the COVID-19 image data collection as labels.

The collection states one finding an image: in its first years a name (`COVID-19`, `Streptococcus`), or several after
each other (`COVID-19, ARDS`); later a path (`Pneumonia/Viral/COVID-19`). Names are taken as the path that the
collection itself gave them later. The rule:

- every node on the path of a stated finding is 1: `COVID-19` is also `Viral Pneumonia` and `Pneumonia`;
- what lies below the deepest stated node is null, unknown: `Pneumonia` says nothing of its cause;
- everything else is 0;
- a finding that is not known (`todo`, `Unknown`, nothing) makes every entry null.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["classes_of", "label_of", "parse_finding"]

Path = tuple[str, ...]

PNEUMONIA = "Pneumonia"
NO_FINDING = "No Finding"
UNKNOWN = frozenset({"", "todo", "unknown", "nan", "none"})

# Kinds of pneumonia, by the name of the node that the collection uses; and the organisms of each kind, in the order of
# the classes of a datalist.
KINDS = {"Viral": "Viral Pneumonia", "Bacterial": "Bacterial Pneumonia", "Fungal": "Fungal Pneumonia"}
ORGANISMS = {
    "Viral": ("COVID-19", "SARS", "MERS-CoV", "Varicella", "Influenza", "Herpes", "H1N1"),
    "Bacterial": (
        "Streptococcus",
        "Klebsiella",
        "Legionella",
        "E.Coli",
        "Mycoplasma",
        "Chlamydophila",
        "Nocardia",
        "Staphylococcus",
        "MRSA",
    ),
    "Fungal": ("Pneumocystis", "Aspergillosis"),
}
OTHER_PNEUMONIA = ("Lipoid", "Aspiration")
OTHER = ("ARDS", "Tuberculosis")

# Name -> path, and the order of the classes at the same time: each node after what is above it.
HIERARCHY: dict[str, Path] = {NO_FINDING: (NO_FINDING,), PNEUMONIA: (PNEUMONIA,)}
for _kind, _name in KINDS.items():
    HIERARCHY[_name] = (PNEUMONIA, _name)
    HIERARCHY |= {organism: (PNEUMONIA, _name, organism) for organism in ORGANISMS[_kind]}
HIERARCHY["MRSA"] = (*HIERARCHY["Staphylococcus"], "MRSA")
HIERARCHY |= {name: (PNEUMONIA, name) for name in OTHER_PNEUMONIA} | {name: (name,) for name in OTHER}


def parse_finding(text: str) -> tuple[Path, ...]:
    """Return the paths that a finding states; none when it is not known.

    Example:
        >>> parse_finding("Pneumonia/Viral/COVID-19, ARDS")
        (('Pneumonia', 'Viral Pneumonia', 'COVID-19'), ('ARDS',))
        >>> parse_finding("Streptococcus")
        (('Pneumonia', 'Bacterial Pneumonia', 'Streptococcus'),)
        >>> parse_finding("todo")
        ()
    """
    paths = []
    for part in text.split(","):
        nodes = tuple(KINDS.get(node, node) for node in re.split(r"\s*/\s*", part.strip()) if node)
        if nodes and nodes[-1].lower() not in UNKNOWN:
            # A path that the file spells out is believed; a lone name is looked up.
            paths.append(nodes if len(nodes) > 1 else HIERARCHY.get(nodes[0], nodes))
    return tuple(dict.fromkeys(paths))


def classes_of(findings: Iterable[Sequence[Path]]) -> dict[str, Path]:
    """Return every node that occurs and what stands above it: the known ones in their order, then the rest by name.

    Example:
        >>> list(classes_of([parse_finding("COVID-19"), parse_finding("No Finding")]))
        ['No Finding', 'Pneumonia', 'Viral Pneumonia', 'COVID-19']
    """
    above = {path[depth]: path[:depth] for paths in findings for path in paths for depth in range(len(path))}
    names = [name for name in HIERARCHY if name in above] + sorted(set(above) - set(HIERARCHY))
    return {name: above[name] for name in names}


def label_of(paths: Sequence[Path], classes: Mapping[str, Path]) -> list[int | None]:
    """Return 1, 0 or None for each class; the module's text has the rule.

    Example:
        >>> label_of(parse_finding("Pneumonia"), classes_of([parse_finding("COVID-19, ARDS")]))
        [1, None, None, 0]
    """
    if not paths:
        return [None] * len(classes)
    stated = {node for path in paths for node in path}
    deepest = {path[-1] for path in paths}
    return [1 if name in stated else None if deepest & set(above) else 0 for name, above in classes.items()]
