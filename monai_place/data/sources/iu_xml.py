"""One report of the Indiana University collection: an XML file of Open-i, read without trusting it.

A document type declaration is refused, and with it every entity: nothing outside the file is read, and no text grows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

__all__ = ["IndianaReport", "read_indiana_report"]

LARGEST = 1 << 20  # bytes; the reports have about 5 kB
DEEPEST = 64


@dataclass
class IndianaReport:
    """What is taken of a report.

    Args:
        name: its uId, such as CXR1.
        sections: text by label, such as FINDINGS; a label that comes twice is joined.
        mesh: the major MeSH terms, such as `Cardiomegaly/mild`.
        images: ids of its images, such as CXR1_1_IM-0001-4001.
    """

    name: str = ""
    sections: dict[str, str] = field(default_factory=dict)
    mesh: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def read_indiana_report(path: Path) -> IndianaReport:
    """Read a report.

    Args:
        path: the XML file.

    Raises:
        ValueError: it is no XML, too large, declares a document type or entities, or has no uId; the message names
            the file, and nothing of its text.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"{path.name}: larger than {LARGEST} bytes")
    reader = _Reader()
    try:
        reader.parse(data)
    except expat.ExpatError as error:
        raise ValueError(f"{path.name}: no XML: {expat.ErrorString(error.code)}, line {error.lineno}") from None
    except _RefusedError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not reader.report.name:
        raise ValueError(f"{path.name}: no uId")
    return reader.report


class _RefusedError(ValueError):
    pass


class _Reader:
    def __init__(self) -> None:
        self.report = IndianaReport()
        self._open: list[str] = []
        self._label = ""
        self._text: list[str] | None = None  # of the element that is being read

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.Parse(data, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(name)
        if len(self._open) > DEEPEST:
            raise _RefusedError(f"elements nested deeper than {DEEPEST}")
        if name == "uId":
            self.report.name = attributes.get("id", "").strip()
        elif name == "parentImage" and attributes.get("id", "").strip():
            self.report.images.append(attributes["id"].strip())
        elif name == "AbstractText":
            self._label, self._text = attributes.get("Label", "").strip().upper(), []
        elif name == "major":
            self._text = []

    def _end(self, name: str) -> None:
        self._open.pop()
        if name not in ("AbstractText", "major") or self._text is None:
            return
        text, self._text = " ".join("".join(self._text).split()), None
        if name == "major" and text:
            self.report.mesh.append(text)
        elif name == "AbstractText" and text:
            before = self.report.sections.get(self._label)
            self.report.sections[self._label] = f"{before} {text}" if before else text

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _refuse(self, *_: object) -> None:
        raise _RefusedError("declares a document type or entities, which no report of the collection does")
