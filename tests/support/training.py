"""A small MONAI training run with everything that the engines offer; real engines, loaders, files and processes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.transforms import MapTransform, RandGaussianNoised, Transform
from torch import nn

from monai_place.engines import (
    BestModelHandler,
    ExactCheckpointHandler,
    FiniteMetricComparison,
    GradientPolicyHandler,
    IterationScheduleHandler,
    StudyDataset,
    StudyLossMetric,
    TermsLoss,
    TrainingHistoryHandler,
    build_adamw,
    build_warmup_cosine,
    load_training_state,
    prepare_study_batch,
    study_loader,
)
from monai_place.losses.gather import gather_across_ranks

__all__ = [
    "DrawFromTorch",
    "KilledError",
    "MakeStudy",
    "Run",
    "TinyLoss",
    "TinyNetwork",
    "TinyOutput",
    "assert_same",
    "build_run",
    "final_state",
    "records",
]


def records(count: int) -> list[dict[str, Any]]:
    return [{"id": f"s{index:03d}", "value": index} for index in range(count)]


class MakeStudy(Transform):
    """Deterministic: an image and tokens from a number."""

    def __init__(self, size: int = 8) -> None:
        self.size = size

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(data["value"])
        tokens = torch.randint(1, 20, (6,), generator=generator)
        return {
            "id": data["id"],
            "image": torch.randn(1, self.size, self.size, generator=generator),
            "input_ids": tokens,
            "sentence_ids": torch.zeros(6, dtype=torch.int64),
            "sentence_count": 1,
        }


class DrawFromTorch(MapTransform):
    """A random transform of the careless kind: it draws from the global generators."""

    def __init__(self) -> None:
        super().__init__("image")

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        drawn = torch.rand(()) + random.random() + float(np.random.rand())
        return {**data, "image": data["image"] + 0.1 * drawn}


@dataclass(frozen=True)
class TinyOutput:
    image: torch.Tensor
    report: torch.Tensor


class TinyNetwork(nn.Module):
    def __init__(self, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 8))
        self.tokens = nn.Embedding(20, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, batch: Mapping[str, torch.Tensor]) -> TinyOutput:
        return TinyOutput(self.image(batch["image"]), self.norm(self.tokens(batch["input_ids"]).mean(1)))


class TinyLoss(nn.Module):
    """InfoNCE of one direction over all ranks, and a second term."""

    def forward(self, output: TinyOutput) -> dict[str, torch.Tensor]:
        image, report = gather_across_ranks(output.image), gather_across_ranks(output.report)
        logits = image @ report.t()
        ita = nn.functional.cross_entropy(logits, torch.arange(len(logits)))
        size = image.square().mean()
        return {"loss": ita + 0.1 * size, "ita": ita, "size": size}


class KilledError(Exception):
    """Stands for a process that is gone: nothing after it is done."""


@dataclass
class Run:
    trainer: SupervisedTrainer
    evaluator: SupervisedEvaluator
    checkpoint: ExactCheckpointHandler
    gradients: GradientPolicyHandler
    folder: Path
    seen: list[list[str]] = field(default_factory=list)

    def go(self, *, kill_after: int | None = None) -> Run:
        """Train; `kill_after` loses all that was not saved after that iteration."""
        if kill_after is None:
            self.trainer.run()
            return self
        self.trainer.add_event_handler(Events.ITERATION_STARTED, _kill, kill_after)
        try:
            self.trainer.run()
        except KilledError:
            return self
        raise AssertionError("the run was to be killed")


def build_run(
    folder: Path,
    *,
    studies: int = 22,
    batch_size: int = 4,
    epochs: int = 3,
    workers: int = 0,
    dropout: float = 0.2,
    warmup: int = 4,
    validate: bool = True,
    loss: nn.Module | None = None,
    validation_loss: nn.Module | None = None,
    network: Callable[[], nn.Module] | None = None,
    size: int = 8,
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network,
    handlers: Callable[[ExactCheckpointHandler], list[Any]] = lambda _checkpoint: [],
    evaluator_handlers: tuple[Any, ...] = (),
    slow_s: float = 0,
    slow_validation_s: float = 0,
    trainer_arguments: Mapping[str, Any] | None = None,
    max_norm: float | None = 1.0,
    max_in_a_row: int = 3,
    evaluators: bool = True,
    **checkpoint_arguments: Any,
) -> Run:
    """Return a run as a bundle would build it, seeded; its handlers stand in an awkward order on purpose."""
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    transform = [MakeStudy(size), RandGaussianNoised("image", prob=0.5), DrawFromTorch()]
    dataset = StudyDataset(records(studies), transform, seed=5)
    loader = study_loader(dataset, batch_size, shuffle=True, seed=3, num_workers=workers)
    plain = network() if network else TinyNetwork(dropout=dropout)
    trained = wrap(plain)
    optimizer = build_adamw(trained, lr=1e-2, weight_decay=0.1)
    scheduler = build_warmup_cosine(optimizer, warmup_steps=warmup, total_steps=epochs * len(loader))
    history = TrainingHistoryHandler(folder / "history.jsonl")
    best = BestModelHandler(folder / "best.pt", plain, mode="min")
    validation = StudyDataset(records(studies + 8)[-8:], [MakeStudy(size)])
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=study_loader(validation, 4),
        network=plain,
        prepare_batch=prepare_study_batch,
        key_val_metric={"val_loss": StudyLossMetric(validation_loss or TinyLoss())},
        metric_cmp_fn=FiniteMetricComparison("min"),
        val_handlers=[best, history, *evaluator_handlers],
        decollate=False,
    )
    gradients = GradientPolicyHandler(max_norm=max_norm, max_in_a_row=max_in_a_row)
    checkpoint = ExactCheckpointHandler(
        folder / "checkpoints",
        parts={"scheduler": scheduler, "history": history, "best": best, "gradients": gradients},
        evaluators={"validation": evaluator} if evaluators else {},
        **checkpoint_arguments,
    )
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=loader,
        network=trained,
        optimizer=optimizer,
        loss_function=TermsLoss(loss or TinyLoss()),
        prepare_batch=prepare_study_batch,
        train_handlers=[
            checkpoint,
            *handlers(checkpoint),
            history,
            gradients,
            *([ValidationHandler(1, evaluator)] if validate else []),
            IterationScheduleHandler(scheduler),
        ],
        decollate=False,
        optim_set_to_none=True,
        **(trainer_arguments or {}),
    )
    run = Run(trainer, evaluator, checkpoint, gradients, folder)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: time.sleep(slow_s))
    evaluator.add_event_handler(Events.ITERATION_STARTED, lambda: time.sleep(slow_validation_s))
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda e: run.seen.append(list(e.state.batch["id"])))
    return run


def final_state(folder: Path) -> dict[str, Any]:
    """Return all that a run in `folder` has left: its last checkpoint, its best weights, its history."""
    checkpoints = sorted((folder / "checkpoints").glob("checkpoint_*.pt"))
    return {
        "name": checkpoints[-1].name,
        "state": load_training_state(checkpoints[-1]),
        "best": load_training_state(folder / "best.pt") if (folder / "best.pt").exists() else None,
        "history": (folder / "history.jsonl").read_text(),
    }


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Compare to the last bit, and tell where the first difference is."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{index}]")
    else:
        assert one == other or (one != one and other != other), f"{where}: {one} {other}"


def _kill(engine: Any, after: int) -> None:
    if engine.state.iteration > after:
        raise KilledError
