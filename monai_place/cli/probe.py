"""Whether packages work, tried in a process of its own: what is broken may raise, print, hang or crash there."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["probe_packages"]

logger = logging.getLogger(__name__)

LONGEST = 300  # characters of an error that are told
TIMEOUT_S = 300.0
# Without the folder it is called in, where a stray file may have the name of a package.
PROGRAM = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
from monai_place.cli.probe import _answer
_answer(sys.argv[1:])
"""
PATH = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.+~ -]+)+[/\\](?=[\w.+~-])")


def probe_packages(names: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> dict[str, dict[str, Any]]:
    """Import packages, or do with them what `PROBES` says, and return what each gave.

    Args:
        names: what to try, one after the other.
        timeout_s: how long one process may take; what it was at is told, and the next one goes on with the rest.

    Returns:
        For each name {"value": ...} or {"error": one line}.
    """
    found: dict[str, dict[str, Any]] = {}
    while rest := [name for name in names if name not in found]:
        answers, end = _ask(rest, timeout_s)
        found.update(answers)
        if len(answers) < len(rest):
            # It ended early, at the first name that it did not answer for.
            found[next(name for name in rest if name not in answers)] = {"error": end}
    return found


def _ask(names: Sequence[str], timeout_s: float) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the answers of one process, and how it ended."""
    here = str(Path(__file__).resolve().parents[2])
    known = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
    command = [sys.executable, "-c", PROGRAM, *names]
    try:
        done = subprocess.run(  # noqa: S603  (this package, in this Python)
            command, env=os.environ | {"PYTHONPATH": known}, capture_output=True, timeout=timeout_s, check=False
        )
        output, talk, end = done.stdout, done.stderr, f"the process that tried it ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, talk, end = error.stdout or b"", error.stderr or b"", f"no answer within {timeout_s:.0f} s"
    logger.info("%s", PATH.sub("", talk.decode(errors="replace")))
    lines = output.decode(errors="replace").splitlines()
    return {name: answer for line in lines if line.startswith("{") for name, answer in json.loads(line).items()}, end


def _answer(names: Sequence[str]) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # some packages talk on stdout when they are imported
    for name in names:
        try:
            answer = {"value": PROBES.get(name, _import)(name)}
        except (Exception, SystemExit) as error:
            answer = {"error": _one_line(error)}
        print(json.dumps({name: answer}), file=answers, flush=True)


def _one_line(error: BaseException) -> str:
    """Return an error without the folders of this machine."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return PATH.sub("", text)[:LONGEST]


def _import(name: str) -> None:
    importlib.import_module(name)


def _torch(_name: str) -> dict[str, Any]:
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(index) for index in range(count)],
        "warning": " ".join(str(caught[0].message).split())[:LONGEST] if caught else None,
    }


def _torchvision(_name: str) -> None:
    """Call one compiled operator: a torchvision built for another torch fails there, or on import."""
    import torch
    import torchvision.ops

    kept = torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2), torch.tensor([0.5, 1.0]), 0.5)
    if kept.tolist() != [1]:
        raise RuntimeError(f"nms of a box with itself kept {kept.tolist()}, expected [1]")


def _operators(_name: str) -> dict[str, Any]:
    """Tell which operators serve `mmcv.ops`, for which CUDA compiled ones were made, and why they do not load."""
    error = None
    try:
        importlib.import_module("mmcv._ext")
    except ModuleNotFoundError:  # of mmcv, or of what it needs: that is told below
        pass
    except (ImportError, OSError) as caught:
        error = _one_line(caught)
    from monai_place.mm.ops import install  # which puts the stand-in in their place

    serving = install()
    ops = importlib.import_module("mmcv.ops")
    cuda = ops.get_compiling_cuda_version() if serving == "compiled" else None
    return {"serving": serving, "cuda": cuda if cuda != "not available" else None, "error": error}


def _toolbox(name: str) -> None:
    importlib.import_module("monai_place.mm")
    importlib.import_module(f"{name}.models")


PROBES: dict[str, Callable[[str], Any]] = {
    "torch": _torch,
    "torchvision": _torchvision,
    "operators": _operators,
    "mmdet": _toolbox,
    "mmseg": _toolbox,
}
