"""Segments: ids packed and found again, files that are mapped and checked, damage that is named."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from monai_place.inference.index_segments import PackedIds, Segment, read_segment, unit_rows, write_segment
from monai_place.weights import WeightsError

TEXTS = ["study 1", "", "Straße/ö.dcm", "\udce4 odd bytes of a file name", "胸部.png", "x" * 5000]


def segment(rows=6, width=4):
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    return Segment(unit_rows(drawn, "embedding"), PackedIds.pack(TEXTS[:rows]))


def reread(folder, written, **change):
    values = {"rows": len(written), "width": 4, "sha256": written.sha256} | change
    return read_segment(folder, written.file, **values)


def test_ids_are_the_texts_that_were_packed():
    ids = PackedIds.pack(TEXTS)
    assert list(ids) == TEXTS
    assert [ids[index] for index in range(-6, 6)] == TEXTS * 2
    assert ids[1:3] == ("", "Straße/ö.dcm")
    with pytest.raises(IndexError, match="index 6 is out of range for 6 ids"):
        ids[6]
    assert list(PackedIds.pack([])) == []


def test_a_written_segment_is_the_same_and_is_whole(tmp_path):
    written = write_segment(tmp_path, segment())
    again = reread(tmp_path, written)
    assert torch.equal(again.embeddings, written.embeddings)
    assert list(again.ids) == TEXTS
    again.verify()
    assert [path.name for path in tmp_path.iterdir()] == [written.file]


def test_a_flipped_bit_is_found_by_verify(tmp_path):
    written = write_segment(tmp_path, segment())
    path = tmp_path / written.file
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"{written.file}: corrupt: not what was written"):
        reread(tmp_path, written).verify()


def test_embeddings_without_unit_norm_are_found_by_verify():
    with pytest.raises(WeightsError, match="index: 6 of 6 embeddings have not unit norm"):
        Segment(torch.zeros(6, 4), PackedIds.pack(TEXTS)).verify()
    with pytest.raises(WeightsError, match="6 of 6"):
        Segment(torch.full((6, 4), torch.nan), PackedIds.pack(TEXTS)).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"rows": 5}, r"embeddings \(6, 4\) and 6 ids, the index says 5 x 4", id="rows"),
        pytest.param({"width": 8}, "the index says 6 x 8", id="width"),
    ],
)
def test_a_segment_of_another_size_is_refused(tmp_path, change, message):
    written = write_segment(tmp_path, segment())
    with pytest.raises(WeightsError, match=message):
        reread(tmp_path, written, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"embeddings": torch.zeros(2, 4, dtype=torch.float64)}, "'embeddings' is missing or", id="type"),
        pytest.param({"ids": torch.zeros(1, 3, dtype=torch.uint8)}, "'ids' is missing or", id="dimensions"),
        pytest.param({"offsets": torch.tensor([0, 5, 3])}, "do not begin where they should", id="backwards"),
        pytest.param({"offsets": torch.tensor([0, 1, 9])}, "do not begin where they should", id="past the end"),
        pytest.param({"offsets": torch.tensor([-1, 1, 3])}, "do not begin where they should", id="before the start"),
        pytest.param({"offsets": torch.tensor([0, 3])}, "1 ids", id="too few"),
    ],
)
def test_a_file_that_is_no_segment_is_refused(tmp_path, change, message):
    tensors = {"embeddings": torch.zeros(2, 4), "ids": torch.zeros(3, dtype=torch.uint8)}
    save_file(tensors | {"offsets": torch.tensor([0, 1, 3])} | change, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=rf"a\.safetensors: corrupt: .*{message}"):
        read_segment(tmp_path, "a.safetensors", rows=2, width=4, sha256="")


def test_a_truncated_file_is_refused(tmp_path):
    written = write_segment(tmp_path, segment())
    path = tmp_path / written.file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=f"{written.file}: not a whole safetensors file"):
        reread(tmp_path, written)


def test_rows_of_unit_norm_stay_bit_for_bit_and_others_become_unit():
    rows = segment().embeddings
    assert torch.equal(unit_rows(rows, "query"), rows)
    assert torch.allclose(unit_rows(rows * 7, "query"), rows, atol=1e-6)
    with pytest.raises(ValueError, match="2 query rows are zero or not finite, such as row 1"):
        unit_rows(torch.tensor([[1.0], [0.0], [torch.inf]]), "query")
