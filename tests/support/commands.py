"""`python -m monai.bundle ...` as a process of its own, forked from a server that has the imports done."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.support.processes import start

__all__ = ["Ended", "bundle_command", "start_bundle_command"]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and all that it said on stdout and stderr."""

    code: int | None
    output: str


def start_bundle_command(
    *words: str, log: Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start `python -m monai.bundle WORDS`; what it says goes to `log`."""
    return start(_run, list(words), str(log), str(cwd or Path.cwd()), dict(environment or {}))


def bundle_command(
    *words: str,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600,
) -> Ended:
    """Run `python -m monai.bundle WORDS` to its end."""
    process = start_bundle_command(*words, log=log, cwd=cwd, environment=environment)
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
    return Ended(process.exitcode, log.read_text(encoding="utf-8", errors="replace") if log.exists() else "")


def _run(words: list[str], log: str, cwd: str, environment: dict[str, str]) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = ["monai.bundle", *words]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
