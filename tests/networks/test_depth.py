from __future__ import annotations

import pytest
import timm
from timm.models import group_parameters

from monai_place.networks.depth import vit_layer_depth


def test_it_is_timm_s_own_grouping_of_a_transformer() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=0)
    groups = group_parameters(vit, vit.group_matcher(coarse=False), reverse=True)
    for name, depth in groups.items():
        # The last norm is of the head's layer here, as in MMPretrain; timm counts it to the last block.
        assert vit_layer_depth(name, 3) == (depth + name.startswith("norm."), 5), name


@pytest.mark.parametrize("name", ["head.weight", "extractor.queries", "norm.bias"])
def test_what_is_no_part_of_a_block_or_the_embedding_is_of_the_last_layer(name: str) -> None:
    assert vit_layer_depth(name, 12) == (13, 14)
