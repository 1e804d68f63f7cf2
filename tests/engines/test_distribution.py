"""What the loss does not reach is frozen before a network is distributed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_place.engines import distribute_network, freeze_untrained_parameters
from monai_place.losses import PLACELoss
from tests.networks.models import make_batch, small_model
from tests.support.processes import in_group, run_ranks

UNTRAINED = ("extractor", "correlation_head", "token_correlation_head", "sentence_projection")
PART_OF_THE_LOSS = PLACELoss(pcma_weight=0.0, cce_weight=0.0, cce_image_weight=0.0)


def test_all_losses_train_everything() -> None:
    assert freeze_untrained_parameters(small_model(), PLACELoss(mode="both")) == []


def test_parts_without_a_loss_are_frozen_and_the_rest_is_not() -> None:
    model = small_model()
    frozen = freeze_untrained_parameters(model, PART_OF_THE_LOSS)
    assert {name.partition(".")[0] for name in frozen} == set(UNTRAINED)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == set(frozen)
    PART_OF_THE_LOSS(model(make_batch([1, 2])))["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_no_gradient_and_no_random_number_is_left_behind() -> None:
    model, before = small_model(), torch.random.get_rng_state()
    freeze_untrained_parameters(model, PLACELoss())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def two_steps(network: torch.nn.Module, rows: slice) -> torch.nn.Module:
    """Train on some rows of a batch, with a loss that reaches a part of the network."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    batch = {key: value[rows] for key, value in make_batch([3, 1, 2, 4]).items()}
    for _ in range(2):
        optimizer.zero_grad()
        PART_OF_THE_LOSS(network(batch))["loss"].backward()
        optimizer.step()
    return network


def _train_on_half(rank: int, folder: Path) -> None:
    with in_group(rank, folder):
        network = distribute_network(small_model().eval(), PART_OF_THE_LOSS, device="cpu")
        two_steps(network, slice(2 * rank, 2 * rank + 2))
        torch.save(network.module.state_dict(), folder / f"{rank}.pt")


@pytest.mark.dist
def test_two_ranks_learn_what_one_does_though_the_loss_reaches_only_a_part(tmp_path: Path) -> None:
    run_ranks(_train_on_half, tmp_path)
    start, expected = small_model().state_dict(), two_steps(small_model().eval(), slice(None)).state_dict()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=key)
            assert key.startswith(UNTRAINED) == torch.equal(value, start[key])
