"""`python -m monai.bundle ...` as a process of its own, forked from a server that has the imports done."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.processes import start

__all__ = ["Ended", "bundle_command", "end", "missing_properties", "start_bundle_command"]


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
    return end(start_bundle_command(*words, log=log, cwd=cwd, environment=environment), log, timeout_s=timeout_s)


def end(process: BaseProcess, log: Path, *, timeout_s: float = 600) -> Ended:
    """Wait for a process to end; kill it when it takes too long."""
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
    return Ended(process.exitcode, log.read_text(encoding="utf-8", errors="replace") if log.exists() else "")


def missing_properties(
    configs: list[Path], workflow_type: str, *, log: Path, environment: Mapping[str, str] | None = None, **settings: Any
) -> list[str]:
    """Return what `check_properties()` finds missing in a bundle's workflow, asked in a process of its own."""
    found = log.with_suffix(".json")
    files = [str(path) for path in configs]
    ended = end(start(_check, files, workflow_type, settings, str(found), str(log), dict(environment or {})), log)
    assert ended.code == 0, ended.output
    missing: list[str] = json.loads(found.read_text(encoding="utf-8"))
    return missing


def _check(
    files: list[str], workflow_type: str, settings: dict[str, Any], found: str, log: str, environment: dict[str, str]
) -> None:
    _enter(log, environment)
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(config_file=files, workflow_type=workflow_type, **settings)
    workflow.initialize()
    Path(found).write_text(json.dumps(workflow.check_properties()), encoding="utf-8")
    workflow.finalize()


def _run(words: list[str], log: str, cwd: str, environment: dict[str, str]) -> None:
    _enter(log, environment)
    os.chdir(cwd)
    sys.argv = ["monai.bundle", *words]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)


def _enter(log: str, environment: dict[str, str]) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.update(environment)
