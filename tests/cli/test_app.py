"""What holds for the command line as a whole. Real processes once for each kind of end; the rest in this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import monai_place

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "monai-place"
HEAVY = ["torch", "numpy", "monai", "transformers", "timm", "matplotlib", "pydicom", "tqdm"]


def run_command(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [str(COMMAND), *map(str, words)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_a_command_that_did_its_work_ends_with_0_and_prints_data_only(tmp_path: Path) -> None:
    done = run_command("phantom", "made", "--studies", 2, "--size", 48, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "made/datalist.json\n", "")


def test_a_command_that_failed_ends_with_1_and_one_line(tmp_path: Path) -> None:
    done = run_command("verify", tmp_path / "gone.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: gone.json: No such file or directory\n"


def test_the_module_is_the_command(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "monai_place", "--version"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{monai_place.__version__}\n", "")


def test_bad_usage_ends_with_2(tmp_path: Path) -> None:
    done = run_command("phantom", "made", "--studies", "many", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--studies" in done.stderr
    assert "valid integer" in done.stderr
    assert not (tmp_path / "made").exists()


def test_help_imports_nothing_heavy() -> None:
    # Its time on a busy machine says nothing; what it imports says all.
    script = f"""
import sys
from monai_place.cli import main
sys.argv = ["monai-place", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"
    assert "not a medical device" in " ".join(done.stdout.split())


def test_without_a_verb_the_help_is_shown_as_bad_usage(call: Any) -> None:
    done = call()
    assert done.code == 2
    assert "pretrain" in done.out + done.err


def test_an_unknown_verb_is_bad_usage(call: Any) -> None:
    assert call("train").code == 2


def test_version(call: Any) -> None:
    assert call("--version").out == f"{monai_place.__version__}\n"


@pytest.mark.parametrize(
    "verb",
    [
        "phantom",
        "prepare",
        "verify",
        "pretrain",
        "evaluate",
        "classify",
        "embed",
        "retrieve",
        "ground",
        "export",
        "demo",
        "doctor",
    ],
)
def test_every_verb_explains_itself(verb: str, call: Any) -> None:
    done = call(verb, "--help")
    assert done.code == 0
    assert len(done.out.split()) > 20


def test_a_verb_without_its_arguments_is_bad_usage(call: Any) -> None:
    assert call("classify").code == 2


def test_verbose_tells_where_an_error_came_from(call: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level("INFO"):
        done = call("--verbose", "verify", tmp_path / "gone.json")
    assert done.code == 1
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("probe", "model", "list.json", "--out"), id="probe"),
        pytest.param(("finetune", "model", "list.json", "--out"), id="finetune"),
        pytest.param(("train-report", "model", "list.json", "--out"), id="train-report"),
        pytest.param(("generate", "model", "image.png", "--out"), id="generate"),
        pytest.param(("pretrain", "list.json", "--out"), id="pretrain"),
        pytest.param(("ground", "model", "image.png", "--text", "effusion", "--out"), id="ground"),
        pytest.param(("embed", "model", "image.png", "--out"), id="embed"),
        pytest.param(("benchmark", "suite.json", "--out"), id="benchmark"),
        pytest.param(("demo", "--out"), id="demo"),
        pytest.param(("phantom",), id="phantom"),
    ],
)
def test_a_file_where_a_folder_is_to_be_written_is_said_before_any_work(
    words: tuple[str, ...], call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("notes")
    monkeypatch.chdir(tmp_path)
    done = call(*words, "taken")
    assert (done.code, done.out) == (2, "")
    assert "'taken' is a file" in done.err
    assert (tmp_path / "taken").read_text() == "notes"
