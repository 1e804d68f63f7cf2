"""Batches and losses in the form that MONAI's engines call."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_place.engines import AutocastInferer, PrepareStudyBatch, TermsLoss, loss_terms, prepare_study_batch
from tests.support.training import TinyLoss, build_run

BATCH = {"image": torch.zeros(2, 1, 4, 4), "input_ids": torch.ones(2, 3, dtype=torch.int64), "id": ["a", "b"]}


def test_the_network_gets_the_tensors_as_one_dict_and_there_is_no_target() -> None:
    inputs, target = prepare_study_batch(BATCH, "cpu")
    assert list(inputs) == ["image", "input_ids"]
    assert target is None
    assert inputs["input_ids"].dtype == torch.int64


def test_tensors_go_to_the_device() -> None:
    inputs, _ = prepare_study_batch(BATCH, "meta")
    assert {value.device.type for value in inputs.values()} == {"meta"}


def test_keys_can_be_chosen() -> None:
    assert list(PrepareStudyBatch(["image", "mask"])(BATCH, "cpu")[0]) == ["image"]


def test_a_loss_of_terms_is_a_scalar_with_gradient_and_keeps_its_terms_without() -> None:
    weight = torch.tensor([2.0], requires_grad=True)
    loss = TermsLoss(lambda x: {"loss": 3 * x.sum(), "part": x.sum()})
    value = loss(weight, None).mean()
    value.backward()
    assert weight.grad is not None
    assert weight.grad.item() == 3
    assert {name: (term.item(), term.requires_grad) for name, term in loss.terms.items()} == {
        "loss": (6.0, False),
        "part": (2.0, False),
    }


def test_a_loss_without_a_sum_is_refused() -> None:
    with pytest.raises(KeyError, match=r"the terms \['ita'\], expected one of them to be 'loss'"):
        TermsLoss(lambda x: {"ita": x})(torch.ones(1))


def test_handlers_find_the_terms_of_each_step(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=1, validate=False)
    found: list[tuple[dict[str, float], float]] = []
    run.trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: found.append((loss_terms(engine), engine.state.output["loss"].item())),
    )
    run.go()
    assert all(list(terms) == ["loss", "ita", "size"] for terms, _ in found)
    assert all(terms["loss"] == pytest.approx(total) for terms, total in found)
    assert len({total for _, total in found}) == len(found)


def test_a_plain_loss_has_one_term() -> None:
    state = SimpleNamespace(output=[{"loss": torch.tensor(2.0)}])
    assert loss_terms(SimpleNamespace(loss_function=nn.MSELoss(), state=state)) == {"loss": 2.0}


class Dtype(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        out: torch.Tensor = self.layer(batch["image"])
        return out


@pytest.mark.parametrize(("enabled", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_network_runs_under_autocast_on_a_cpu_too(enabled: bool, dtype: torch.dtype) -> None:
    inputs, _ = prepare_study_batch(BATCH, "cpu")
    assert AutocastInferer(enabled=enabled)(inputs, Dtype()).dtype == dtype
    assert AutocastInferer()(inputs["image"], lambda image: image).dtype == torch.float32


def test_training_in_bfloat16_learns_and_keeps_float32_weights(tmp_path: Path) -> None:
    run = build_run(tmp_path, trainer_arguments={"inferer": AutocastInferer()}, loss=Float32Loss())
    run.go()
    assert all(parameter.dtype == torch.float32 for parameter in run.trainer.network.parameters())
    assert run.gradients.skipped == 0


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dtype must be one of \['bfloat16', 'float16'\], got 'int8'"):
        AutocastInferer("int8")


class Float32Loss(TinyLoss):
    """Asserts that the loss is outside of autocast."""

    def forward(self, output: Any) -> dict[str, torch.Tensor]:
        assert not torch.is_autocast_enabled("cpu")
        return super().forward(type(output)(output.image.float(), output.report.float()))
