"""check-transform: the report, its JSON, the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monai_place.cli.app import app

runner = CliRunner()


def check(*words: str) -> Any:
    return runner.invoke(app, ["check-transform", "--no-worker", *words])


def test_a_good_transform_ends_with_0_and_a_line_a_check() -> None:
    result = check("monai_place.transforms:FitRadiographd", "--args", '{"image_size": 32}')
    assert result.exit_code == 0, result.output
    assert "pass  shape       (1, H, W): 96x144 -> 32x32" in result.stdout


def test_a_bad_one_ends_with_1_and_says_what_mends_it() -> None:
    result = check("tests.support.bad_transforms:MovesSilently")
    assert result.exit_code == 1
    assert "FAIL  affine" in result.stdout
    assert "mend: crop with monai.transforms.SpatialCrop" in result.stdout
    assert "checks failed" in result.stderr


def test_json_says_the_same() -> None:
    result = check("tests.support.bad_transforms:Bytes", "--json")
    assert result.exit_code == 1
    values = json.loads(result.stdout)
    assert values["subject"] == "Bytes"
    assert not values["passed"]


def test_keys_and_a_sample_are_options(tmp_path: Path) -> None:
    assert check("monai_place.transforms:SplitReportd", "--keys", "report").exit_code == 0
    (tmp_path / "a.png").write_bytes(b"no picture")
    result = check("monai_place.data.reader:RadiographReader", "--sample", str(tmp_path / "a.png"))
    assert result.exit_code == 1
    assert "sample.png: not a DICOM, NIfTI, PNG or JPEG file" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_module_of_ours:A"], "cannot be imported"),
        (["monai_place.transforms:Nothing"], "has no 'Nothing'"),
        (["monai_place.transforms:FitRadiographd", "--args", "{"], "no JSON"),
        (["monai_place.transforms:FitRadiographd", "--args", "[]"], "expected a JSON object"),
    ],
)
def test_what_cannot_be_found_ends_with_2(words: list[str], message: str) -> None:
    result = check(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
