"""Gathering across ranks: two real processes find the loss and the gradients of one process on the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from monai_place.losses import gather_across_ranks, local_offset
from tests.losses.rank_worker import CASES, LAYOUTS, Result, run_case, run_model

ROOT = Path(__file__).resolve().parents[2]
WORLD = 2


def test_single_process_gets_its_own_tensor_back() -> None:
    tensor = torch.ones(3, 2, requires_grad=True)
    assert gather_across_ranks(tensor) is tensor
    assert local_offset(tensor) == 0


def wait_for_all(workers: list[subprocess.Popen[bytes]], *, timeout_s: float = 600) -> list[int | None]:
    """Return the exit codes, or those known when the first rank failed: the others would wait for it in vain."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        codes = [worker.poll() for worker in workers]
        if None not in codes or any(codes):
            return codes
        time.sleep(0.1)
    raise TimeoutError(f"ranks still run after {timeout_s:g} s")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    """Run all cases on two ranks at once: starting the processes is what takes the time."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"  # the ranks meet on this machine, whatever its name resolves to
    logs = [folder / f"{rank}.log" for rank in range(WORLD)]
    workers = []
    for rank, log in enumerate(logs):
        command = [sys.executable, "-m", "tests.losses.rank_worker", str(rank), str(WORLD), str(folder)]
        with log.open("w") as file:
            workers.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file))
    try:
        codes = wait_for_all(workers)
    finally:
        for worker in workers:
            worker.kill()
    assert codes == [0] * WORLD, "\n".join(log.read_text() for log in logs)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.dist
@pytest.mark.parametrize(("name", "layout"), CASES)
def test_loss_on_two_ranks_equals_that_of_one_process(ranks: list[dict[str, Result]], name: str, layout: str) -> None:
    whole, parts = run_case(name, layout, None), [results[f"{name}, {layout}"] for results in ranks]
    for part in parts:
        torch.testing.assert_close(part["loss"], whole["loss"], rtol=0, atol=1e-10)
    for leaf in whole.keys() - {"loss", "gathered", "offset"}:
        # Each rank's loss is the global one, so that the gradient summed over the ranks is WORLD times the true one;
        # the averaging of DistributedDataParallel makes it right.
        joined = torch.cat([part[leaf] for part in parts]) / WORLD
        torch.testing.assert_close(joined, whole[leaf], rtol=0, atol=1e-10)


@pytest.mark.dist
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_rank_sees_the_rows_of_all_in_order(ranks: list[dict[str, Result]], layout: str) -> None:
    expected = run_case("gathered rows", layout, None)["gathered"]
    for results in ranks:
        assert torch.equal(results[f"gathered rows, {layout}"]["gathered"], expected)


@pytest.mark.dist
@pytest.mark.parametrize(
    ("layout", "offsets"), [pytest.param("equal", [0, 3], id="equal"), pytest.param("uneven", [0, 1], id="uneven")]
)
def test_offset_is_where_the_rows_of_a_rank_begin(
    ranks: list[dict[str, Result]], layout: str, offsets: list[int]
) -> None:
    assert [int(results[f"gathered rows, {layout}"]["offset"]) for results in ranks] == offsets


@pytest.mark.dist
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_model_on_two_ranks_has_the_loss_and_gradients_of_one_process(
    ranks: list[dict[str, Result]], layout: str
) -> None:
    whole = run_model(layout, None)
    for part in (results[f"model, {layout}"] for results in ranks):
        assert part.keys() == whole.keys()
        for name, value in whole.items():
            # In float32: the sums run in another order, and small entries are differences of large ones.
            tolerance = 1e-5 * float(value.abs().max()) + 1e-8
            torch.testing.assert_close(part[name], value, rtol=1e-5, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
