"""`monai-place doctor`: what is installed, whether it works, and the line that mends what does not."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from monai_place.cli.common import FAILED, print_json
from monai_place.cli.diagnosis import find_problems
from monai_place.cli.machine import EXTRAS, check_machine
from monai_place.cli.probe import probe_packages

__all__ = ["COMMANDS", "Part", "examine"]

# What is imported of the core, and of an extra beside what it brings.
CORE_IMPORTS = ("torch", "torchvision", "monai", "ignite", "timm", "transformers", "pydicom", "nibabel", "monai_place")
OPERATORS = "operators"


class Part(str, Enum):
    """What a user may want to do; the core is always wanted."""

    CORE = "core"
    GPU = "gpu"
    MM = "mm"
    DICOM = "dicom"
    EXPORT = "export"
    GENERATION = "generation"


def examine(parts: Collection[str] = ()) -> dict[str, Any]:
    """Return versions, what works, which operators serve mmcv, devices, and problems with what mends each.

    Args:
        parts: what is asked for beside the core; "works" tells whether nothing that is asked for has a problem.
    """
    found = check_machine()
    installed = [name for extra, names in EXTRAS.items() for name in names if name not in found["extras"][extra]]
    if "mmcv" in installed:
        installed.insert(installed.index("mmcv") + 1, OPERATORS)
    core = [name for name in CORE_IMPORTS if found["versions"].get(name, "") is not None]
    tried = probe_packages([*core, *installed])
    torch = tried.get("torch", {}).get("value") or {}
    operators = tried.get(OPERATORS, {}).get("value") or {}
    found |= {
        "imports": {name: answer.get("error") for name, answer in tried.items()},
        "operators": operators.get("serving"),
        "operators_cuda": operators.get("cuda"),
        "operators_error": operators.get("error"),  # why compiled ones that are there do not load
        "cuda": torch.get("cuda"),
        "cuda_warning": torch.get("warning"),
        "devices": ["cpu", *torch.get("gpus", [])],
        "nvidia": shutil.which("nvidia-smi") is not None,  # the driver is there
    }
    asked = sorted({Part.CORE.value, *parts})
    problems = find_problems(found, asked=asked)
    return found | {
        "asked": asked,
        "problems": problems,
        "works": not any(problem["part"] in asked for problem in problems),
    }


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,  # noqa: FBT002
    parts: Annotated[
        list[Part] | None,
        typer.Option("--for", help="What you want to do; may be given again. The core is always asked for."),
    ] = None,
) -> None:
    """Show versions, extras and devices, and the line that mends each problem; exit code 1 if one is in your way.

    Each package is tried in a process of its own, so that a broken one cannot break this command.
    """
    found = examine([part.value for part in parts or ()])
    if as_json:
        print_json(found)
    else:
        for name, value in _rows(found).items():
            typer.echo(f"{name:20s} {value}")
        for problem in found["problems"]:
            word = "PROBLEM" if problem["part"] in found["asked"] else "note"
            typer.echo(f"{word} ({problem['part']}): {problem['problem']}\n    {problem['fix']}", err=True)
    if not found["works"]:
        raise typer.Exit(FAILED)


def _rows(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines of the table for people."""
    rows = {"python": found["python"], "platform": found["platform"]}
    rows |= {name: version or "missing" for name, version in found["versions"].items()}
    for name, distributions in found["openmmlab"].items():
        rows[name] = ", ".join(f"{version} ({title})" for title, version in distributions.items()) or "missing"
    rows |= found["optional"]
    serving = {"compiled": "compiled", "stand-in": "stand-in of monai-place (torchvision and torch)"}
    rows["operators of mmcv"] = serving.get(found["operators"], "none")
    if found["operators_cuda"]:
        rows["operators of mmcv"] += f" for CUDA {found['operators_cuda']}"
    for extra, missing in found["extras"].items():
        needs = f"not installed: {', '.join(missing)} (pip install 'monai-place[{extra}]')"
        rows[f"extra {extra}"] = needs if missing else "installed"
    rows["cuda of torch"] = found["cuda"] or "none"
    rows["devices"] = ", ".join(found["devices"])
    return rows


COMMANDS = (doctor,)
