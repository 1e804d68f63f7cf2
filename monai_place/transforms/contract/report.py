"""What a contract test found: one line a check, and what mends what failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = ["Check", "CheckFailedError", "ContractReport", "NotApplicableError", "describe_error", "run_check"]

Status: TypeAlias = Literal["pass", "fail", "not applicable"]
SIGNS: dict[Status, str] = {"pass": "pass", "fail": "FAIL", "not applicable": " -  "}
START = r"(?:~?/|[A-Za-z]:[\\/]|\\\\)"  # of an absolute path, of Windows too
QUOTED_FOLDERS = re.compile(rf"(?<=['\"]){START}(?:[^'\"\n]*[\\/])?(?=[^'\"\\/\n]+['\"])")
FOLDERS = re.compile(rf"(?<![\w.:/\\]){START}(?:[^\s'\"\\/]+[\\/])+")


class CheckFailedError(Exception):
    """A transform does not keep a part of the contract.

    Args:
        message: what it does.
        cure: how to mend it.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure


class NotApplicableError(Exception):
    """A part of the contract does not concern a transform; the message says why."""


@dataclass(frozen=True)
class Check:
    """One part of the contract.

    Args:
        name: of the part.
        status: `pass`, `fail` or `not applicable`.
        message: what was found.
        cure: how to mend a failure.
    """

    name: str
    status: Status
    message: str
    cure: str = ""

    def __str__(self) -> str:
        line = f"{SIGNS[self.status]}  {self.name:<10}  {self.message}"
        return f"{line}\n{'':18}mend: {self.cure}" if self.cure else line


@dataclass(frozen=True)
class ContractReport:
    """All checks of one transform or reader.

    Args:
        subject: its name.
        checks: in the order in which they were made.
    """

    subject: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "fail")

    def __getitem__(self, name: str) -> Check:
        """Return a check by its name."""
        return next(check for check in self.checks if check.name == name)

    def __str__(self) -> str:
        return "\n".join([self.subject, *map(str, self.checks)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "subject": self.subject,
            "passed": not self.failed,
            "checks": [asdict(check) for check in self.checks],
        }

    def require(self) -> None:
        """Raise where a check failed; for a test of one's own.

        Raises:
            AssertionError: a check failed; the message is the report.
        """
        if self.failed:
            raise AssertionError(f"{len(self.failed)} checks failed\n{self}")


def run_check(name: str, check: Callable[[], str]) -> Check:
    """Run one check.

    Args:
        name: of the part of the contract.
        check: returns what it found; raises `CheckFailedError`, `NotApplicableError`, or what the transform raises.
    """
    try:
        return Check(name, "pass", check())
    except NotApplicableError as reason:
        return Check(name, "not applicable", str(reason))
    except CheckFailedError as failure:
        return Check(name, "fail", str(failure), failure.cure)
    except Exception as error:  # whatever somebody else's code raises
        root = _root(error)
        return Check(name, "fail", f"raises {type(root).__name__}: {describe_error(root)}")


def _root(error: BaseException) -> BaseException:
    """Return the innermost error: MONAI wraps it in one that only names the transform."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def describe_error(error: BaseException) -> str:
    """Return the first line of an error's text, its paths without their folders: these tell whose machine it is.

    Args:
        error: of somebody else's code.

    Example:
        >>> describe_error(FileNotFoundError(2, "No such file", "/home/jane doe/lut.npy"))
        'lut.npy: No such file'
        >>> describe_error(ValueError("/data/doe/lut.npy has 3/4 of its values"))
        'lut.npy has 3/4 of its values'
    """
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    line = (str(error).splitlines() or [""])[0]
    return FOLDERS.sub("", QUOTED_FOLDERS.sub("", line))[:200]
