"""Tensors are written whole or not at all, and a write that fails says what the system says."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.weights import read_safetensors, read_state_dict
from monai_place.weights.writing import write_safetensors, write_state_dict

Write = Callable[[Path, dict[str, torch.Tensor]], Any]
WAYS = [
    pytest.param(write_state_dict, ".pt", id="torch"),
    pytest.param(write_safetensors, ".safetensors", id="safetensors"),
]


@pytest.fixture
def small_files() -> Iterator[None]:
    """A real limit of the system on a file's size, which ends a write in its middle as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(("write", "suffix"), WAYS)
def test_what_is_written_is_read_again(tmp_path: Path, write: Write, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", {"weight": torch.arange(6.0)})
    assert read_state_dict(tmp_path / f"a{suffix}")["weight"].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_same_tensors_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        write_state_dict(tmp_path / name, {"weight": torch.arange(6.0)})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_metadata_is_in_the_header(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"weight": torch.ones(1)}, {"key": "value"})
    assert read_safetensors(tmp_path / "a.safetensors")[1] == {"key": "value"}


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(("write", "suffix"), WAYS)
def test_a_write_that_fails_half_way_says_why_and_keeps_the_old_file(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, {"weight": torch.ones(1)})
    before = path.read_bytes()
    with pytest.raises(OSError, match="File too large"):
        write(path, {"weight": torch.zeros(100_000)})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
