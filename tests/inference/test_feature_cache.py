"""The cache of features: what its key holds, blocks that are half written or damaged, several processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

import monai_place
from monai_place.inference.encoders import load_encoder
from monai_place.inference.feature_cache import FeatureCache, file_identity
from tests.support.processes import run_ranks

ROWS = torch.arange(6.0).reshape(3, 2)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    made = FeatureCache(tmp_path / "cache")
    made.store("key", ["a", "b", "c"], ROWS)
    return made


def only_block(cache: FeatureCache) -> Path:
    (block,) = (cache.folder / "key").iterdir()
    return block


def test_what_was_stored_is_there_under_its_key_alone(cache: FeatureCache) -> None:
    assert torch.equal(cache.load("key", ["c"])["c"], ROWS[2])
    assert cache.load("key", ["a", "z"]).keys() == {"a"}
    assert cache.load("other", ["a"]) == {}
    cache.store("key", ["d"], torch.ones(1, 2))
    assert cache.load("key", ["a", "d"]).keys() == {"a", "d"}


def test_features_of_any_shape_are_kept(cache: FeatureCache) -> None:
    cache.store("observations", ["a"], torch.ones(1, 4, 3))
    assert cache.load("observations", ["a"])["a"].shape == (4, 3)
    cache.store("nothing", [], torch.ones(0, 3))
    assert not (cache.folder / "nothing").exists()
    with pytest.raises(ValueError, match="2 images have 1 rows"):
        cache.store("key", ["a", "b"], torch.ones(1, 2))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "of another key", "half written"])
def test_a_block_that_is_not_whole_is_as_if_it_were_not_there(
    cache: FeatureCache, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    block = only_block(cache)
    data = bytearray(block.read_bytes())
    if damage == "truncated":
        block.write_bytes(data[:-3])
    elif damage == "flipped":
        data[-1] ^= 1
        block.write_bytes(data)
    elif damage == "emptied":
        block.write_bytes(b"")
    elif damage == "of another key":
        shutil.copytree(block.parent, cache.folder / "stolen")
        assert cache.load("stolen", ["a"]) == {}
        return
    else:
        block.rename(block.with_name(f".{block.name}.x.tmp.safetensors"))
    assert cache.load("key", ["a"]) == {}
    assert ("computed anew" in caplog.text) == (damage != "half written")
    cache.store("key", ["a", "b", "c"], ROWS)
    assert torch.equal(cache.load("key", ["a"])["a"], ROWS[0])


def test_several_processes_fill_one_cache(tmp_path: Path) -> None:
    run_ranks(fill, tmp_path, ranks=3)
    cache = FeatureCache(tmp_path)
    assert len(list((tmp_path / "key").iterdir())) == 20, "the same images are the same block"
    found = cache.load("key", [str(number) for number in range(20)])
    assert [float(found[str(number)][0]) for number in range(20)] == [float(number) for number in range(20)]


def fill(_rank: int, folder: Path) -> None:
    for number in range(20):
        FeatureCache(folder).store("key", [str(number)], torch.full((1, 100), float(number)))


def test_a_file_is_known_by_its_place_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    first = file_identity(file)
    os.utime(file, ns=(0, 1))
    changed = file_identity(file)
    file.write_bytes(b"more")
    os.utime(file, ns=(0, 1))
    longer = file_identity(file)
    (tmp_path / "b.png").symlink_to(file)
    assert len({first, changed, longer}) == 3
    assert file_identity(tmp_path / "b.png") == longer
    with pytest.raises(FileNotFoundError):
        file_identity(tmp_path / "gone.png")


def test_the_key_holds_encoder_kind_and_version(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, other = load_encoder(model_folder), load_encoder(model_folder, weights="random")
    keys = {
        FeatureCache.key(encoder, "global"),
        FeatureCache.key(encoder, "patch_mean"),
        FeatureCache.key(other, "global"),
    }
    assert len(keys) == 3
    assert FeatureCache.key(encoder, "global") in keys
    monkeypatch.setattr(monai_place, "__version__", "9.9.9")
    assert FeatureCache.key(encoder, "global") not in keys
