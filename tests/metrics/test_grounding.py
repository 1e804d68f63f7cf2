from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from monai_place.metrics.grounding import (
    contrast_to_noise,
    grounding_scores,
    mean_threshold_iou,
    pointing_game,
    region_area,
)

NAN = math.nan


def oracle(heat, region, thresholds=(0.1, 0.2, 0.3, 0.4, 0.5)):
    """Pixel by pixel, in lists: pointing, contrast to noise, with sign, mIoU, area."""
    pixels = [(v, bool(r)) for v, r in zip(heat.flatten().tolist(), region.flatten().tolist(), strict=True) if v == v]
    inside, outside = [v for v, r in pixels if r], [v for v, r in pixels if not r]
    if not inside:
        return [NAN] * 5
    top = max(v for v, _ in pixels)
    at_top = [r for v, r in pixels if v == top]
    signed = NAN
    if outside:
        means = [sum(side) / len(side) for side in (inside, outside)]
        variances = [
            sum((v - m) ** 2 for v in side) / len(side) for side, m in zip((inside, outside), means, strict=True)
        ]
        difference = means[0] - means[1]
        if sum(variances) > 0:
            signed = difference / math.sqrt(sum(variances))
        elif difference == 0:
            signed = 0.0
    ious = []
    for threshold in thresholds:
        both = sum(v > threshold and r for v, r in pixels)
        either = sum(v > threshold or r for v, r in pixels)
        ious.append(both / either)
    return [sum(at_top) / len(at_top), abs(signed), signed, sum(ious) / len(ious), len(inside) / len(pixels)]


def drawn(seed: int, *, coarse: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    heat = torch.rand(6, 7, generator=generator).double()
    if coarse:
        heat = (heat * 4).round() / 4
    heat[torch.rand(6, 7, generator=generator) < 0.2] = NAN
    return heat, torch.rand(6, 7, generator=generator) < 0.3


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct values", "ties"])
def test_scores_equal_the_pixel_oracle(coarse):
    pairs = [drawn(seed, coarse=coarse) for seed in range(20)]
    scores = grounding_scores([heat for heat, _ in pairs], torch.stack([region for _, region in pairs]))
    columns = (scores.pointing, scores.contrast_to_noise, scores.signed_contrast_to_noise, scores.miou, scores.area)
    for row, pair in zip(np.stack(columns, axis=1), pairs, strict=True):
        assert row.tolist() == pytest.approx(oracle(*pair), nan_ok=True)


def test_contrast_to_noise_by_hand():
    # Inside 3, 5 (mean 4, variance 1); outside 0, 2 (mean 1, variance 1): 3 / sqrt(2).
    heat = torch.tensor([[3.0, 5.0], [0.0, 2.0]])
    region = torch.tensor([[1, 1], [0, 0]], dtype=torch.bool)
    assert float(contrast_to_noise(heat, region)) == pytest.approx(3 / math.sqrt(2))
    assert float(contrast_to_noise(heat, ~region)) == pytest.approx(3 / math.sqrt(2))
    assert float(contrast_to_noise(heat, ~region, signed=True)) == pytest.approx(-3 / math.sqrt(2))


def test_contrast_to_noise_does_not_change_with_scale_and_offset():
    heat, region = drawn(1, coarse=False)
    assert float(contrast_to_noise(1000 + 7 * heat, region)) == pytest.approx(float(contrast_to_noise(heat, region)))


def test_map_equal_to_its_region_scores_full_iou_and_has_no_noise_to_divide_by():
    region = torch.tensor([[1, 0], [0, 0]], dtype=torch.bool)
    scores = grounding_scores([region.double()], [region])
    assert (scores.pointing[0], scores.miou[0]) == (1.0, 1.0)
    assert math.isnan(scores.contrast_to_noise[0])


@pytest.mark.parametrize("value", [0.3, 1e6 + 0.1, -7.7])
def test_large_maps_of_one_or_two_values_have_no_noise_of_rounding(value):
    region = torch.zeros(224, 224, dtype=torch.bool)
    region[30:101, 20:77] = True
    constant = torch.full((224, 224), value, dtype=torch.float64)
    assert float(contrast_to_noise(constant, region)) == 0.0
    assert math.isnan(contrast_to_noise(constant.masked_fill(region, value + 0.7), region))


def test_pixel_without_an_answer_is_not_the_maximum_of_a_map_below_zero():
    heat = torch.tensor([[0.0, NAN], [-1.0, NAN]])
    region = torch.tensor([[0, 1], [1, 0]])
    assert float(pointing_game(heat, region)) == 0.0
    assert float(pointing_game(heat, 1 - region)) == 1.0


def test_constant_map_points_by_chance_and_has_no_contrast():
    region = torch.tensor([[1, 0], [0, 0]], dtype=torch.bool)
    heat = torch.full((2, 2), 0.3)
    assert float(pointing_game(heat, region)) == float(region_area(heat, region)) == 0.25
    assert float(contrast_to_noise(heat, region)) == 0.0


def test_pixels_without_an_answer_take_no_part():
    heat = torch.tensor([[0.9, NAN], [0.2, NAN]])
    region = torch.tensor([[1, 1], [0, 1]], dtype=torch.bool)
    column = heat[:, :1], region[:, :1]
    for score in (pointing_game, contrast_to_noise, mean_threshold_iou, region_area):
        assert float(score(heat, region)) == pytest.approx(float(score(*column)), nan_ok=True)


@pytest.mark.parametrize(
    ("heat", "region"),
    [
        pytest.param(torch.rand(2, 2), torch.zeros(2, 2), id="empty region"),
        pytest.param(torch.full((2, 2), NAN), torch.ones(2, 2), id="no answer at all"),
        pytest.param(torch.tensor([[0.1, NAN]]), torch.tensor([[0, 1]]), id="region outside the crop"),
    ],
)
def test_sentence_without_a_pixel_of_its_region_has_no_number(heat, region):
    scores = grounding_scores([heat], [region])
    assert np.isnan([scores.pointing[0], scores.contrast_to_noise[0], scores.miou[0], scores.area[0]]).all()
    assert scores.to_dict() == {
        "sentences": 0,
        "pointing": None,
        "contrast_to_noise": None,
        "signed_contrast_to_noise": None,
        "miou": None,
        "area": None,
    }


def test_region_that_fills_the_image_has_no_contrast():
    scores = grounding_scores([torch.rand(2, 2)], [torch.ones(2, 2)])
    assert scores.pointing[0] == scores.area[0] == 1.0
    assert math.isnan(scores.contrast_to_noise[0])


def test_no_sentence_gives_empty_scores():
    scores = grounding_scores([], [])
    assert scores.pointing.shape == (0,)
    assert scores.to_dict()["sentences"] == 0


def test_images_of_different_sizes_are_scored_and_the_summary_is_json():
    scores = grounding_scores([torch.eye(2), torch.eye(3)], [torch.eye(2), torch.zeros(3, 3)])
    summary = scores.to_dict()
    assert summary["sentences"] == 1
    assert summary["pointing"] == 1.0
    json.dumps(summary, allow_nan=False)


def test_batched_functions_equal_single_ones():
    pairs = [drawn(seed, coarse=True) for seed in range(6)]
    maps, regions = (torch.stack(side).reshape(2, 3, 6, 7) for side in zip(*pairs, strict=True))
    for score in (pointing_game, contrast_to_noise, mean_threshold_iou, region_area):
        single = torch.stack([score(*pair) for pair in pairs]).reshape(2, 3)
        assert torch.equal(score(maps, regions).nan_to_num(-9), single.nan_to_num(-9))


def test_threshold_is_exclusive_and_an_option():
    heat, region = torch.tensor([[0.5, 0.6]]), torch.tensor([[1, 1]])
    assert float(mean_threshold_iou(heat, region, thresholds=(0.5,))) == 0.5
    assert float(mean_threshold_iou(heat, region, thresholds=(0.0, 1.0))) == 0.5


def test_threshold_is_exclusive_in_the_precision_of_the_map():
    region = torch.tensor([[1, 0]])
    for dtype in (torch.float32, torch.float64):
        heat = torch.tensor([[0.9, 0.2]], dtype=dtype)
        assert float(mean_threshold_iou(heat, region, thresholds=(0.2,))) == 1.0


def test_arrays_and_integer_masks_are_taken():
    scores = grounding_scores([np.array([[0.1, 0.9]], dtype=np.float32)], [np.array([[0, 255]], dtype=np.uint8)])
    assert scores.pointing[0] == 1.0


@pytest.mark.parametrize(
    ("maps", "regions", "message"),
    [
        pytest.param([torch.eye(2)], [], "must be as many, got 1 and 0", id="numbers"),
        pytest.param(
            [torch.eye(2), torch.eye(2)], [torch.eye(2), torch.eye(3)], "of sentence 1 must share", id="shapes"
        ),
        pytest.param([torch.ones(2)], [torch.ones(2)], r"of sentence 0 must share one shape \(H, W\)", id="dimensions"),
        pytest.param([torch.tensor([[math.inf]])], [torch.ones(1, 1)], "sentence 0 holds infinities", id="infinity"),
    ],
)
def test_ill_pair_is_named(maps, regions, message):
    with pytest.raises(ValueError, match=message):
        grounding_scores(maps, regions)


def test_thresholds_must_not_be_empty():
    with pytest.raises(ValueError, match="thresholds must hold at least one"):
        mean_threshold_iou(torch.eye(2), torch.eye(2), thresholds=())


def test_functions_refuse_shapes_that_differ():
    with pytest.raises(ValueError, match="must share one shape"):
        pointing_game(torch.eye(2), torch.eye(3))
