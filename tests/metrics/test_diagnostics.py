from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_place.metrics.diagnostics import (
    ImageVarianceMeter,
    SlotCosineMeter,
    explained_image_variance,
    slot_image_cosine,
    slot_usage_perplexity,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_perplexity_equals_the_plain_formula():
    weights = drawn(4, 3, 8).softmax(-1)
    use = weights.reshape(-1, 8).double().mean(0).tolist()
    expected = math.exp(-sum(p * math.log(p) for p in use))
    assert slot_usage_perplexity(weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        pytest.param(torch.eye(8), 8.0, id="all alike"),
        pytest.param(torch.eye(8)[[3, 3, 3]], 1.0, id="one takes all"),
        pytest.param(torch.eye(8)[[0, 1]], 2.0, id="two"),
        pytest.param(torch.ones(5, 1), 1.0, id="one slot"),
        pytest.param(torch.tensor([[0.0, 4.0], [1.0, 0.0]]), 2.0, id="rows count the same"),
        pytest.param(torch.tensor([[1.0, 0.0], [0.0, 0.0], [math.nan, 1.0]]), 1.0, id="rows without a sentence"),
        pytest.param(torch.zeros(3, 4), math.nan, id="no sentence"),
        pytest.param(torch.zeros(0, 4), math.nan, id="no row"),
    ],
)
def test_perplexity_of_known_cases(assignments, expected):
    assert slot_usage_perplexity(assignments) == pytest.approx(expected, nan_ok=True)


def test_perplexity_refuses_negative_weights_and_no_slots():
    with pytest.raises(ValueError, match="must not be negative"):
        slot_usage_perplexity(torch.tensor([[1.0, -0.5]]))
    with pytest.raises(ValueError, match="K of at least 1"):
        slot_usage_perplexity(torch.zeros(3, 0))


def test_slot_cosine_equals_the_loop_over_pairs_of_images():
    observations = drawn(5, 3, 4)
    cosines = [
        torch.nn.functional.cosine_similarity(observations[i, k].double(), observations[j, k].double(), dim=0).item()
        for k in range(3)
        for i in range(5)
        for j in range(5)
        if i != j
    ]
    assert slot_image_cosine(observations) == pytest.approx(np.mean(cosines))


def test_slot_cosine_of_known_cases():
    constant = drawn(1, 3, 4).expand(6, 3, 4)
    assert slot_image_cosine(constant) == pytest.approx(1.0)
    assert slot_image_cosine(torch.stack([constant[0], -constant[0]])) == pytest.approx(-1.0)
    assert slot_image_cosine(torch.eye(4)[:, None, :]) == pytest.approx(0.0)
    assert slot_image_cosine(torch.zeros(3, 2, 4)) == 0.0
    assert math.isnan(slot_image_cosine(drawn(1, 2, 3)))
    assert math.isnan(slot_image_cosine(drawn(3, 0, 3)))


def test_slot_cosine_ignores_length_and_refuses_other_shapes():
    observations = drawn(5, 3, 4)
    assert slot_image_cosine(observations * torch.arange(1, 6)[:, None, None]) == pytest.approx(
        slot_image_cosine(observations)
    )
    with pytest.raises(ValueError, match=r"observations must be \(B, K, D\)"):
        slot_image_cosine(drawn(3, 4))


def test_explained_variance_equals_the_plain_formula():
    target, predicted = drawn(6, 5, 5), drawn(6, 5, 5, seed=1)
    error = float((predicted - target).double().square().sum())
    spread = float((target - target.mean(0)).double().square().sum())
    assert explained_image_variance(predicted, target) == pytest.approx(1 - error / spread)


def test_mean_target_explains_nothing_and_the_target_all():
    target = drawn(6, 5, 5) + 100
    assert explained_image_variance(target.mean(0).expand_as(target), target) == pytest.approx(0.0, abs=1e-6)
    assert explained_image_variance(target, target) == 1.0


def test_batches_add_up_to_the_whole_even_beside_a_large_mean():
    target, predicted = drawn(20, 3, 3).double() + 1e4, drawn(20, 3, 3, seed=1).double() + 1e4
    meter = ImageVarianceMeter()
    for start, end in ((0, 1), (1, 8), (8, 8), (8, 20)):
        meter.update(predicted[start:end], target[start:end])
    assert meter.compute() == pytest.approx(explained_image_variance(predicted, target), rel=1e-9)


def test_predicted_deviations_are_held_against_the_mean_over_all_batches():
    target, residual = drawn(20, 3, 3).double() + 10, drawn(20, 3, 3, seed=1).double()
    meter = ImageVarianceMeter(residual=True)
    for start, end in ((0, 7), (7, 20)):
        meter.update(residual[start:end], target[start:end])
    assert meter.compute() == pytest.approx(explained_image_variance(residual + target.mean(0), target), rel=1e-9)


@pytest.mark.parametrize("residual", [False, True])
def test_meters_of_several_processes_are_put_together(residual):
    target, predicted, slots = drawn(9, 4).double() + 5, drawn(9, 4, seed=1).double(), drawn(9, 3, 6)
    whole = [ImageVarianceMeter(residual=residual), SlotCosineMeter()]
    parts = [[ImageVarianceMeter(residual=residual), SlotCosineMeter()] for _ in range(2)]
    for meters, rows in ((whole, slice(None)), (parts[0], slice(0, 2)), (parts[1], slice(2, 9))):
        meters[0].update(predicted[rows], target[rows])
        meters[1].update(slots[rows])
    for own, other, expected in zip(*parts, whole, strict=True):
        own.merge(other.state())
        assert own.compute() == pytest.approx(expected.compute(), rel=1e-9)


@pytest.mark.parametrize(
    "target", [torch.zeros(0, 2), torch.ones(1, 2), torch.ones(4, 2)], ids=["none", "one image", "all equal"]
)
def test_variance_that_is_not_there_has_no_explanation(target):
    assert math.isnan(explained_image_variance(target, target))
    assert math.isnan(ImageVarianceMeter().compute())


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="must share one shape"):
        explained_image_variance(torch.zeros(2, 3), torch.zeros(2, 4))
    meter = ImageVarianceMeter()
    meter.update(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="target has 4 values an image, earlier batches 3"):
        meter.update(torch.zeros(2, 4), torch.zeros(2, 4))
