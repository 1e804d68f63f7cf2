from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import struct
import termios
from contextlib import redirect_stderr, suppress
from pathlib import Path

import pytest
import torch
import typer

from monai_place.cli.common import (
    clean_errors,
    count_progress,
    format_interval,
    list_failed,
    parse_settings,
    pick_device,
    print_json,
    print_table,
    read_override,
    reading_of,
    talk_on_stderr,
)
from monai_place.engines import StudyError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ValueError("a.json: not JSON"), "a.json: not JSON", id="value"),
        pytest.param(StudyError("study 'a' could not be prepared"), "study 'a' could not be prepared", id="ours"),
        pytest.param(FileNotFoundError("'run' holds no run"), "'run' holds no run", id="our own words"),
        pytest.param(ImportError("onnx is missing"), "onnx is missing", id="extra"),
        pytest.param(ValueError(), "ValueError", id="no words"),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_exit_code_1(error: Exception, text: str, capsys: Capture) -> None:
    with pytest.raises(typer.Exit) as end, clean_errors():
        raise error
    assert end.value.exit_code == 1
    assert capsys.readouterr().err == f"error: {text}\n"


def test_an_error_of_the_system_names_the_file_and_not_where_it_lies(capsys: Capture, tmp_path: Path) -> None:
    with pytest.raises(typer.Exit), clean_errors():
        (tmp_path / "secret" / "a.json").read_text()
    assert capsys.readouterr().err == "error: a.json: No such file or directory\n"


def test_an_error_of_the_system_without_a_file_is_told_too(capsys: Capture) -> None:
    with pytest.raises(typer.Exit), clean_errors():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("error", [TypeError("a bug"), KeyError("a bug"), RuntimeError("a bug"), typer.Exit(3)])
def test_what_is_a_mistake_of_ours_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), clean_errors():
        raise error


def test_print_json_writes_text_as_it_is_and_refuses_what_is_no_json(capsys: Capture) -> None:
    print_json({"finding": "Erguß"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"finding": "Erguß"}
    assert "Erguß" in out
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json(float("nan"))


def test_columns_of_a_table_are_aligned(capsys: Capture) -> None:
    print_table([["edema", "0.5"], ["nodule", "12.25"]], header=["finding", "n"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["finding      n", "-------  -----", "edema      0.5", "nodule   12.25"]


def test_a_table_without_rows_is_its_header(capsys: Capture) -> None:
    print_table([], header=["finding", "n"])
    assert capsys.readouterr().out == "finding  n\n-------  -\n"


def test_progress_is_silent_where_there_is_no_terminal(capsys: Capture) -> None:
    with count_progress("phantom") as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().err == ""


def test_progress_moves_a_bar_on_a_terminal() -> None:
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # a new one has no columns
    with os.fdopen(end, "w") as stream, redirect_stderr(stream), count_progress("phantom") as progress:
        progress(3, 7)
    shown = ""
    with suppress(OSError):  # at its end
        while part := os.read(terminal, 4096):
            shown += part.decode()
    os.close(terminal)
    assert "phantom" in shown
    assert "3/7" in shown


def test_monai_s_loggers_write_to_stdout_only_by_themselves(capsys: Capture) -> None:
    import monai.bundle.scripts as scripts

    handler = next(handler for handler in scripts.logger.handlers if type(handler) is logging.StreamHandler)
    before = handler.stream
    with talk_on_stderr():
        scripts.logger.info("a summary")
    assert handler.stream is before
    out, err = capsys.readouterr()
    assert "a summary" in err
    assert out == ""


def test_settings_are_json_where_they_can_be() -> None:
    found = parse_settings(["lr=1e-3", "amp=false", 'model={"queries": 8}', "preset=place_tiny", "path=a=b", "empty="])
    assert found == {
        "lr": 0.001,
        "amp": False,
        "model": {"queries": 8},
        "preset": "place_tiny",
        "path": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("pair", ["epochs", "=3"])
def test_a_setting_without_a_key_is_bad_usage(pair: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not of the form key=value"):
        parse_settings([pair])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", r"ours\.json is no JSON"), ("[]", r"ours\.json holds no JSON object"), (None, r"ours\.json: No such file")],
)
def test_an_override_that_is_no_json_object_is_bad_usage(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "ours.json").write_text(text)
    with pytest.raises(typer.BadParameter, match=message):
        read_override(tmp_path / "ours.json")


def test_an_override_says_how_files_are_read_and_none_is_ours(tmp_path: Path) -> None:
    assert read_override(None) == {}
    assert reading_of(None).is_ours
    (tmp_path / "ours.json").write_text('{"image_steps": [{"_target_": "Identityd", "keys": "image"}], "lr": 1}')
    assert reading_of(tmp_path / "ours.json").describe()["image_steps"] == [
        "monai.transforms.utility.dictionary.Identityd"
    ]
    (tmp_path / "ours.json").write_text('{"reader": "no_such_module_of_ours.Reader"}')
    with pytest.raises(typer.BadParameter, match="No module named 'no_such_module_of_ours'"):
        reading_of(tmp_path / "ours.json")


def test_a_device_that_is_not_there_is_bad_usage() -> None:
    assert pick_device("cpu") == "cpu"
    with pytest.raises(typer.BadParameter, match="'cuda:99' is not one of cpu"):
        pick_device("cuda:99")
    with pytest.raises(typer.BadParameter, match="'gpu' is not one of cpu"):
        pick_device("gpu")


def test_by_default_a_gpu_is_taken_where_there_is_one() -> None:
    assert pick_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param((0.5, 0.25, 0.75), "0.500 [0.250, 0.750]", id="whole"),
        pytest.param((None, None, None), "-", id="none"),
        pytest.param((float("nan"),) * 3, "-", id="nan"),
        pytest.param((0.5, None, None), "0.500", id="no interval"),
        pytest.param((0.5, 0.25, float("nan")), "0.500 [0.250, -]", id="half an interval"),
        pytest.param((0.0, 0.0, 0.0), "0.000 [0.000, 0.000]", id="zero is a number"),
    ],
)
def test_what_is_not_defined_is_a_dash(values: tuple[float, float, float], text: str) -> None:
    assert format_interval(dict(zip(("value", "low", "high"), values, strict=True))) == text


def test_files_that_failed_are_listed_once_each_and_end_with_exit_code_1(capsys: Capture) -> None:
    with pytest.raises(typer.Exit) as end:
        list_failed([("sub/a.png", "a.png: empty file"), ("b.png", "cannot be read")])
    assert end.value.exit_code == 1
    assert capsys.readouterr().err == "failed: sub/a.png: empty file\nfailed: b.png: cannot be read\n"


def test_nothing_failed_says_nothing(capsys: Capture) -> None:
    list_failed([])
    assert capsys.readouterr() == ("", "")


def test_a_line_break_or_an_escape_in_a_name_stays_in_the_name(capsys: Capture) -> None:
    print_table([["new\nline\x1b[31m.png", "ü ✓"]], header=["image", "score"])
    assert capsys.readouterr().out.splitlines()[2] == r"new\nline\x1b[31m.png    ü ✓"
    with pytest.raises(typer.Exit):
        list_failed([("b\n.png", "b\n.png: cannot be read")])
    assert capsys.readouterr().err == "failed: b\\n.png: cannot be read\n"
