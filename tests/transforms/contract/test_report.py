from __future__ import annotations

import json

import pytest

from monai_place.transforms.contract.report import CheckFailedError, ContractReport, NotApplicableError, run_check


def failing() -> str:
    raise CheckFailedError("loses a key", "copy the record")


def skipping() -> str:
    raise NotApplicableError("not random")


def raising() -> str:
    try:
        raise KeyError("image")
    except KeyError as error:
        raise RuntimeError("applying transform") from error


def report() -> ContractReport:
    checks = {"keys": failing, "replay": skipping, "runs": raising, "made": lambda: "is made"}
    return ContractReport("Oursd", tuple(run_check(name, check) for name, check in checks.items()))


def test_each_check_is_a_line_and_a_cure_a_second_one() -> None:
    assert str(report()).splitlines() == [
        "Oursd",
        "FAIL  keys        loses a key",
        "                  mend: copy the record",
        " -    replay      not random",
        "FAIL  runs        raises KeyError: 'image'",
        "pass  made        is made",
    ]


def test_as_json_it_says_the_same() -> None:
    values = json.loads(json.dumps(report().to_dict()))
    assert values["passed"] is False
    assert [check["status"] for check in values["checks"]] == ["fail", "not applicable", "fail", "pass"]


def test_a_test_of_ones_own_fails_with_the_report() -> None:
    with pytest.raises(AssertionError, match="2 checks failed\nOursd\nFAIL  keys"):
        report().require()
    ContractReport("Oursd", ()).require()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/mnt/jane doe/p1/lut.npy"),
            "lut.npy: No such file or directory",
        ),
        (ValueError("cannot read '/mnt/jane doe/p1/lut.npy' or \"/srv/b.npy\""), "cannot read 'lut.npy' or \"b.npy\""),
        (
            ValueError("/srv/doe/lut.npy: 1/2 of (1, H, W) and/or C:\\doe\\lut.npy"),
            "lut.npy: 1/2 of (1, H, W) and/or lut.npy",
        ),
        (ImportError("cannot import name 'A' from 'b' (/mnt/doe/b.py)"), "cannot import name 'A' from 'b' (b.py)"),
        (ValueError("~/doe/lut.npy, see https://monai.io/a/b"), "lut.npy, see https://monai.io/a/b"),
        (ValueError("data/lut.npy\nsecond line"), "data/lut.npy"),
        (ValueError(), ""),
    ],
)
def test_an_error_of_somebody_elses_code_tells_no_folder(error: Exception, text: str) -> None:
    def fails() -> str:
        raise error

    check = run_check("runs", fails)
    assert check.message == f"raises {type(error).__name__}: {text}"
