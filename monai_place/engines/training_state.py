"""What a run consists of at one moment, taken from a MONAI trainer and put back into one."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from monai_place.engines.random_state import capture_random_state, restore_random_state
from monai_place.engines.ranks import current_rank, gather_bytes, total_ranks, unwrap_network
from monai_place.engines.sampling import StudySampler

__all__ = ["StatefulPart", "check_exact_trainer", "collect_progress", "collect_weights", "restore_training_state"]

FORMAT = "monai_place.training_state"
VERSION = 1

logger = logging.getLogger(__name__)


class StatefulPart(Protocol):
    """Anything that a checkpoint should hold beside the model: a scheduler, a handler, an averaged model."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Take the state up."""


def check_exact_trainer(engine: Any) -> StudySampler:
    """Return the trainer's sampler, after checking that the trainer can be taken up exactly.

    Raises:
        TypeError: the loader's sampler has no position.
        ValueError: the trainer keeps gradients from step to step, or its epoch is not one pass through the loader.
    """
    sampler = getattr(engine.data_loader, "sampler", None)
    if not isinstance(sampler, StudySampler):
        raise TypeError(
            f"train_data_loader has a {type(sampler).__name__} for sampler, expected a StudySampler (see study_loader)"
        )
    if not engine.optim_set_to_none:
        # A gradient of zeros lets AdamW move a parameter that has no gradient in this step, None does not; a run that
        # was taken up begins with None.
        raise ValueError("the trainer needs optim_set_to_none=True for a resumed run to equal an uninterrupted one")
    if engine.state.epoch_length != len(engine.data_loader):
        raise ValueError(
            f"epoch_length is {engine.state.epoch_length}, expected the length of the loader, {len(engine.data_loader)}"
        )
    return sampler


def collect_progress(engine: Any, parts: Mapping[str, StatefulPart], evaluators: Mapping[str, Any]) -> dict[str, Any]:
    """Return all but the large tensors: position, random states of all ranks, best metrics, states of the parts."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "iteration": engine.state.iteration,
        "epoch": engine.state.epoch,
        "max_epochs": engine.state.max_epochs,
        "run": _identity(engine),
        "sampler": engine.data_loader.sampler.state_dict(),
        "best": {name: _best(each) for name, each in {"trainer": engine, **evaluators}.items()},
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "random": _random_states(),
    }


def collect_weights(engine: Any) -> dict[str, Any]:
    """Return the states of model, optimizer and gradient scaler."""
    return {
        "model": unwrap_network(engine.network).state_dict(),
        "optimizer": engine.optimizer.state_dict(),
        "scaler": engine.scaler.state_dict() if engine.scaler is not None else None,
    }


def restore_training_state(
    engine: Any, state: Mapping[str, Any], parts: Mapping[str, StatefulPart], evaluators: Mapping[str, Any]
) -> None:
    """Put a state of `collect_progress` and `collect_weights` back, after checking that the run is the same.

    Raises:
        ValueError: the state is of another kind, another world size, batch size or number of studies, or lacks a part.
    """
    _check_same_run(engine, state, parts)
    engine.data_loader.sampler.load_state_dict(state["sampler"])
    unwrap_network(engine.network).load_state_dict(state["model"])
    engine.optimizer.load_state_dict(state["optimizer"])
    if engine.scaler is not None and state["scaler"]:
        engine.scaler.load_state_dict(state["scaler"])
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    for name, each in {"trainer": engine, **evaluators}.items():
        best = state["best"].get(name)
        if best:
            each.state.best_metric, each.state.best_metric_epoch = best["metric"], best["epoch"]
    engine.state.iteration = state["iteration"]
    # ignite adds one at the start of an epoch, also when it goes on in the middle.
    engine.state.epoch = state["iteration"] // engine.state.epoch_length
    restore_random_state(state["random"][current_rank()])


def _check_same_run(engine: Any, state: Mapping[str, Any], parts: Mapping[str, StatefulPart]) -> None:
    if state.get("format") != FORMAT or state.get("version") != VERSION:
        raise ValueError(
            f"not a training state of this version: format {state.get('format')!r}, version {state.get('version')!r}, "
            f"expected {FORMAT!r}, {VERSION}"
        )
    old, new = state["run"], _identity(engine)
    if old["world_size"] != new["world_size"]:
        raise ValueError(
            f"the checkpoint is of a run with world size {old['world_size']}, this one has {new['world_size']}: order "
            "of studies and random states would differ. Resume with as many processes, or start a new run from the "
            "model's weights"
        )
    if different := [f"{key} was {old[key]}, is {new[key]}" for key in new if old[key] != new[key]]:
        raise ValueError(f"the checkpoint is of another run: {'; '.join(different)}")
    if missing := sorted(set(parts) - set(state["parts"])):
        raise ValueError(f"the checkpoint has no state of {missing}; it has {sorted(state['parts'])}")
    if unused := sorted(set(state["parts"]) - set(parts)):
        logger.warning("the checkpoint's states of %s are left aside: this run has no such parts", unused)
    if state["iteration"] > engine.state.max_epochs * engine.state.epoch_length:
        raise ValueError(
            f"the checkpoint is at iteration {state['iteration']}, beyond max_epochs={engine.state.max_epochs}"
        )
    if state["max_epochs"] != engine.state.max_epochs:
        logger.warning("max_epochs was %d, is %d", state["max_epochs"], engine.state.max_epochs)


def _identity(engine: Any) -> dict[str, Any]:
    return {
        "world_size": total_ranks(),
        "batch_size": engine.data_loader.batch_size,
        "epoch_length": engine.state.epoch_length,
        "accumulation_steps": getattr(engine, "accumulation_steps", 1),
    }


def _best(engine: Any) -> dict[str, Any]:
    return {"metric": float(engine.state.best_metric), "epoch": int(engine.state.best_metric_epoch)}


def _random_states() -> list[dict[str, Any]]:
    buffer = io.BytesIO()
    torch.save(capture_random_state(), buffer)
    return [torch.load(io.BytesIO(data), weights_only=True) for data in gather_bytes(buffer.getvalue())]
