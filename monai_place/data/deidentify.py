"""Data without the people in them: keyed pseudonyms, the file that keeps the key, reports without known strings.

A pseudonym is HMAC-SHA256 of what it stands for, under a secret key. Who has no key can neither undo it nor check a
guess, as one could with a plain hash of a patient number; the same key gives the same pseudonym, so that what comes
later fits to what is there. Whoever has the key can do the linking again: it belongs to those who hold the archive,
and never beside the data.

What cannot be promised. A report may name people in ways that no header knows, and a name may be burned into the
pixels. `scrub_text` takes out the strings that it is given and no more; somebody must look.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = [
    "KEY_FILE_VARIABLE",
    "Pseudonyms",
    "compile_patterns",
    "date_forms",
    "key_file_path",
    "load_key",
    "name_forms",
    "scrub_text",
]

KEY_FILE_VARIABLE = "MONAI_PLACE_KEY_FILE"
KEY_NAME = "deidentify.key"
MIN_KEY_BYTES = 32
DIGITS = 16  # hexadecimal: two of a million records are alike with a chance of 1 to 37 million
MARK = "___"  # what MIMIC-CXR's reports have in such places
NAME_COMPONENTS = 3  # family, given, middle; what follows are titles (PS3.5 6.2.1)
MIN_NAME, MIN_ID = 2, 4  # characters: shorter ones would take "1" out of "1 cm"
FIRST_WITHOUT_SPACES = 0x2E80  # scripts from here on set no space between words, or add endings to them
# English, German, French, Spanish, Portuguese, Italian, Russian; a month begins with its first three letters.
MONTHS = [
    words.split()
    for words in (
        "January Januar janvier enero janeiro gennaio января",
        "February Februar février febrero fevereiro febbraio февраля",
        "March März mars marzo março марта",
        "April avril abril aprile апреля",
        "May Mai mayo maio maggio мая",
        "June Juni juin junio junho giugno июня",
        "July Juli juillet julio julho luglio июля",
        "August août agosto августа",
        "September septembre septiembre setembro settembre сентября",
        "October Oktober octobre octubre outubro ottobre октября",
        "November novembre noviembre novembro ноября",
        "December Dezember décembre diciembre dezembro dicembre декабря",
    )
]
BETWEEN = ((" ", " "), (". ", " "), ("-", "-"), (" de ", " de "), (" ", ", "))  # day, month, year
ORDINALS = ("st", "nd", "rd", "th", "er")


@dataclass(frozen=True)
class Pseudonyms:
    """Gives each patient, study and image the name that it has in a datalist.

    Args:
        key: the secret; None lets everything keep its own name.

    Example:
        >>> names = Pseudonyms(b"0123456789abcdef0123456789abcdef")
        >>> names.of("patient", "4711") == names.of("patient", " 4711 ") != names.of("study", "4711")
        True
        >>> names.of("patient", "4711")[0], len(names.of("patient", "4711")), Pseudonyms(None).of("patient", "4711")
        ('p', 17, '4711')
    """

    key: bytes | None

    def of(self, kind: str, value: str) -> str:
        """Return the pseudonym of a value; it begins with the first letter of its kind.

        Args:
            kind: what the value names, such as `patient`: the same number of a patient and of a study differ.
            value: spaces around it do not count.
        """
        if self.key is None:
            return value.strip()
        message = f"{kind}\0{value.strip()}".encode("utf-8", "surrogateescape")
        return kind[0] + hmac.new(self.key, message, hashlib.sha256).hexdigest()[:DIGITS]


def key_file_path(given: str | os.PathLike[str] | None = None) -> Path:
    """Return where the key is: in the file that is given, that `MONAI_PLACE_KEY_FILE` names, or in the user's settings.

    Args:
        given: a file; blank counts as none.
    """
    chosen = str(given or os.environ.get(KEY_FILE_VARIABLE) or "")
    if chosen:
        return Path(chosen).expanduser()
    settings = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME")
    return (Path(settings) if settings else Path.home() / ".config") / "monai-place" / KEY_NAME


def load_key(path: str | os.PathLike[str], *, outside: Collection[Path] = ()) -> bytes:
    """Return the key of a file; where the file is missing it is made, for its owner's eyes alone.

    Args:
        path: of the file; its bytes are the key, spaces around them do not count.
        outside: folders that it must not lie in: a key that travels with the data protects nobody.

    Raises:
        ValueError: it lies in such a folder, is shorter than 32 bytes, or others may read it.
        OSError: it can be neither read nor made.
    """
    path = Path(path)
    if any(path.resolve().is_relative_to(folder.resolve()) for folder in outside):
        raise ValueError(f"key file {path.name!r}: must lie outside the source and the output folder")
    if not path.exists():
        _make_key(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise ValueError(f"key file {path.name!r}: others may read it (mode {mode:04o}); chmod 600 and use it again")
    key = path.read_bytes().strip()
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"key file {path.name!r}: a key has at least {MIN_KEY_BYTES} bytes, this one {len(key)}")
    return key


def name_forms(person: str) -> set[str]:
    """Return the strings by which a person's name of a DICOM header can stand in a text.

    Args:
        person: a value of the kind PN, components by `^`, groups by `=`; or a name as people write it.

    Example:
        >>> sorted(name_forms("Doe^Jane Mary^^Dr."))
        ['Doe', 'Jane', 'Mary']
    """
    forms: set[str] = set()
    for group in person.split("="):
        for component in group.split("^")[:NAME_COMPONENTS]:
            forms.update(part.strip(".,;") for part in re.split(r"[\s,;]+", component))
    return {form for form in forms if len(form) >= MIN_NAME}


@lru_cache(4096)
def date_forms(date: str) -> frozenset[str]:
    """Return the ways to write a day of a DICOM header; none where it is no day.

    Args:
        date: a value of the kind DA, YYYYMMDD, also with `-`, `.` or `/` between; or of the kind DT, which begins so.

    Example:
        >>> forms = date_forms("19550203")
        >>> {"1955-02-03", "03.02.1955", "2/3/1955", "3 Feb 1955", "February 3, 1955"} <= forms
        True
    """
    match = re.fullmatch(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?:\d{2}.*)?", date.strip())
    if match is None or not 1 <= int(match[2]) <= len(MONTHS):
        return frozenset()
    year, month, day = match.groups()
    forms = {year + month + day}
    for m, d in ((month, day), (str(int(month)), str(int(day)))):
        for mark in "-./":
            forms |= {mark.join((year, m, d))}
            forms |= {mark.join(parts) for y in (year, year[2:]) for parts in ((d, m, y), (m, d, y))}
        for name in {form for word in MONTHS[int(month) - 1] for form in (word, word[:3], f"{word[:3]}.")}:
            forms |= {f"{d}{mark}{name}{other}{y}" for mark, other in BETWEEN for y in (year, year[2:])}
            forms |= {f"{d}{ordinal} {name} {year}" for ordinal in ORDINALS}
            forms |= {f"{name} {d}{ordinal}{comma} {year}" for ordinal in ("", *ORDINALS) for comma in (",", "")}
    forms.add(f"{year}年{int(month)}月{int(day)}日")
    return frozenset(forms)


def compile_patterns(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    """Compile a user's regular expressions, upper and lower case alike.

    Raises:
        ValueError: one is none; the message has its place and not its text, which may hold a name.
    """
    return [_compile(index, pattern) for index, pattern in enumerate(patterns)]


def scrub_text(text: str, known: Iterable[str], patterns: Sequence[re.Pattern[str]] = ()) -> tuple[str, int]:
    """Put `___` in place of strings that are known, as whole words, and of what some patterns find.

    Args:
        text: of a report.
        known: names, ids, dates; upper and lower case and the kind of space do not matter. Ids and names that are too
            short to be told from other words (below 2 characters, digits below 4) are not looked for.
        patterns: regular expressions of the user's own.

    Returns:
        The text, and how many places were changed.

    Example:
        >>> scrub_text("Jane DOE (4711), 1 cm nodule. Dr. Roe", ["Doe", "Jane", "4711", "1"])
        ('___ ___ (___), 1 cm nodule. Dr. Roe', 3)
    """
    low, found = " ".join(text.lower().split()), 0  # most does not occur, and a long pattern is slow to compile
    there = {word for word in _spellings(known) if " ".join(word.lower().split()) in low}
    words = sorted(there, key=lambda word: (-len(word), word))
    if words:
        text, found = re.subn("|".join(map(_word_pattern, words)), MARK, text, flags=re.IGNORECASE)
    for pattern in patterns:
        text, count = pattern.subn(MARK, text)
        found += count
    return text, found


def _compile(index: int, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"scrub[{index}] is no regular expression: {error.msg} at {error.pos}") from None


def _spellings(known: Iterable[str]) -> Iterator[str]:
    for word in known:
        word = word.strip()
        least = MIN_ID if word.isdigit() else MIN_NAME
        if len(word) >= least or (word and ord(word[0]) >= FIRST_WITHOUT_SPACES):
            if word.isascii():
                yield word
            else:
                yield unicodedata.normalize("NFC", word)
                yield unicodedata.normalize("NFD", word)


def _word_pattern(word: str) -> str:
    body = r"\s+".join(map(re.escape, word.split()))
    if any(ord(character) >= FIRST_WITHOUT_SPACES for character in word):
        return body
    return rf"(?<![^\W_]){body}(?![^\W_])"  # an underscore joins words, as in names of files


def _make_key(path: Path) -> None:
    """Write a key whole, or leave the one that another process has made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable by its owner alone
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(MIN_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(temporary)  # unlike a rename it fails where there is a key
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
