"""What a benchmark suite asks for: tasks x data sets x label fractions x seeds, over several checkpoints.

A suite is a JSON file::

    {
      "name": "phantom",
      "seeds": [0, 1, 2, 3, 4],
      "fractions": [0.01, 0.1, 1.0],
      "checkpoints": [
        {"name": "PLACE", "run": "runs/demo/run"},
        {"name": "random start", "run": "runs/demo/run", "weights": "random"},
        {"name": "ImageNet", "timm": "vit_tiny_patch16_224", "weights": "vit_tiny.safetensors"}
      ],
      "datasets": [{"name": "phantom", "datalist": "runs/demo/data/datalist.json"}],
      "tasks": [{"task": "linear_probe"}, {"task": "finetune", "fractions": [1.0], "seeds": [0]}, {"task": "zero_shot"}]
    }

Paths are relative to the suite's folder. `seeds` and `fractions` may be given for one task alone. What else stands in a
task, such as `epochs`, is a setting of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.inference.prompts import builtin_prompt_sets

__all__ = ["CheckpointSpec", "DatasetSpec", "SuiteCell", "SuiteSpec", "TaskSpec", "read_suite"]

KINDS = ("run", "timm")
WORDS = ("random", "timm")  # what `weights` may say in the place of a file
KEYS = {
    "suite": {"name", "seeds", "fractions", "checkpoints", "datasets", "tasks", "split"},
    "checkpoint": {"name", *KINDS, "weights", "image_size"},
    "dataset": {"name", "datalist", "prompts"},
}


@dataclass(frozen=True)
class CheckpointSpec:
    """A network to be measured.

    Args:
        name: on the table.
        kind: `run` (a run, bundle or model folder of ours) or `timm`.
        value: the folder, or timm's name of the network.
        weights: None for those of the run; `random` for ones drawn from the seed; of a timm network a file, or `timm`
            for those that timm names.
        image_size: of a timm network; None takes its own.
    """

    name: str
    kind: str
    value: str
    weights: str | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """A data set: its name on the table, its datalist, and the prompts of its findings where they are not the usual."""

    name: str
    datalist: str
    prompts: str | None = None


@dataclass(frozen=True)
class TaskSpec:
    """A task and its settings.

    Args:
        task: its name in `monai_place.suites.tasks.TASKS`.
        title: on the table; the task's name where it is not given.
        fractions: of the training labels.
        seeds: of the order, the draw and the random weights.
        settings: everything else that stands in the file.
    """

    task: str
    title: str
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class SuiteCell:
    """One training or measurement; `fraction` and `seed` are None where the task knows none."""

    task: TaskSpec
    dataset: DatasetSpec
    checkpoint: CheckpointSpec
    fraction: float | None
    seed: int | None

    def key(self, identity: Mapping[str, str]) -> str:
        """Return a name that changes with whatever can change the result.

        Args:
            identity: what tells weights, data, prompts, split and code from others, see `CellContext.identity`.
        """
        what = {
            "task": self.task.task,
            "settings": dict(self.task.settings),
            "fraction": self.fraction,
            "seed": self.seed,
            **identity,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:20]

    def __str__(self) -> str:
        share = "" if self.fraction is None else f", {100 * self.fraction:g} %"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.task.title}, {self.dataset.name}, {self.checkpoint.name}{share}{seed}"


@dataclass(frozen=True)
class SuiteSpec:
    """A suite; `cells` are all its measurements, in the order of the file."""

    name: str
    checkpoints: tuple[CheckpointSpec, ...]
    datasets: tuple[DatasetSpec, ...]
    tasks: tuple[TaskSpec, ...]
    split: str = "test"

    def cells(self, *, trains: Mapping[str, bool], shares: Mapping[str, bool]) -> Iterator[SuiteCell]:
        """Yield the cells.

        Args:
            trains: by task, whether it trains: only then do seeds multiply its cells.
            shares: by task, whether it trains on labels, of which shares are drawn: only then do fractions.
        """
        for task in self.tasks:
            fractions: tuple[float | None, ...] = task.fractions if shares[task.task] else (None,)
            for dataset in self.datasets:
                for checkpoint in self.checkpoints:
                    seeds: tuple[int | None, ...] = task.seeds if trains[task.task] else (None,)
                    for fraction in fractions:
                        for seed in seeds:
                            yield SuiteCell(task, dataset, checkpoint, fraction, seed)


def read_suite(path: str | os.PathLike[str], *, tasks: Mapping[str, Any]) -> SuiteSpec:
    """Read a suite and check it.

    Args:
        path: the JSON file.
        tasks: the known tasks by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a suite; the message names the entry and the key.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: a suite is a JSON object, got {type(content).__name__}")
    _known_keys(content, KEYS["suite"], path.name)
    root = path.absolute().parent
    if (split := content.get("split", "test")) not in SPLITS:
        raise ValueError(f"{path.name}: key 'split' must be one of {SPLITS}, got {split!r}")
    defaults = content.get("fractions", [1.0]), content.get("seeds", [0])
    spec = SuiteSpec(
        name=str(content.get("name", path.stem)),
        checkpoints=tuple(_checkpoint(entry, where, root) for where, entry in _entries(content, "checkpoints", path)),
        datasets=tuple(_dataset(entry, where, root) for where, entry in _entries(content, "datasets", path)),
        tasks=tuple(_task(entry, where, tasks, *defaults) for where, entry in _entries(content, "tasks", path)),
        split=split,
    )
    for what, names in (
        ("checkpoints", [entry.name for entry in spec.checkpoints]),
        ("datasets", [entry.name for entry in spec.datasets]),
        ("tasks", [entry.title for entry in spec.tasks]),
    ):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{path.name}: {what} must have different names, {twice} stand twice; a task has `title`")
    return spec


def _entries(content: Mapping[str, Any], key: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    entries = content.get(key)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path.name}: key {key!r} must be a list of at least one object")
    return [(f"{path.name}: {key}[{index}]", entry) for index, entry in enumerate(entries)]


def _checkpoint(entry: dict[str, Any], where: str, root: Path) -> CheckpointSpec:
    _known_keys(entry, KEYS["checkpoint"], where)
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise ValueError(f"{where}: expected one of the keys {list(KINDS)}, got {kinds}")
    value = _text(entry, kinds[0], where)
    weights = None if entry.get("weights") is None else _text(entry, "weights", where)
    if kinds[0] == "run" and weights not in (None, "random"):
        raise ValueError(f"{where}: key 'weights' of a run is 'random' or not there, got {weights!r}")
    if kinds[0] == "timm" and weights is None:
        raise ValueError(f"{where}: key 'weights' of a timm network is a file, 'timm' or 'random'")
    return CheckpointSpec(
        name=_text(entry, "name", where),
        kind=kinds[0],
        value=_path(root, value) if kinds[0] == "run" else value,
        weights=_path(root, weights) if weights is not None and weights not in WORDS else weights,
        image_size=_side(entry, where),
    )


def _dataset(entry: dict[str, Any], where: str, root: Path) -> DatasetSpec:
    _known_keys(entry, KEYS["dataset"], where)
    prompts = None if entry.get("prompts") is None else _text(entry, "prompts", where)
    if prompts is not None and prompts not in builtin_prompt_sets():
        prompts = _path(root, prompts)
    return DatasetSpec(_text(entry, "name", where), _path(root, _text(entry, "datalist", where)), prompts)


def _task(
    entry: dict[str, Any], where: str, tasks: Mapping[str, Any], fractions: list[float], seeds: list[int]
) -> TaskSpec:
    name = _text(entry, "task", where)
    if name not in tasks:
        raise ValueError(f"{where}: unknown task {name!r}; known: {sorted(tasks)}")
    fractions, seeds = entry.get("fractions", fractions), entry.get("seeds", seeds)
    if not _numbers(fractions, (int, float)) or not all(0 < share <= 1 for share in fractions):
        raise ValueError(
            f"{where}: key 'fractions' must be shares above 0 and at most 1, each once, in a list, got {fractions!r}"
        )
    if not _numbers(seeds, int) or not all(seed >= 0 for seed in seeds):
        raise ValueError(
            f"{where}: key 'seeds' must be whole numbers of at least 0, each once, in a list, got {seeds!r}"
        )
    settings = {key: value for key, value in entry.items() if key not in ("task", "title", "fractions", "seeds")}
    return TaskSpec(name, str(entry.get("title", name)), tuple(map(float, fractions)), tuple(seeds), settings)


def _numbers(values: Any, kind: type | tuple[type, ...]) -> bool:
    """Return whether something is a list of at least one number, each once."""
    numbers = isinstance(values, list) and all(
        isinstance(value, kind) and not isinstance(value, bool) for value in values
    )
    return numbers and 0 < len(values) == len(set(values))


def _side(entry: Mapping[str, Any], where: str) -> int | None:
    value = entry.get("image_size")
    if value is not None and not (_numbers([value], int) and value > 0):
        raise ValueError(f"{where}: key 'image_size' must be a whole number of at least 1, got {value!r}")
    return value


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: key {key!r} must be text, got {value!r}")
    return value


def _path(root: Path, path: str) -> str:
    return str(root / path)


def _known_keys(entry: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(entry) - known):
        raise ValueError(f"{where}: unknown keys {unknown}; known: {sorted(known)}")
