"""The observation extractor (VPOE): attention, read-out, competition, and what cannot happen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from monai_place.networks import ObservationExtractor

B, N, E, D, K = 3, 9, 16, 6, 4
OPTIONS = [
    pytest.param({}, id="plain"),
    pytest.param({"slot_competition": True}, id="competition"),
    pytest.param({"local_keys": True}, id="local keys"),
    pytest.param({"depth": 0}, id="read-out alone"),
    pytest.param({"depth": 2, "slot_competition": True, "attention_temperature": 0.02}, id="all"),
]


def extractor(**options: Any) -> ObservationExtractor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ObservationExtractor(E, D, queries=K, **{"heads": 2, **options}).eval()


def tokens(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (B, N, E)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", OPTIONS)
def test_observation_is_the_normalized_mean_of_patch_values_under_its_attention(options: dict[str, Any]) -> None:
    observations, attention, values = extractor(**options)(tokens(0), tokens(1))
    assert (observations.shape, attention.shape, values.shape) == ((B, K, D), (B, K, N), (B, N, D))
    for study in range(B):
        for query in range(K):
            mean = sum(attention[study, query, patch] * values[study, patch] for patch in range(N))
            torch.testing.assert_close(observations[study, query], mean / mean.norm())


@pytest.mark.parametrize("options", OPTIONS)
def test_attention_of_each_query_is_a_distribution_over_the_patches(options: dict[str, Any]) -> None:
    _, attention, _ = extractor(**options)(tokens(0), tokens(1))
    assert attention.min() >= 0
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(B, K))


@pytest.mark.parametrize("options", OPTIONS)
def test_observations_have_unit_norm(options: dict[str, Any]) -> None:
    observations, _, _ = extractor(**options)(tokens(0), tokens(1))
    torch.testing.assert_close(observations.norm(dim=2), torch.ones(B, K))


def test_order_of_the_patches_moves_the_attention_and_nothing_else() -> None:
    model, order = extractor(), torch.randperm(N, generator=torch.Generator().manual_seed(0))
    observations, attention, _ = model(tokens(0), tokens(1))
    moved, moved_attention, _ = model(tokens(0)[:, order], tokens(1)[:, order])
    torch.testing.assert_close(moved, observations)
    torch.testing.assert_close(moved_attention, attention[:, :, order])


def test_where_all_patches_are_alike_no_query_can_add_anything_of_its_own() -> None:
    same = tokens(1)[:, :1].expand(B, N, E)
    observations, _, _ = extractor()(tokens(0), same)
    torch.testing.assert_close(observations, observations[:, :1].expand(B, K, D))


def test_studies_do_not_mix() -> None:
    model = extractor(slot_competition=True)
    together, _, _ = model(tokens(0), tokens(1))
    alone, _, _ = model(tokens(0)[1:2], tokens(1)[1:2])
    torch.testing.assert_close(together[1:2], alone)


def test_lower_temperature_sharpens_the_attention() -> None:
    def entropy(temperature: float) -> torch.Tensor:
        _, attention, _ = extractor(attention_temperature=temperature)(tokens(0), tokens(1))
        return -torch.special.xlogy(attention, attention).sum(dim=2).mean()

    assert entropy(0.01) < entropy(0.1) < entropy(1.0)


def test_competing_queries_leave_each_patch_to_one_of_them() -> None:
    _, attention, _ = extractor(slot_competition=True, attention_temperature=1e-6)(tokens(0), tokens(1))
    won_nothing = (attention - 1 / N).abs().amax(dim=2, keepdim=True) < 1e-3  # such a query looks everywhere alike
    noticed = ((attention > 1e-3) & ~won_nothing).sum(dim=1)  # (B, N): how many queries look at a patch
    assert noticed.max() == 1
    _, free, _ = extractor(attention_temperature=0.5)(tokens(0), tokens(1))
    assert (free > 1e-3).sum(dim=1).max() > 1


def test_local_keys_look_for_places_in_the_values_alone() -> None:
    model = extractor(local_keys=True, depth=0)
    _, attention, _ = model(tokens(0), tokens(1))
    _, same, _ = model(tokens(2), tokens(1))
    _, other, _ = model(tokens(0), tokens(2))
    assert torch.equal(attention, same)
    assert (attention - other).abs().max() > 1e-3


@pytest.mark.parametrize("options", OPTIONS)
def test_every_parameter_gets_a_gradient(options: dict[str, Any]) -> None:
    model = extractor(**options).train()
    observations, _, _ = model(tokens(0), tokens(1))
    (observations * tokens(2, B, K, D)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient for {name}"
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or name.endswith(("to_key.1.bias", "norm1.bias")), name


@pytest.mark.parametrize("value", [0.0, 1e4])
def test_constant_tokens_stay_finite(value: float) -> None:
    model = extractor(slot_competition=True)
    observations, attention, _ = model(torch.full((B, N, E), value), torch.full((B, N, E), value))
    observations.sum().backward()
    assert observations.isfinite().all()
    assert attention.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_bfloat16_autocast_is_close_to_float32() -> None:
    model = extractor()
    single, attention, _ = model(tokens(0), tokens(1))
    with torch.autocast("cpu", torch.bfloat16):
        half, half_attention, _ = model(tokens(0), tokens(1))
    assert (half.dtype, half_attention.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(half.norm(dim=2), torch.ones(B, K))
    assert F.cosine_similarity(half, single, dim=-1).min() > 0.99
    torch.testing.assert_close(half_attention, attention, rtol=0.2, atol=0.02)


@pytest.mark.parametrize("options", OPTIONS)
def test_scripted_extractor_gives_the_same_after_a_round_trip_through_a_file(
    options: dict[str, Any], tmp_path: Path
) -> None:
    model = extractor(**options)
    torch.jit.script(model).save(tmp_path / "extractor.ts")
    loaded = torch.jit.load(tmp_path / "extractor.ts")
    for left, right in zip(loaded(tokens(3), tokens(4)), model(tokens(3), tokens(4)), strict=True):
        torch.testing.assert_close(left, right)


def test_heads_that_do_not_share_out_the_features_raise() -> None:
    with pytest.raises(ValueError, match=r"heads is 3, expected a divisor of the token features \(16\)"):
        ObservationExtractor(16, D, heads=3)
