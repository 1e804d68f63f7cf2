"""What the loss does not reach is frozen before a network is distributed."""

from __future__ import annotations

import torch

from monai_place.engines import freeze_untrained_parameters
from monai_place.losses import PLACELoss
from tests.networks.models import make_batch, small_model


def test_all_losses_train_everything() -> None:
    assert freeze_untrained_parameters(small_model(), PLACELoss(mode="both")) == []


def test_parts_without_a_loss_are_frozen_and_the_rest_is_not() -> None:
    model = small_model()
    frozen = freeze_untrained_parameters(model, PLACELoss(pcma_weight=0.0, cce_weight=0.0))
    assert {name.partition(".")[0] for name in frozen} == {"extractor", "correlation_head", "sentence_projection"}
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == set(frozen)
    PLACELoss(pcma_weight=0.0, cce_weight=0.0)(model(make_batch([1, 2])))["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_no_gradient_and_no_random_number_is_left_behind() -> None:
    model, before = small_model(), torch.random.get_rng_state()
    freeze_untrained_parameters(model, PLACELoss())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())
