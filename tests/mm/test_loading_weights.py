"""Loading into the backbone tells what was missing and what was left over, and raises where nothing fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_place.mm import PLACEViT
from monai_place.mm.loading_weights import load_backbone
from monai_place.weights import WeightsError


def vit(**options: Any) -> Any:
    kwargs = {"embed_dim": 24, "depth": 2, "num_heads": 2}
    return PLACEViT("place_tiny", img_size=32, arch_kwargs=kwargs, **options).vit


def test_missing_and_left_over_keys_are_listed() -> None:
    state = dict(vit().state_dict())
    del state["norm.weight"]
    report = load_backbone(vit(), {**state, "head.weight": torch.ones(1)})
    assert (report.missing, report.unexpected) == (("norm.weight",), ("head.weight",))


def test_no_block_at_all_raises() -> None:
    with pytest.raises(
        WeightsError, match=r"no block of the encoder is among the weights; their keys begin like \['pos_embed'\]"
    ):
        load_backbone(vit(), {"pos_embed": vit().state_dict()["pos_embed"]})


def test_blocks_behind_another_stem_raise_and_name_it() -> None:
    plain = vit(stem="patch")
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    with pytest.raises(WeightsError, match=r"of another stem: it has \['patch_embed.proj.layers.0.weight', .*expected"):
        load_backbone(plain, vit().state_dict())
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())


def test_blocks_of_another_width_are_told_as_such_whatever_the_stem() -> None:
    wide = PLACEViT(
        "place_tiny", img_size=32, stem="patch", arch_kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2}
    ).vit
    with pytest.raises(WeightsError, match=r"do not fit VisionTransformer.*of another shape"):
        load_backbone(wide, vit().state_dict())


def test_position_embedding_is_fitted_to_the_image_size() -> None:
    kwargs = {"embed_dim": 24, "depth": 2, "num_heads": 2}
    larger = PLACEViT("place_tiny", img_size=64, arch_kwargs=kwargs).vit
    assert load_backbone(larger, vit().state_dict()).missing == ()
    assert larger.pos_embed.shape == (1, 17, 24)
