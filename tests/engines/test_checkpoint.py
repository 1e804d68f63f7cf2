"""Training states are whole or absent, hold plain values, and tell when they were altered."""

from __future__ import annotations

import errno
import os
import resource
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_place.engines import CorruptCheckpointError, load_training_state, save_training_state
from tests.support.training import assert_same

STATE = {"iteration": 7, "model": {"weight": torch.arange(2000.0)}, "list": [1, None, ("a", True)], "rate": 1e-3}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "state.pt"
    save_training_state(path, STATE)
    return path


def test_what_is_saved_is_loaded(saved: Path) -> None:
    assert_same(load_training_state(saved), STATE)
    assert [path.name for path in saved.parent.iterdir()] == ["state.pt"]


def test_torch_reads_the_file_without_this_package(saved: Path) -> None:
    assert_same(torch.load(saved, weights_only=True), STATE)
    assert_same(torch.load(saved, weights_only=True, mmap=True), STATE)


def test_foreign_numbers_and_containers_become_plain(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    state = {
        "float": np.float64(0.5),
        "integer": np.int32(3),
        "array": np.arange(3.0),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "image": MetaTensor(torch.ones(2), affine=torch.eye(4)),
        "ordered": OrderedDict(a=1),
        "counter": Counter(a=2),
    }
    save_training_state(path, state)
    loaded = load_training_state(path)
    assert type(loaded["float"]) is float
    assert type(loaded["parameter"]) is type(loaded["image"]) is type(loaded["array"]) is torch.Tensor
    assert not loaded["parameter"].requires_grad
    assert type(loaded["counter"]) is Counter
    assert loaded["ordered"] == {"a": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param({"a": [Path("x")]}, r"state\['a'\]\[0\] is a \w*Path", id="path"),
        pytest.param({"a": {(1, 2): 3}}, r"state\['a'\] has the keys \[\(1, 2\)\]", id="key"),
        pytest.param({"a": np.array(["x"])}, r"state\['a'\] is a ndarray", id="strings of numpy"),
        pytest.param({"a": {1.5}}, r"state\['a'\] is a set", id="set"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(saved: Path, value: Any, message: str) -> None:
    before = saved.read_bytes()
    with pytest.raises(TypeError, match=message):
        save_training_state(saved, value)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 10, 100, 2000, -1, -70, -71, -100])
def test_a_truncated_file_is_corrupt(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint state\.pt is corrupt"):
        load_training_state(saved)


@pytest.mark.parametrize("where", [0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.985, 0.9999])
def test_one_flipped_bit_is_corrupt(saved: Path, where: float) -> None:
    data = bytearray(saved.read_bytes())
    data[int(where * len(data))] ^= 1
    saved.write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint state\.pt is corrupt"):
        load_training_state(saved)


def test_all_of_a_file_is_under_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "small.pt"
    save_training_state(path, {"a": 1})
    whole = path.read_bytes()
    for index in range(0, len(whole), 3):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0x40]) + whole[index + 1 :])
        with pytest.raises(CorruptCheckpointError):
            load_training_state(path)


def test_trailing_bytes_are_corrupt(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CorruptCheckpointError, match="no checksum at its end"):
        load_training_state(saved)


def test_a_plain_torch_file_is_no_training_state(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "other.pt")
    with pytest.raises(CorruptCheckpointError, match=r"other\.pt is corrupt: it has no checksum"):
        load_training_state(tmp_path / "other.pt")


def test_a_missing_file_is_not_called_corrupt(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_training_state(tmp_path / "none.pt")


def test_no_space_left_keeps_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)  # where a full disk tells of what the system had put off
        with pytest.raises(OSError, match="No space left"):
            save_training_state(saved, {"a": torch.zeros(5000)})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["state.pt"]


def test_a_write_that_fails_half_way_keeps_the_old_file(saved: Path) -> None:
    # A real limit of the system on a file's size, in the middle of torch's own writing.
    before = saved.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_training_state(saved, {"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["state.pt"]


def test_a_read_only_folder_is_an_error_and_keeps_the_old_file(saved: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes into read-only folders")
    before = saved.read_bytes()
    saved.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            save_training_state(saved, {"a": 1})
    finally:
        saved.parent.chmod(0o700)
    assert saved.read_bytes() == before
