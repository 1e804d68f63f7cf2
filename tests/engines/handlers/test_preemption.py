"""SIGTERM and SIGINT in real processes: the step is finished, the state saved, the exit code says "resumable"."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Events
from monai.bundle import ConfigParser

from monai_place.engines import EXIT_RESUMABLE, ExactCheckpointHandler, PreemptionHandler
from tests.support.processes import start
from tests.support.training import assert_same, build_run, final_state

pytestmark = [pytest.mark.dist, pytest.mark.slow]


def train(folder: Path, own_group: bool = False, hang_s: float = 0, **arguments: Any) -> None:
    """Train in a child process, with signals handled; the second step hangs."""
    if own_group:
        os.setpgrp()
    run = build_run(folder, handlers=lambda checkpoint: [PreemptionHandler(checkpoint)], **arguments)
    run.trainer.add_event_handler(Events.ITERATION_STARTED(once=2), lambda: time.sleep(hang_s))
    run.go()
    (folder / "completed").touch()


def wait_for(condition: Callable[[], bool], process: BaseProcess, *, timeout_s: float = 600) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.is_alive(), f"the process ended with {process.exitcode}"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def steps(folder: Path) -> int:
    path = folder / "history.jsonl"
    return path.read_text().count('"train"') if path.exists() else 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    build_run(folder).go()
    return final_state(folder)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_saves_and_the_run_goes_on_exactly(
    tmp_path: Path, uninterrupted: dict[str, Any], name: str, workers: int
) -> None:
    process = start(train, tmp_path, own_group=True, workers=workers, slow_s=0.2)
    wait_for(lambda: steps(tmp_path) >= 6, process)
    assert process.pid is not None
    os.killpg(process.pid, signal.Signals[name])  # schedulers and terminals signal the workers too
    process.join(600)
    assert process.exitcode == EXIT_RESUMABLE == 75
    assert not (tmp_path / "completed").exists()
    done = steps(tmp_path)
    assert final_state(tmp_path)["state"]["iteration"] == done
    resumed = build_run(tmp_path, workers=workers, resume="auto").go()
    assert len(resumed.seen) == 15 - done
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_signal_during_validation_does_not_wait_for_its_end(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    process = start(train, tmp_path, slow_validation_s=3)
    wait_for(lambda: steps(tmp_path) >= 5, process)
    time.sleep(0.5)
    process.terminate()
    process.join(600)
    assert process.exitcode == EXIT_RESUMABLE
    assert steps(tmp_path) == 5
    assert final_state(tmp_path)["state"]["epoch_end_pending"]
    build_run(tmp_path, resume="auto").go()
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    process = start(train, tmp_path, hang_s=600)
    wait_for(lambda: steps(tmp_path) >= 1, process)
    for _ in range(500):  # two that come together count as one
        process.terminate()
        process.join(1)
        if not process.is_alive():
            break
    assert process.exitcode == -signal.SIGTERM
    assert not (tmp_path / "completed").exists()


def test_without_a_signal_the_run_completes_and_signals_are_as_before(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    build_run(tmp_path, epochs=1, handlers=lambda checkpoint: [PreemptionHandler(checkpoint)]).go()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_without_an_exit_code_the_run_only_ends(tmp_path: Path) -> None:
    made: list[PreemptionHandler] = []

    def handlers(checkpoint: ExactCheckpointHandler) -> list[Any]:
        made.append(PreemptionHandler(checkpoint, signals=["SIGUSR1"], exit_code=None))
        return list(made)

    run = build_run(tmp_path, handlers=handlers)
    run.checkpoint.add_stop_condition(lambda: run.trainer.state.iteration == 3 and _signal(signal.SIGUSR1))
    run.go()
    assert made[0].requested
    assert run.checkpoint.stopped
    assert len(run.seen) in (3, 4)


def test_in_a_thread_the_signals_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = build_run(tmp_path, epochs=1, handlers=lambda checkpoint: [PreemptionHandler(checkpoint)])
    thread = threading.Thread(target=run.go)
    thread.start()
    thread.join()
    assert len(run.seen) == 5
    assert "signals are not handled" in caplog.text


def test_unknown_signals_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown signals \['SIGHELLO'\]"):
        PreemptionHandler(ExactCheckpointHandler(tmp_path), signals=["SIGHELLO"])


def test_the_exit_code_reaches_the_shell_through_a_bundles_run(tmp_path: Path) -> None:
    # The real thing: `python -m monai.bundle run`, which knows nothing of the exit code.
    config = {
        "imports": [
            "$from pathlib import Path",
            "$import tests.support.training as t",
            "$import monai_place.engines as e",
        ],
        "folder": str(tmp_path),
        "training": "$t.build_run(Path(@folder), slow_s=0.1, handlers=lambda c: [e.PreemptionHandler(c)])",
        "run": ["$@training.go()"],
    }
    ConfigParser.export_config_file(config, str(tmp_path / "train.json"))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(tmp_path / "train.json")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 600
        while steps(tmp_path) < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=600)
    assert process.returncode == EXIT_RESUMABLE, told
    assert final_state(tmp_path)["state"]["iteration"] == steps(tmp_path)


def _signal(number: int) -> bool:
    os.kill(os.getpid(), number)
    return False
