"""State dicts from honest files; hostile ones are in tests/security/test_checkpoints.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monai_place.weights import WeightsError, read_state_dict


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "bin", "safetensors"])
def test_what_was_written_is_read_in_every_format(tmp_path, suffix):
    state = {"a": torch.rand(3, 4), "b": torch.arange(5), "c": torch.tensor(2.0).half()}
    file = tmp_path / f"weights.{suffix}"
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    read = read_state_dict(file)
    assert list(read) == list(state)
    assert all(torch.equal(read[key], value) and read[key].dtype == value.dtype for key, value in state.items())


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_state_dict_inside_a_training_checkpoint_is_taken_out(tmp_path, key):
    torch.save({"epoch": 3, key: {"a": torch.ones(2)}, "optimizer": {"lr": 0.1}}, tmp_path / "last.pt")
    assert read_state_dict(tmp_path / "last.pt")["a"].tolist() == [1, 1]


def test_a_parameter_is_read_as_a_plain_tensor_without_gradient(tmp_path):
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "weights.pt")
    assert not read_state_dict(tmp_path / "weights.pt")["a"].requires_grad


def curves_of_mmengine():
    """Return what the message hub of MMEngine's Runner keeps, in every checkpoint."""
    buffers = pytest.importorskip("mmengine.logging")
    return {
        "log_scalars": {"loss": buffers.HistoryBuffer([1.0, 2.0], [1, 1])},
        "runtime_info": {"best": np.float64(0.5)},
    }


def test_checkpoint_of_mmengines_runner_is_read_and_its_curves_are_passed_over(tmp_path):
    torch.save({"message_hub": curves_of_mmengine(), "state_dict": {"a": torch.ones(2)}}, tmp_path / "iter_4.pth")
    before = set(torch.serialization.get_safe_globals())
    assert read_state_dict(tmp_path / "iter_4.pth")["a"].tolist() == [1, 1]
    assert set(torch.serialization.get_safe_globals()) == before


def test_what_is_passed_over_is_no_weight(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2), "curves": curves_of_mmengine()}}, tmp_path / "iter_4.pth")
    with pytest.raises(WeightsError, match="entry 'curves' is a dict, expected a tensor"):
        read_state_dict(tmp_path / "iter_4.pth")
    torch.save({"a": torch.ones(2), "b": np.float64(1)}, tmp_path / "iter_4.pth")
    with pytest.raises(WeightsError, match=r"iter_4.pth: entry 'b' is a .*, expected a tensor"):
        read_state_dict(tmp_path / "iter_4.pth")


class Chained:
    """What pickle turns into `getattr(getattr("", "__class__"), "__base__")`, the first steps to any function."""

    def __init__(self, steps):
        self.steps = steps

    def __reduce__(self):
        return getattr, (Chained(self.steps[:-1]) if self.steps[1:] else "", self.steps[-1])


def test_what_is_passed_over_is_never_called(tmp_path, monkeypatch):
    torch.save({"state_dict": {"a": torch.ones(2)}, "b": Chained(["__class__", "__base__"])}, tmp_path / "a.pt")
    content = torch.load  # what torch hands over, before all but the weights is dropped
    seen = []
    monkeypatch.setattr(torch, "load", lambda *given, **options: seen.append(content(*given, **options)) or seen[-1])
    assert read_state_dict(tmp_path / "a.pt")["a"].tolist() == [1, 1]
    assert type(seen[0]["b"]).__name__ == "_Ignored"
    assert vars(seen[0]["b"]) == {}


def test_tensors_that_share_a_storage_are_no_bomb(tmp_path):
    shared = torch.rand(10)
    torch.save({"a": shared, "b": shared[:5], "c": shared.view(2, 5).t()}, tmp_path / "weights.pt")
    read = read_state_dict(tmp_path / "weights.pt")
    assert torch.equal(read["c"], shared.view(2, 5).t())


def test_tensors_stay_readable_when_the_file_is_replaced(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({"a": torch.ones(1000)}, file)
    read = read_state_dict(file)
    torch.save({"a": torch.zeros(1000)}, tmp_path / "new.pt")
    (tmp_path / "new.pt").replace(file)
    assert bool((read["a"] == 1).all())


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt") as caught:
        read_state_dict(tmp_path / "nothing.pt")
    assert str(tmp_path) not in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(FileNotFoundError, match="folder"):
        read_state_dict(tmp_path / "folder.safetensors")


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"weights\.npz.*\.safetensors.*\.pt"):
        read_state_dict(tmp_path / "weights.npz")


def test_a_zip_file_of_something_else_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "notes.pt", "w") as file:
        file.writestr("notes/readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"data\.pkl"):
        read_state_dict(tmp_path / "notes.pt")
