"""Cutting a grid of tokens into windows, and joining them again."""

from __future__ import annotations

import pytest
import torch

from monai_place.mm.windows import WindowGrid, default_global_blocks


@pytest.mark.parametrize(
    ("rows", "columns", "side", "prefix"), [(4, 4, 2, 1), (5, 3, 2, 1), (3, 7, 4, 0), (2, 2, 4, 5), (1, 9, 3, 2)]
)
def test_joining_undoes_splitting(rows: int, columns: int, side: int, prefix: int) -> None:
    grid = WindowGrid(rows, columns, side, prefix)
    tokens = torch.randn(2, prefix + rows * columns, 6)
    torch.testing.assert_close(grid.join(grid.split(tokens)), tokens)


def test_a_window_holds_its_neighborhood_in_order() -> None:
    tokens = torch.arange(1.0, 17).reshape(1, 16, 1)  # a grid of 4 x 4, numbered by row
    cut = WindowGrid(4, 4, 2, 0).split(tokens)[..., 0].tolist()
    assert cut == [[1, 2, 5, 6], [3, 4, 7, 8], [9, 10, 13, 14], [11, 12, 15, 16]]


def test_every_window_gets_the_prefix_and_join_averages_its_copies() -> None:
    grid, tokens = WindowGrid(4, 4, 2, 1), torch.zeros(1, 17, 1)
    tokens[:, 0] = 7
    cut = grid.split(tokens)
    assert cut[:, 0, 0].tolist() == [7, 7, 7, 7]
    cut[:, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert grid.join(cut)[0, 0].item() == 3


def test_mask_hides_the_padding_and_only_that() -> None:
    assert WindowGrid(4, 4, 2, 1).mask(2, torch.device("cpu")) is None
    mask = WindowGrid(3, 2, 2, 1).mask(2, torch.device("cpu"))
    assert mask is not None
    expected = [[True] * 5, [True, True, True, False, False]]  # prefix, then the window's four patches
    assert mask[:, 0, 0].tolist() == expected * 2


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, (2, 5, 8, 11)), (24, (5, 11, 17, 23)), (4, (1, 3)), (3, (2,)), (1, (0,))]
)
def test_global_blocks_are_spread_evenly_and_end_with_the_last(depth: int, blocks: tuple[int, ...]) -> None:
    assert default_global_blocks(depth) == blocks
