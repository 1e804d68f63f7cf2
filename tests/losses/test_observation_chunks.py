"""PCMA in chunks: the same loss and gradient as in one piece, in memory that does not grow with the sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.losses import ObservationAlignmentLoss
from tests.losses.cases import assert_same, gradients, make_studies

ROOT = Path(__file__).resolve().parents[2]
COUNTS = [3, 1, 0, 5, 2, 4, 1]  # 16 sentences

# In a process of its own, so that what other tests hold does not count. A peak never falls, so the chunk sizes come in
# ascending order.
PEAK = """
import json, resource, sys, torch
from pathlib import Path
import torch.nn.functional as F
from monai_place.losses import ObservationAlignmentLoss

torch.set_num_threads(1)
studies, sentences, queries, width, *chunks = map(int, sys.argv[1:])

def run(studies, chunk):
    generator = torch.Generator().manual_seed(0)
    text = F.normalize(torch.randn(studies, sentences, width, generator=generator), dim=-1).requires_grad_()
    seen = F.normalize(torch.randn(studies, queries, width, generator=generator), dim=-1).requires_grad_()
    keys = torch.randint(0, studies, (studies, sentences), generator=generator)
    mask = torch.ones(studies, sentences, dtype=torch.bool)
    loss = ObservationAlignmentLoss("both", chunk_sentences=chunk)(text, mask, keys, seen)
    loss.backward()
    return loss.item(), all(bool(part.isfinite().all()) for part in (loss, text.grad, seen.grad))

def peak():  # MB
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss begins with that of the process which started this one
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)

run(4, 16)  # what torch loads on first use does not count
before = peak()
for chunk in chunks:
    loss, finite = run(studies, chunk)
    print(json.dumps({"finite": finite, "loss": loss, "peak_mb": peak() - before}))
"""


@pytest.mark.parametrize("mode", ["report", "sentence", "both"])
@pytest.mark.parametrize("duplicates", ["mask", "soften"])
@pytest.mark.parametrize(
    "chunk",
    [
        # A report of five sentences is never cut: it would count as two reports.
        pytest.param(1, id="less than a report"),
        pytest.param(4, id="uneven last chunk"),
        pytest.param(8, id="two halves"),
        pytest.param(15, id="one report is left over"),
        pytest.param(16, id="all at once"),
    ],
)
def test_chunks_equal_one_piece_forward_and_gradient(mode: Any, duplicates: Any, chunk: int) -> None:
    studies = make_studies(COUNTS)
    whole = ObservationAlignmentLoss(mode, duplicates=duplicates, chunk_sentences=10_000)(*studies.arguments)
    parts = ObservationAlignmentLoss(mode, duplicates=duplicates, chunk_sentences=chunk)(*studies.arguments)
    assert_same([parts, *gradients(parts, *studies.leaves)], [whole, *gradients(whole, *studies.leaves)])


def test_backward_pass_under_autocast_computes_chunks_again_in_full_precision() -> None:
    studies = make_studies(COUNTS)
    sentences, observations = (leaf.detach().float().requires_grad_() for leaf in studies.leaves)
    loss = ObservationAlignmentLoss("both", chunk_sentences=4)
    expected = gradients(loss(sentences, studies.mask, studies.keys, observations), sentences, observations)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(sentences, studies.mask, studies.keys, observations)
        found = gradients(value, sentences, observations)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def measure(studies: int, sentences: int, *, queries: int, width: int, chunks: list[int]) -> list[dict[str, Any]]:
    """Return loss and peak memory of a forward and backward pass with each of the chunk sizes."""
    sizes = map(str, (studies, sentences, queries, width, *chunks))
    done = subprocess.run([sys.executable, "-c", PEAK, *sizes], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is not there")
def test_peak_memory_is_bounded_by_the_chunk() -> None:
    # 128 studies of 20 sentences, 160 observations (patches): the scores of all sentences on all of them are 210 MB,
    # and a forward and backward pass holds several of these at once. A chunk of 51 sentences has 4 MB.
    chunked, whole = measure(128, 20, queries=160, width=8, chunks=[512, 1_000_000])
    assert chunked["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert whole["peak_mb"] > 200
    assert chunked["peak_mb"] < whole["peak_mb"] / 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is not there")
def test_global_batch_of_4096_reports_of_20_sentences_fits() -> None:
    # In one piece the scores alone would be 81,920 x 4,096 x 2 numbers: 2.7 GB for each of several tensors. The table
    # of 4,096 reports and images is 67 MB, a chunk's scores 17 MB.
    (result,) = measure(4096, 20, queries=2, width=8, chunks=[512])
    assert result["finite"]
    assert result["peak_mb"] < 1000
