from __future__ import annotations

from typing import Any

import pytest

from monai_place.transforms.contract import check_transform
from tests.support import bad_transforms


@pytest.mark.parametrize(
    ("name", "failed", "message"),
    [
        ("ReturnsNothing", ["runs"], "returns NoneType for a landscape picture, expected a dictionary"),
        ("LosesKeys", ["keys"], "loses the keys ['id', 'mask', 'boxes'"),
        ("ChangesOthers", ["keys"], "changes ['view'], which are not among its keys ['image']"),
        ("InPlace", ["input"], "changes ['image'] of the record that it was given, in place"),
        ("WritesIntoRecord", ["input"], "writes ['seen'] into the record"),
        ("IgnoresMissing", ["missing"], "passes over a missing 'image' although allow_missing_keys is false"),
        ("NeedsKey", ["missing"], "with allow_missing_keys=True a missing 'image' raises KeyError"),
        ("UnclearAboutMissing", ["missing"], "raises RuntimeError, which does not name the key"),
        ("Bytes", ["values"], "gives uint8, expected float32"),
        ("Infinite", ["values"], "gives values that are not finite"),
        ("Brighter", ["values"], "gives 0 to 1.5, expected values in [0, 1]"),
        ("Centers", ["values"], "gives -0.5 to 0.5, expected values in [0, 1]"),
        ("DropsChannel", ["shape"], "gives (96, 144) for (1, 96, 144), expected (1, H, W)"),
        ("StretchesByRange", ["constant"], "makes NaN or infinity of a black picture"),
    ],
)
def test_each_fault_is_found_and_its_cure_is_told(name: str, failed: list[str], message: str) -> None:
    report = check_transform(getattr(bad_transforms, name), worker=False)
    found = {check.name: check for check in report.failed}
    assert set(failed) <= set(found)
    assert message in found[failed[0]].message
    assert found[failed[0]].cure or name in ("ChangesOthers", "Infinite")


def test_a_good_one_passes_all() -> None:
    report = check_transform(bad_transforms.Keeps, worker=False)
    report.require()
    assert report["missing"].status == report["constant"].status == "pass"


def test_what_raises_is_quoted_by_its_innermost_error() -> None:
    class Raises(bad_transforms.Keeps):
        def change(self, image: Any) -> Any:
            raise ZeroDivisionError("no pixel is left")

    report = check_transform(Raises, worker=False)
    assert "raises ZeroDivisionError: no pixel is left" in report["runs"].message
    assert len(report.checks) == 2
