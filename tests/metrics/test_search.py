"""Exact search against sorting all scores, with few and many ties, by torch and by faiss, and its memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_place.metrics.search import SearchEngine, has_faiss, score_tiles, top_entries

ENGINES = [
    "torch",
    pytest.param(
        "faiss",
        marks=pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed"),
    ),
]


def unit(rows: int, width: int, seed: int, *, different: int | None = None, spread: float = 1.0) -> torch.Tensor:
    """Return random rows of unit norm; `different` of them differ, and they lie the closer, the smaller `spread` is."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(rows if different is None else different, width, generator=generator) * spread + 1
    if different is not None:
        drawn = drawn[torch.randint(0, different, (rows,), generator=generator)]
    return torch.nn.functional.normalize(drawn, dim=1)


def sort_all(queries: torch.Tensor, gallery: torch.Tensor, k: int) -> list[list[int]]:
    """Sort each row of all scores in float64; of equal ones the earlier entry comes first."""
    table = (queries.double()[:, None] * gallery.double()).sum(dim=-1).numpy()
    return [np.lexsort((np.arange(len(gallery)), -row))[:k].tolist() for row in table]


CASES = [
    pytest.param({}, id="distinct scores"),
    pytest.param({"different": 7}, id="every report many times"),
    pytest.param({"different": 1}, id="one report"),
    pytest.param({"spread": 1e-4}, id="closer than float32 can tell"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_chunks_and_parts_of_any_size_give_what_sorting_all_gives(case: dict[str, float], engine: SearchEngine) -> None:
    generator = np.random.default_rng(0)
    gallery, queries = unit(150, 16, 0, **case), unit(13, 16, 1, **case)
    for _ in range(12):
        k, chunk_size, query_chunk = (int(generator.integers(1, top)) for top in (170, 170, 16))
        cuts = sorted(generator.integers(0, 151, size=int(generator.integers(0, 4))).tolist())
        parts = list(torch.tensor_split(gallery, cuts))  # some of them empty
        sizes = {"k": k, "chunk_size": chunk_size, "query_chunk": query_chunk}
        found = top_entries(queries, parts, **sizes, engine=engine)
        assert found.places.tolist() == sort_all(queries, gallery, k), (sizes, cuts)
        expected = (queries.double() @ gallery.double().T).gather(1, found.places)
        assert torch.allclose(found.scores.double(), expected, atol=1e-7)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_of_ten_thousand_equal_reports_are_found(engine: SearchEngine) -> None:
    gallery = unit(3, 8, 0)[[0] * 5000 + [1] + [0] * 5000 + [2]]
    found = top_entries(gallery[5000:5001], gallery, k=4, chunk_size=999, engine=engine)
    assert found.places.tolist() == [[5000, *sort_all(gallery[5000:5001], gallery, 4)[0][1:]]]
    found = top_entries(gallery[:1], gallery, k=4, chunk_size=999, engine=engine)
    assert found.places.tolist() == [[0, 1, 2, 3]]


def test_nothing_to_ask_and_nothing_to_find_are_answers() -> None:
    assert top_entries(torch.zeros(0, 3), unit(4, 3, 0), k=2).places.shape == (0, 2)
    assert top_entries(unit(2, 3, 0), torch.zeros(0, 3), k=2).scores.shape == (2, 0)
    assert top_entries(unit(2, 3, 0), [], k=2, engine="torch").scores.shape == (2, 0)


def test_tiles_are_all_scores_once() -> None:
    queries, gallery = unit(11, 4, 0), unit(17, 4, 1)
    table = torch.full((11, 17), torch.nan, dtype=torch.float64)
    for rows, columns, scores in score_tiles(queries, gallery, query_chunk=3, chunk_size=5):
        assert table[rows, columns].isnan().all()
        table[rows, columns] = scores
    assert torch.allclose(table, queries.double() @ gallery.double().T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"queries": torch.ones(2, 4)}, r"must be \(Q, D\) and \(G, D\), got \(2, 4\)", id="widths"),
        pytest.param({"queries": torch.ones(3)}, "must be", id="one dimension"),
        pytest.param({"k": 0}, "k must be at least 1, got 0", id="k"),
        pytest.param({"chunk_size": 0}, "chunk_size must be at least 1", id="chunk"),
        pytest.param({"query_chunk": -1}, "query_chunk must be at least 1, got -1", id="queries"),
        pytest.param({"engine": "scann"}, r"engine must be one of \('auto', 'torch', 'faiss'\)", id="engine"),
    ],
)
def test_ill_argument_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"queries": torch.ones(2, 3), "gallery": torch.ones(4, 3), "k": 1} | change
    with pytest.raises(ValueError, match=message):
        top_entries(arguments.pop("queries"), arguments.pop("gallery"), **arguments)  # type: ignore[arg-type]


@pytest.mark.skipif(has_faiss(), reason="faiss is installed")
def test_faiss_that_is_asked_for_and_missing_is_named_with_the_way_out() -> None:
    with pytest.raises(ImportError, match="faiss is not installed; `pip install faiss-cpu`"):
        top_entries(torch.ones(1, 2), torch.ones(1, 2), k=1, engine="faiss")


MEASURE = """
import json, pathlib, torch
from monai_place.metrics.retrieval import precision_by_class, retrieval_ranks
from monai_place.metrics.search import top_entries

def growth(work):
    before = read("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    work()
    return read("VmHWM") - before

def read(name):
    return int(pathlib.Path("/proc/self/status").read_text().partition(name + ":")[2].split()[0]) / 1024

torch.set_num_threads(1)
rows = torch.nn.functional.normalize(torch.randn(40000, 16, generator=torch.Generator().manual_seed(0)), dim=1)
keys, labels = range(40000), [key % 5 for key in range(40000)]
top_entries(rows[:9], rows[:9], k=1)  # what is loaded on first use
print(json.dumps([
    growth(lambda: top_entries(rows[:1024], rows, k=10, engine="torch")),
    growth(lambda: retrieval_ranks(rows[:1024], rows, query_keys=keys[:1024], gallery_keys=keys)),
    growth(lambda: precision_by_class(rows[:1024], rows, labels[:1024], labels)),
]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is read from /proc")
def test_memory_is_that_of_a_tile_and_of_the_answers_however_large_the_gallery_is() -> None:
    # A tile of 1,024 x 8,192 scores is 32 MB in float32, 64 MB in float64. The scores of 1,024 queries and all 40,000
    # entries would be 156 MB and 313 MB, and as much again for what is made of them.
    # With a fixed threshold glibc gives back at once what is freed: else a peak holds what chance left of earlier ones.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    search, ranks, precision = json.loads(done.stdout)
    tile = 1024 * 8192 * 8 / 2**20
    assert tile / 4 < search < 1.5 * tile
    assert tile / 2 < ranks < 4 * tile  # two tiles, and the masks of one
    assert tile / 2 < precision < 4 * tile
