"""The small helpers on torch.distributed, alone and among two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from monai_place.engines.ranks import (
    any_rank,
    current_rank,
    gather_bytes,
    run_on_first_rank,
    total_ranks,
    unwrap_network,
)
from tests.support.processes import in_group, run_ranks


def test_alone_everything_is_local() -> None:
    assert (current_rank(), total_ranks()) == (0, 1)
    assert any_rank(1) is True
    assert any_rank([]) is False
    assert gather_bytes(b"x") == [b"x"]
    done: list[int] = []
    run_on_first_rank(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        run_on_first_rank(lambda: 1 / 0)


def test_a_network_is_unwrapped() -> None:
    inner = nn.Linear(2, 1)
    assert unwrap_network(inner) is inner
    assert unwrap_network(nn.DataParallel(torch.compile(inner))) is inner  # type: ignore[arg-type]


@pytest.mark.dist
def test_two_ranks_agree(tmp_path: Path) -> None:
    run_ranks(agree, tmp_path)


def agree(rank: int, folder: Path) -> None:
    with in_group(rank, folder):
        assert (current_rank(), total_ranks()) == (rank, 2)
        assert any_rank(rank == 1)
        assert not any_rank(False)
        assert gather_bytes(b"x" * (rank * 1000)) == [b"", b"x" * 1000]
        run_on_first_rank((folder / "written").touch)
        assert (folder / "written").exists()
        # An error of rank 0 is an error of both: nobody waits for ever.
        with pytest.raises(
            ZeroDivisionError if rank == 0 else RuntimeError, match="division" if rank == 0 else "rank 0"
        ):
            run_on_first_rank(lambda: 1 / 0)
        network = nn.Linear(2, 1)
        assert unwrap_network(nn.parallel.DistributedDataParallel(network)) is network
        dist.barrier()
