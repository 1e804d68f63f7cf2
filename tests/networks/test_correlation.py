"""Patch correlations and the head that predicts them from tokens and report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from monai_place.networks import CorrelationHead, TokenCorrelationHead, feature_correlation, pixel_correlation

B, N, T = 2, 6, 5


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        pytest.param((2, 1, 12, 12), 4, id="gray"),
        pytest.param((1, 1, 8, 16), 4, id="not square"),
        pytest.param((2, 3, 8, 8), 4, id="three channels"),
        pytest.param((2, 1, 8, 8), 2, id="small patches"),
    ],
)
def test_pixel_correlation_is_that_of_numpy(shape: tuple[int, ...], patch: int) -> None:
    image = noise(*shape)
    result = pixel_correlation(image, patch, eps=1e-12)
    rows, columns = shape[2] // patch, shape[3] // patch
    for study in range(shape[0]):
        cut = [  # row by row, as a ViT numbers its patches
            image[study, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch].flatten().numpy()
            for row in range(rows)
            for column in range(columns)
        ]
        np.testing.assert_allclose(result[study].numpy(), np.corrcoef(np.stack(cut)), rtol=0, atol=1e-5)


def test_constant_patch_correlates_with_nothing_itself_included() -> None:
    image = noise(1, 1, 8, 8)
    image[:, :, :4, :4] = 3.0
    result = pixel_correlation(image, 4)
    assert result[0, 0].abs().max() < 1e-6
    assert result[0, :, 0].abs().max() < 1e-6
    torch.testing.assert_close(result.diagonal(dim1=1, dim2=2)[0, 1:], torch.ones(3), rtol=0, atol=1e-2)


def test_brightness_and_contrast_of_a_patch_do_not_matter() -> None:
    image = noise(1, 1, 8, 8)
    changed = image.clone()
    changed[:, :, :4, :4] = 3 * changed[:, :, :4, :4] - 5
    torch.testing.assert_close(pixel_correlation(changed, 4, eps=1e-12), pixel_correlation(image, 4, eps=1e-12))


def test_feature_correlation_is_that_of_numpy() -> None:
    tokens = noise(B, N, 7)
    for result, rows in zip(feature_correlation(tokens, eps=1e-12), tokens, strict=True):
        np.testing.assert_allclose(result.numpy(), np.corrcoef(rows.numpy()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e6])
def test_correlations_stay_within_bounds_and_finite(scale: float) -> None:
    for result in (pixel_correlation(scale * noise(2, 1, 8, 8), 4), feature_correlation(scale * noise(B, N, 7))):
        assert result.isfinite().all()
        assert result.abs().max() <= 1 + 1e-6
        torch.testing.assert_close(result, result.transpose(1, 2))


def test_targets_take_no_gradient_and_are_float32() -> None:
    image, tokens = noise(1, 1, 8, 8).requires_grad_(), noise(B, N, 7).requires_grad_()
    for result in (pixel_correlation(image.bfloat16(), 4), feature_correlation(tokens.bfloat16())):
        assert not result.requires_grad
        assert result.dtype == torch.float32


def head(**options: Any) -> CorrelationHead:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CorrelationHead(12, 10, **{"dim": 8, "patches": N, "heads": 2, **options})


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens, token states and attention mask; the second report has two tokens of padding."""
    return noise(B, N, 12, seed=seed), noise(B, T, 10, seed=seed + 1), torch.arange(T) < torch.tensor([[T], [T - 2]])


@pytest.mark.parametrize("depth", [1, 2])
def test_prediction_is_symmetric_and_one_matrix_a_study(depth: int) -> None:
    result = head(depth=depth)(*inputs())
    assert result.shape == (B, N, N)
    assert result.dtype == torch.float32
    assert torch.equal(result, result.transpose(1, 2))


def test_report_makes_a_difference_and_its_padding_none() -> None:
    model, (tokens, states, mask) = head(), inputs()
    expected = model(tokens, states, mask)
    padding = torch.where(mask.unsqueeze(-1), states, 99.0)
    torch.testing.assert_close(model(tokens, padding, mask), expected)
    assert (model(tokens, states.flip(0), mask) - expected).abs().max() > 1e-4


def test_mask_hides_other_patches_at_each_training_step_and_always_the_same_in_evaluation() -> None:
    model = head(mask_ratio=0.5).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(model(*inputs()), model(*inputs()))
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = torch.get_rng_state()
        assert torch.equal(model(*inputs()), model(*inputs()))
        assert torch.equal(torch.get_rng_state(), before)  # an evaluation must not shift the training that follows


def test_evaluation_of_a_study_does_not_depend_on_its_place_in_the_batch() -> None:
    model, (tokens, states, mask) = head(mask_ratio=0.5).eval(), inputs()
    torch.testing.assert_close(model(tokens[1:], states[1:], mask[1:]), model(tokens, states, mask)[1:])


def test_autocast_does_not_lower_the_precision_of_what_correlates() -> None:
    image, tokens = noise(2, 1, 8, 8), noise(B, N, 7)
    expected = pixel_correlation(image, 4), feature_correlation(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        found = pixel_correlation(image, 4), feature_correlation(tokens)
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))


def test_prediction_under_bfloat16_autocast_is_close_to_float32() -> None:
    model = head()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(*inputs())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, model(*inputs()), rtol=0, atol=0.02)


def test_hidden_patch_is_not_seen() -> None:
    model = head(mask_ratio=0.999).train()
    tokens, states, mask = inputs()
    results = []
    for seen in (tokens, noise(B, N, 12, seed=9)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            results.append(model(seen, states, mask))
    assert torch.equal(*results)


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_every_parameter_gets_a_gradient(ratio: float) -> None:
    model = head(mask_ratio=ratio, depth=2).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(*inputs()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient for {name}"
        assert parameter.grad.isfinite().all(), name


def test_report_without_a_single_token_stays_finite() -> None:
    model, (tokens, states, mask) = head(), inputs()
    mask = mask & torch.tensor([[True], [False]])
    result = model(tokens, states, mask)
    result.sum().backward()
    assert result.isfinite().all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_heads_that_do_not_share_out_the_width_raise() -> None:
    with pytest.raises(ValueError, match=r"heads is 3, expected a divisor of the width \(8\)"):
        head(heads=3)


def test_tokens_alone_predict_the_mean_product_of_their_two_projections_both_ways() -> None:
    head, tokens = TokenCorrelationHead(12, dim=8), noise(B, N, 12)
    result = head(tokens)
    normal = (tokens - tokens.mean(-1, keepdim=True)) / tokens.std(-1, correction=0, keepdim=True)
    left, right = head.left(normal), head.right(normal)
    for study in range(B):
        for a in range(N):
            for b in range(N):
                both = (left[study, a] @ right[study, b] + left[study, b] @ right[study, a]) / 2
                torch.testing.assert_close(result[study, a, b], both / 8, rtol=1e-3, atol=1e-4)


def test_tokens_head_gives_float32_and_a_gradient_under_autocast() -> None:
    head, tokens = TokenCorrelationHead(12, dim=8), noise(B, N, 12).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = head(tokens)
    result.square().sum().backward()
    assert result.dtype == torch.float32
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    assert tokens.grad is not None
