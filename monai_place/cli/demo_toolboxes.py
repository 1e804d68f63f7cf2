"""The demo's last part: the pretrained encoder in MMSegmentation and MMDetection, against a random start."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from monai_place.config_files import config_path
from monai_place.data.radiograph import read_radiograph
from monai_place.visualize import DownstreamExample, DownstreamTask

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

__all__ = ["TASKS", "ToolboxTask", "compare_starts", "short_config", "toolboxes_are_missing"]

logger = logging.getLogger(__name__)

_Pictures: TypeAlias = tuple[Path, list[Any], list[Any]]  # path, true regions, predicted regions
STARTS = ("pretrained", "random start")
WORKERS = 2  # processes
WARMUP = 20  # steps
SHOWN_SCORE = 0.3  # least score of a box that is drawn


@dataclass(frozen=True)
class ToolboxTask:
    """A config of `mm_configs`, and how much of it the demo runs.

    Args:
        name: on the page.
        config: its name.
        key: of the toolbox's metric that is compared.
        metric: what it is, in words.
        unit: by which the toolbox's number is multiplied; 0.01 where it gives percent.
        steps: of the training.
        batch_size: of the training.
    """

    name: str
    config: str
    key: str
    metric: str
    steps: int
    batch_size: int
    unit: float = 1.0


TASKS = (
    ToolboxTask(
        name="MMSegmentation: the findings' masks",
        config="placevit-tiny-frozen_linear_1xb8-2k_phantom-224x224",
        # Dice by picture is 1 where a finding is rightly not seen: so early, whoever sees nothing would be the best.
        key="mDice",
        metric="Dice, pooled over pixels, mean over background and findings",
        steps=150,
        batch_size=16,
        unit=0.01,
    ),
    ToolboxTask(
        name="MMDetection: the findings' boxes",
        config="placevit-tiny_retinanet_1xb8-2k_phantom-224x224",
        key="mAP",
        metric="mAP, IoU 0.40:0.05:0.75, mean over findings",
        steps=150,
        batch_size=8,
    ),
)


def toolboxes_are_missing() -> list[str]:
    """Return which of the two toolboxes are not installed."""
    return [name for name in ("mmseg", "mmdet") if find_spec(name) is None]


def compare_starts(
    datalist: Path,
    bundle: Path,
    work: Path,
    *,
    size: int,
    tasks: Sequence[ToolboxTask] = TASKS,
    seeds: Sequence[int] = (0, 1),
    tested: int = 150,
    progress: Callable[[int, int], None] | None = None,
) -> list[DownstreamTask]:
    """Train each task from the pretrained encoder and from a random start, with the same steps and seeds.

    Args:
        datalist: of the phantom.
        bundle: the run whose encoder is the backbone.
        work: folder of the runs; emptied first, since a training found there would be gone on with.
        size: side of the pictures in pixels.
        tasks: what to train.
        seeds: of the head, the order of the data and the random start.
        tested: so many studies of the test split are predicted.
        progress: called with (runs done, runs in all).
    """
    shutil.rmtree(work, ignore_errors=True)
    jobs = [
        _Job(task, start, seed, datalist=datalist, bundle=bundle, work=work, size=size, tested=tested)
        for task in tasks
        for seed in seeds
        for start in STARTS
    ]
    results: dict[_Job, tuple[float, list[_Pictures]]] = {}
    # A training of this size gains little from a second thread, and all from a core of its own.
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=get_context("spawn")) as pool:
        for job, result in zip(jobs, pool.map(_run, jobs), strict=True):
            results[job] = result
            if progress is not None:
                progress(len(results), len(jobs))
    found = []
    for task in tasks:
        of_task = {start: [job for job in jobs if job.task == task and job.start == start] for start in STARTS}
        scores = {start: [results[job][0] for job in entries] for start, entries in of_task.items()}
        pictures = {start: results[entries[0]][1] for start, entries in of_task.items()}
        setting = (
            f"{task.config}: {task.steps} steps of {task.batch_size} at {size} pixels, seeds "
            f"{', '.join(map(str, seeds))}; {tested} studies of the test split."
        )
        found.append(DownstreamTask(task.name, task.metric, scores, setting, _examples(pictures)))
    return found


def short_config(
    task: ToolboxTask, *, datalist: Path, bundle: Path | None, work: Path, size: int, seed: int, tested: int
) -> Config:
    """Return the task's config with the demo's data, size, steps and seed; all else is as in the file.

    Args:
        task: names the config.
        datalist: of the phantom.
        bundle: the pretrained run; None starts from random weights.
        work: folder of the run.
        size: side of the pictures in pixels.
        seed: of the run.
        tested: studies of the test split.
    """
    from mmengine.config import Config

    config = Config.fromfile(config_path(task.config))
    for name in ("train_dataloader", "test_dataloader"):
        loader = config[name]
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(datalist.parent), datalist=datalist.name)
        for step in loader.dataset.pipeline:
            step.update({key: (size, size) for key in ("scale", "crop_size") if key in step})
    config.train_dataloader.batch_size = task.batch_size
    config.test_dataloader.dataset.indices = tested
    config.model.backbone.update({"bundle": str(bundle)} if bundle else {"bundle": None, "img_size": size})
    config.train_cfg.update(max_iters=task.steps, val_interval=task.steps + 1)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    warmup = min(WARMUP, task.steps // 2)
    for schedule in config.param_scheduler:
        schedule.update(
            {"end": warmup} if schedule.type == "LinearLR" else {"begin": warmup, "end": task.steps},
        )
    config.default_hooks.checkpoint = {"type": "CheckpointHook", "by_epoch": False, "interval": task.steps + 1}
    config.default_hooks.checkpoint["save_last"] = False
    config.default_hooks.pop("visualization")
    config.visualizer.vis_backends = [{"type": "LocalVisBackend"}]
    config.randomness = {"seed": seed}
    config.work_dir, config.log_level = str(work), "ERROR"
    return config


@dataclass(frozen=True)
class _Job:
    """One training: a value that a process of its own can be handed."""

    task: ToolboxTask
    start: str
    seed: int
    datalist: Path
    bundle: Path
    work: Path
    size: int
    tested: int

    def config(self) -> Config:
        return short_config(
            self.task,
            datalist=self.datalist,
            bundle=self.bundle if self.start == STARTS[0] else None,
            work=self.work / f"{self.task.key.lower()}-{self.start.split()[0]}-{self.seed}",
            size=self.size,
            seed=self.seed,
            tested=self.tested,
        )


def _run(job: _Job) -> tuple[float, list[_Pictures]]:
    """Train and test; return the score and a few pictures."""
    import torch
    from mmengine.runner import Runner

    import monai_place.mm  # noqa: F401  (the operators, before a toolbox is imported)

    torch.set_num_threads(1)
    with redirect_stdout(sys.stderr):  # MMEngine logs on stdout, which is for results
        runner = Runner.from_cfg(job.config())
        runner.train()
        return job.task.unit * float(runner.test()[job.task.key]), _predictions(runner)


def _predictions(runner: Runner, *, pictures: int = 3) -> list[_Pictures]:
    """Return path, true and predicted regions of the first pictures with a finding: by place, not by success."""
    import torch

    found: list[_Pictures] = []
    runner.model.eval()
    for batch in runner.test_dataloader:
        with torch.no_grad():
            samples = runner.model.test_step(batch)
        for sample in samples:
            truth, guess = _regions(sample)
            if truth:
                found.append((Path(sample.img_path), truth, guess))
            if len(found) == pictures:
                return found
    return found


def _regions(sample: Any) -> tuple[list[Any], list[Any]]:
    """Return true and predicted regions of a data sample: one mask of all findings, or the boxes."""
    if "pred_sem_seg" in sample:
        masks = [part.data.squeeze(0).cpu().numpy() for part in (sample.gt_sem_seg, sample.pred_sem_seg)]
        truth, guess = ((mask > 0) & (mask != 255) for mask in masks)
        return [truth] if truth.any() else [], [guess] if guess.any() else []
    likely = sample.pred_instances[sample.pred_instances.scores > SHOWN_SCORE]
    boxes = [np.asarray(entry["bbox"], dtype=float) for entry in sample.instances]
    return boxes, [box.cpu().numpy().astype(float) for box in likely.bboxes]


def _examples(predictions: dict[str, list[_Pictures]]) -> list[DownstreamExample]:
    by_start = list(predictions.items())
    return [
        DownstreamExample(
            image=read_radiograph(path)[0],
            truth=truth,
            predictions={start: entries[number][2] for start, entries in by_start},
        )
        for number, (path, truth, _) in enumerate(by_start[0][1])
    ]
