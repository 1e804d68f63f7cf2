"""Weights of unknown origin: nothing of them runs, nothing of them fills the memory, and the error says why."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from monai_place.inference import load_place
from monai_place.weights import WeightsError, read_state_dict
from tests.support.models import save_tiny_place, tiny_place


class Call:
    """Pickles as a call that is made when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def touch(marker: Path) -> Call:
    return Call(os.system, f"touch '{marker}'")


def archive(path: Path, pickled: bytes, *, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> Path:
    """Write what `torch.save` would, with a pickle of our own."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/byteorder", b"little")
        file.writestr("archive/version", b"3\n")
        for name, data in entries.items():
            file.writestr(f"archive/{name.replace('__', '/')}", data)
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        pytest.param(touch, "system", id="os.system"),
        pytest.param(lambda marker: Call(eval, f"open({str(marker)!r}, 'w')"), "builtins.eval", id="eval"),
        pytest.param(lambda marker: torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear", id="module"),
        pytest.param(lambda marker: Call(bytearray, 10**13), "builtins.bytearray", id="allocation"),
    ],
)
def test_a_checkpoint_that_calls_something_is_refused_by_name_and_nothing_runs(tmp_path, make, named):
    marker = tmp_path / "marker"
    file = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(2), "payload": make(marker)}, file)
    with pytest.raises(WeightsError, match=named) as caught:
        read_state_dict(file)
    assert "weights.pt" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not marker.exists()


def test_a_checkpoint_nested_in_the_bytes_of_a_storage_is_refused(tmp_path):
    marker = tmp_path / "marker"
    inner = io.BytesIO()
    torch.save({"payload": touch(marker)}, inner)
    torch.save({"weight": Call(torch.storage._load_from_bytes, inner.getvalue())}, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="_load_from_bytes"):
        read_state_dict(tmp_path / "weights.pt")
    assert not marker.exists()


def test_a_name_put_together_while_unpickling_is_refused(tmp_path):
    marker = tmp_path / "marker"
    pickled = pickle.dumps({"weight": touch(marker)}, protocol=4)  # STACK_GLOBAL
    with pytest.raises(WeightsError, match="STACK_GLOBAL"):
        read_state_dict(archive(tmp_path / "weights.pt", pickled))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "weights.bin"])
def test_a_bare_pickle_is_never_unpickled_whatever_its_name(tmp_path, name):
    marker = tmp_path / "marker"
    (tmp_path / name).write_bytes(pickle.dumps(touch(marker)))
    with pytest.raises(WeightsError, match=name):
        read_state_dict(tmp_path / name)
    assert not marker.exists()


def test_a_file_of_torch_before_1_6_is_refused_with_a_way_out(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"old\.pth.*torch < 1\.6.*safetensors"):
        read_state_dict(tmp_path / "old.pth")


def test_a_torchscript_program_with_the_name_of_weights_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="TorchScript"):
        read_state_dict(tmp_path / "weights.pt")


def test_a_torchscript_program_with_the_name_of_safetensors_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.safetensors: not a whole safetensors file"):
        read_state_dict(tmp_path / "weights.safetensors")


def test_a_compressed_archive_is_refused_before_it_is_inflated(tmp_path):
    bomb = tmp_path / "bomb.pt"
    zeros = 64 << 20
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        file.writestr("archive/data/0", bytes(zeros))
    assert bomb.stat().st_size < zeros / 100
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=r"compressed.*bomb"):
        read_state_dict(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < zeros / 2 / 1024  # ru_maxrss is in KiB


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    """One stored entry, listed a thousand times: the central directory claims a thousand times the file."""
    payload = bytes(1 << 16)
    file = tmp_path / "overlap.pt"
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        written.writestr("archive/data/0", payload)
        entry = written.getinfo("archive/data/0")
        for index in range(1, 1000):
            copy = zipfile.ZipInfo(f"archive/data/{index}")
            copy.header_offset, copy.CRC = entry.header_offset, entry.CRC
            copy.file_size = copy.compress_size = len(payload)
            written.filelist.append(copy)
            written.NameToInfo[copy.filename] = copy
    with pytest.raises(WeightsError, match="claim more than the file"):
        read_state_dict(file)


def test_a_tensor_of_terabytes_made_of_four_bytes_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1).expand(1 << 40)}, tmp_path / "expanded.pt")
    with pytest.raises(WeightsError, match="claims more values than are stored"):
        read_state_dict(tmp_path / "expanded.pt")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    file = tmp_path / f"weights.{suffix}"
    state = {f"layer.{index}": torch.rand(50, 50) for index in range(4)}
    torch.save(state, file) if suffix == "pt" else save_file(state, file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match="weights"):
        read_state_dict(file)


def test_a_flipped_bit_anywhere_in_a_torch_file_is_found_or_harmless(tmp_path):
    file = tmp_path / "weights.pt"
    state = {"a": torch.rand(40, 40), "b": torch.arange(7)}
    torch.save(state, file)
    data = file.read_bytes()
    found = 0
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(data), (150,), generator=generator).tolist()
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        try:
            read = read_state_dict(file)
        except WeightsError:
            found += 1
        else:  # padding between entries, dates: nothing of the weights
            assert list(read) == list(state)
            assert all(torch.equal(read[key], value) for key, value in state.items())
    assert found > len(places) / 2


def _safetensors(path: Path, header: dict[str, Any], data: bytes = b"") -> Path:
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


@pytest.mark.parametrize(
    ("header", "data"),
    [
        pytest.param(
            {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, bytes(4), id="past-end"
        ),
        pytest.param(
            {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, bytes(4), id="overlap"
        ),
        pytest.param({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4), id="shape"),
        pytest.param({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8), id="hole"),
        pytest.param({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 4]}}, bytes(4), id="dtype"),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(tmp_path, header, data):
    with pytest.raises(WeightsError, match=r"lies\.safetensors"):
        read_state_dict(_safetensors(tmp_path / "lies.safetensors", header, data))


def test_a_safetensors_header_longer_than_the_file_is_refused(tmp_path):
    (tmp_path / "long.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    with pytest.raises(WeightsError, match=r"long\.safetensors"):
        read_state_dict(tmp_path / "long.safetensors")


def test_a_file_of_a_hundred_thousand_tensors_is_refused_in_bounded_time(tmp_path):
    count = 100_000
    header = {f"t{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(count)}
    file = _safetensors(tmp_path / "many.safetensors", header, bytes(count))
    start = time.process_time()
    with pytest.raises(WeightsError, match="100000 tensors, at most"):
        read_state_dict(file)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([torch.zeros(1)], id="list"),
        pytest.param({"weight": "text"}, id="text"),
        pytest.param({1: torch.zeros(1)}, id="number-as-key"),
        pytest.param({"state_dict": [1]}, id="wrapped-list"),
    ],
)
def test_a_file_that_holds_anything_but_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="expected a"):
        read_state_dict(tmp_path / "weights.pt")


BERT = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 40}


def test_a_folder_with_safetensors_and_a_malicious_bin_is_read_from_the_safetensors(tmp_path):
    marker = tmp_path / "marker"
    bert = BertModel(BertConfig(**BERT), add_pooling_layer=False)
    bert.save_pretrained(tmp_path / "bert")
    torch.save({"payload": touch(marker)}, tmp_path / "bert" / "pytorch_model.bin")
    model = tiny_place(report_name=str(tmp_path / "bert"))
    expected = bert.embeddings.word_embeddings.weight
    assert torch.equal(model.report_encoder.bert.embeddings.word_embeddings.weight, expected)
    assert not marker.exists()


def test_a_folder_with_a_malicious_bin_alone_is_refused(tmp_path):
    marker = tmp_path / "marker"
    BertConfig(**BERT).save_pretrained(tmp_path / "bert")
    torch.save({"payload": touch(marker)}, tmp_path / "bert" / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"(?i)weights.?only|safetensors|unsupported"):
        tiny_place(report_name=str(tmp_path / "bert"))
    assert not marker.exists()


def test_a_malicious_file_of_image_weights_is_refused(tmp_path):
    marker = tmp_path / "marker"
    torch.save({"cls_token": torch.zeros(1), "payload": touch(marker)}, tmp_path / "image.pt")
    with pytest.raises(Exception, match=r"(?i)weights.?only|system"):
        tiny_place(stem="patch", image_weights=str(tmp_path / "image.pt"))
    assert not marker.exists()


def test_a_model_folder_with_a_malicious_state_dict_is_refused(tmp_path):
    marker = tmp_path / "marker"
    save_tiny_place(tmp_path / "model")
    torch.save({"payload": touch(marker)}, tmp_path / "model" / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt.*system"):
        load_place(tmp_path / "model")
    assert not marker.exists()
