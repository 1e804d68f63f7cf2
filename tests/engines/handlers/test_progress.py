"""Where a run stands: lines in the log now and then, a bar on a terminal."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

from monai_place.engines import TrainingProgressHandler
from tests.support.training import build_run


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "studies/s" in line]


def test_a_line_tells_epoch_step_terms_speed_and_time_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    progress = TrainingProgressHandler(interval_s=0, bar=False)
    with caplog.at_level(logging.INFO):
        build_run(tmp_path, epochs=2, handlers=lambda _: [progress], validate=False).go()
    told = lines(caplog.text)
    assert len(told) == 10
    form = (
        r"epoch 2/2, step 7/10: loss \d+\.\d{4}, ita \d+\.\d{4}, size \d+\.\d{4}; \d+\.\d studies/s, \d:\d\d:\d\d left"
    )
    assert re.search(form, told[6])
    assert "0:00:00 left" in told[-1]


def test_lines_come_at_their_interval_and_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = TrainingProgressHandler(interval_s=3600, stream=io.StringIO())
    with caplog.at_level(logging.INFO):
        build_run(tmp_path, epochs=2, handlers=lambda _: [progress], validate=False).go()
    assert len(lines(caplog.text)) == 1
    assert "step 10/10" in lines(caplog.text)[0]
    assert capsys.readouterr().out == ""


def test_the_time_left_counts_from_where_this_process_began(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_run(tmp_path, epochs=2, interval_iterations=1, validate=False).go(kill_after=6)
    progress = TrainingProgressHandler(interval_s=0, bar=False)
    with caplog.at_level(logging.INFO):
        run = build_run(tmp_path, epochs=2, resume="auto", slow_s=0.5, handlers=lambda _: [progress], validate=False)
        run.go()
    # Half a second a step: had the six steps of the earlier process counted, nothing would seem to be left.
    hours, minutes, seconds = re.findall(r"(\d+):(\d+):(\d+) left", lines(caplog.text)[0])[0]
    assert int(hours) * 3600 + int(minutes) * 60 + int(seconds) >= 1


def read_all(master: int) -> str:
    """Return what a terminal was sent; a single read gives 4 kB at most, and fails once all is read."""
    parts = []
    while True:
        try:
            part = os.read(master, 100_000)
        except OSError:
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def test_a_terminal_shows_a_bar(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    with os.fdopen(slave, "w") as terminal, caplog.at_level(logging.INFO):
        progress = TrainingProgressHandler(stream=terminal)
        assert progress.bar
        build_run(tmp_path, epochs=1, handlers=lambda _: [progress], validate=False).go()
    shown = read_all(master)
    os.close(master)
    assert "20/20" in shown
    assert "epoch 1/1" in shown
    assert "loss=" in shown
    assert not lines(caplog.text)


def test_a_negative_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="interval_s must be at least 0, got -1"):
        TrainingProgressHandler(interval_s=-1)
    assert TrainingProgressHandler(stream=io.StringIO()).bar is False
    assert TrainingProgressHandler().stream is sys.stderr
