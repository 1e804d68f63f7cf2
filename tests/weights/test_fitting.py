"""Strict loading, position embeddings of another grid, input channels of another number."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from monai_place.networks import RadiographEncoder
from monai_place.weights import (
    WeightsError,
    adapt_vit_state,
    expand_input_channels,
    load_weights,
    resize_position_embedding,
)

KWARGS = {"embed_dim": 48, "depth": 1, "num_heads": 2}


def encoder(seed: int = 0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = {"image_size": 64, "kwargs": KWARGS, **options}
        return RadiographEncoder("vit_tiny_patch16_224", **settings).eval()


def test_a_strict_load_lists_what_is_missing_unexpected_and_misshapen_and_changes_nothing():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(3), "head.bias": torch.ones(2)}
    with pytest.raises(WeightsError) as caught:
        load_weights(module, state)
    message = str(caught.value)
    assert "2 missing: 1.weight, 1.bias" in message
    assert "1 unexpected: head.bias" in message
    assert "0.bias (3,), expected (2,)" in message
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_long_lists_are_cut_and_counted():
    module = nn.ModuleList(nn.Linear(1, 1) for _ in range(20))
    with pytest.raises(WeightsError, match=r"40 missing: .* and 30 more"):
        load_weights(module, {"other": torch.ones(1)})


def test_a_prefix_cuts_a_part_out_of_a_whole_model():
    module = nn.Linear(2, 1)
    state = {"part.weight": torch.ones(1, 2), "part.bias": torch.zeros(1), "rest.weight": torch.ones(5)}
    load_weights(module, state, prefix="part.")
    assert module.weight.tolist() == [[1, 1]]


def test_a_prefix_that_nothing_has_is_an_error_even_where_not_strict():
    with pytest.raises(WeightsError, match=r"prefix 'vit\.'"):
        load_weights(nn.Linear(2, 1), {"weight": torch.ones(1, 2)}, prefix="vit.", strict=False)


def test_a_tolerant_load_reports_and_logs_what_it_left_alone(caplog):
    module = nn.Linear(2, 1)
    with caplog.at_level(logging.WARNING):
        report = load_weights(module, {"weight": torch.ones(1, 2), "head": torch.ones(1)}, strict=False)
    assert (report.missing, report.unexpected) == (("bias",), ("head",))
    assert "bias" in caplog.text
    assert "head" in caplog.text


def test_a_tolerant_load_still_refuses_another_shape():
    with pytest.raises(WeightsError, match=r"weight \(2, 2\), expected \(1, 2\)"):
        load_weights(nn.Linear(2, 1), {"weight": torch.ones(2, 2), "bias": torch.ones(1)}, strict=False)


def test_a_resized_position_embedding_equals_timm_s_and_keeps_its_prefix(caplog):
    from timm.layers import resample_abs_pos_embed

    position = torch.rand(1, 2 + 16, 8, generator=torch.Generator().manual_seed(0))
    with caplog.at_level(logging.INFO):
        resized = resize_position_embedding(position, (3, 7), prefix_tokens=2)
    expected = resample_abs_pos_embed(position, new_size=[3, 7], old_size=[4, 4], num_prefix_tokens=2)
    assert torch.equal(resized, expected)
    assert torch.equal(resized[:, :2], position[:, :2])
    assert "4 x 4 to 3 x 7" in caplog.text


def test_a_position_embedding_of_the_same_grid_is_untouched(caplog):
    position = torch.rand(1, 17, 8)
    with caplog.at_level(logging.INFO):
        assert resize_position_embedding(position, (4, 4)) is position
    assert not caplog.text


def test_a_constant_position_embedding_stays_constant():
    resized = resize_position_embedding(torch.full((1, 16, 4), 0.3), (9, 5), prefix_tokens=0)
    assert torch.allclose(resized, torch.tensor(0.3), atol=1e-6)


def test_a_non_square_grid_must_be_told():
    position = torch.rand(1, 1 + 6, 8)
    with pytest.raises(WeightsError, match="6 patches"):
        resize_position_embedding(position, (4, 4))
    assert resize_position_embedding(position, (4, 4), source_grid=(2, 3)).shape == (1, 17, 8)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_a_grey_image_in_three_channels_gives_the_features_of_one(stem):
    grey, color = encoder(stem=stem), encoder(seed=1, stem=stem, in_channels=3)
    load_weights(color.vit, adapt_vit_state(grey.vit.state_dict(), color.vit))
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(color(image.expand(-1, 3, -1, -1))[0], grey(image)[0], atol=1e-5)


def test_three_channels_become_one_and_back():
    weight = torch.rand(4, 3, 2, 2)
    one = expand_input_channels(weight, 1)
    assert torch.allclose(one, weight.sum(dim=1, keepdim=True))
    assert torch.allclose(expand_input_channels(one, 3).sum(dim=1, keepdim=True), one)


def test_four_channels_into_three_is_refused():
    with pytest.raises(WeightsError, match="4 input channels, 3 are wanted"):
        expand_input_channels(torch.zeros(2, 4, 1, 1), 3)


def test_weights_of_another_image_size_load_after_adapting():
    small, large = encoder(), encoder(seed=1, image_size=96)
    state = small.vit.state_dict()
    with pytest.raises(WeightsError, match="pos_embed"):
        load_weights(large.vit, state)
    load_weights(large.vit, adapt_vit_state(state, large.vit))
    assert large.vit.pos_embed.shape == (1, 1 + 36, 48)


def test_a_vit_without_position_for_its_class_token_is_adapted():
    kwargs = {**KWARGS, "no_embed_class": True}
    small, large = encoder(kwargs=kwargs), encoder(kwargs=kwargs, image_size=96)
    load_weights(large.vit, adapt_vit_state(small.vit.state_dict(), large.vit))
    assert large.vit.pos_embed.shape == (1, 36, 48)


def test_weights_with_the_other_stem_do_not_fit():
    conv, patch = encoder(stem="conv"), encoder(stem="patch")
    state = adapt_vit_state(conv.vit.state_dict(), patch.vit)
    with pytest.raises(WeightsError, match=r"patch_embed\.proj"):
        load_weights(patch.vit, state)


def test_weights_of_the_same_grid_stay_as_they_are_though_not_square(caplog):
    one, other = encoder(image_size=(128, 32)), encoder(seed=1, image_size=(128, 32))  # 8 x 2 patches, not 4 x 4
    with caplog.at_level(logging.WARNING):
        load_weights(other.vit, adapt_vit_state(one.vit.state_dict(), other.vit))
    assert torch.equal(other.vit.pos_embed, one.vit.pos_embed)
    assert "taken for one of 8 x 2 patches, not for a square" in caplog.text


def test_a_square_is_resampled_where_its_grid_is_told_or_guessed(caplog):
    square, flat, larger = encoder(), encoder(seed=1, image_size=(128, 32)), encoder(seed=1, image_size=96)
    told = adapt_vit_state(square.vit.state_dict(), flat.vit, source_grid=(4, 4))
    assert not torch.equal(told["pos_embed"], square.vit.pos_embed)
    with caplog.at_level(logging.INFO):
        adapt_vit_state(square.vit.state_dict(), larger.vit)
    assert "from 4 x 4 to 6 x 6 patches, the first taken for a square" in caplog.text


def test_another_grid_that_is_no_square_says_where_its_weights_load():
    flat, square = encoder(image_size=(96, 32)), encoder()
    with pytest.raises(WeightsError, match=r"12 patches, expected a square, .* 4 x 4; .* at the image size that they"):
        adapt_vit_state(flat.vit.state_dict(), square.vit)
