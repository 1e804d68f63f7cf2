"""The whole contract test, on ours, on MONAI's, and with a spawned process."""

from __future__ import annotations

from typing import Any

import monai.transforms as monai_transforms
import pytest

import monai_place.transforms as ours
from monai_place.data import RadiographReader
from monai_place.data.tokens import ReportTokenizer
from monai_place.transforms.contract import check_transform
from tests.support import bad_transforms

FOLLOW = {"mask_keys": "mask", "boxes_key": "boxes", "box_label_keys": "box_classes"}
OURS: dict[str, dict[str, Any]] = {
    "FitRadiographd": {"image_size": 64, **FOLLOW},
    "NormalizeRadiographd": {"mean": 0.5, "std": 0.25},
    "RadiographAffined": {"pose": {"rotation_degrees": 20.0, "shift_x": 0.1}, **FOLLOW},
    "RadiographIntensityd": {"change": {"gamma": 0.8, "noise_std": 0.02}},
    "RadiographStepsd": {
        "steps": [{"_target_": "SpatialCropd", "keys": "image", "roi_start": [5, 7], "roi_end": [80, 85]}]
    }
    | FOLLOW,
    "RandRadiographAffined": {"prob": 0.8, "rotation_degrees": 25.0, **FOLLOW},
    "RandRadiographIntensityd": {},
}
TEXT: dict[str, tuple[str, dict[str, Any]]] = {
    "RandSentencesd": ("sentence_texts", {"shuffle_prob": 0.5, "drop_prob": 0.2}),
    "SelectSentencesd": ("sentence_texts", {"order": [1]}),
    "SplitReportd": ("report", {}),
    "TokenizeReportd": ("sentence_texts", {}),
}


@pytest.mark.parametrize("name", OURS)
def test_our_transforms_of_pictures_keep_the_contract(name: str) -> None:
    report = check_transform(getattr(ours, name), arguments=OURS[name], worker=False)
    report.require()
    follows = "Intensity" not in name and "Normalize" not in name
    for check in ("masks", "boxes"):
        assert report[check].status == ("pass" if follows else "not applicable")
    if name.startswith("Rand"):
        assert report["replay"].status == "pass"


@pytest.mark.parametrize("name", TEXT)
def test_our_transforms_of_text_keep_the_contract(name: str) -> None:
    key, arguments = TEXT[name]
    if name == "TokenizeReportd":
        arguments = {"tokenizer": ReportTokenizer.train(["A bright dot."] * 3, vocab_size=60, max_tokens=20)}
        # It is made anew from its arguments, which in a bundle are those of a JSON.
        report = check_transform(lambda keys: ours.TokenizeReportd(keys, **arguments), keys=[key], worker=False)
    else:
        report = check_transform(getattr(ours, name), arguments=arguments, keys=[key], worker=False)
    report.require()
    assert report["shape"].status == "not applicable"


def test_no_transform_of_ours_is_forgotten() -> None:
    found = {name for name in ours.__all__ if name.endswith("d") and isinstance(getattr(ours, name), type)}
    assert found - OURS.keys() - TEXT.keys() == {"LoadRadiographd"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("Flipd", {"spatial_axis": 1}, id="flip"),
        pytest.param("Rotate90d", {}, id="turn"),
        pytest.param("Zoomd", {"zoom": 1.3}, id="zoom"),
        pytest.param("Resized", {"spatial_size": [60, 70]}, id="resize"),
        pytest.param("RandAffined", {"prob": 1.0, "rotate_range": 0.3, "padding_mode": "zeros"}, id="random affine"),
        pytest.param("RandAdjustContrastd", {"prob": 1.0}, id="contrast"),
    ],
)
def test_transforms_of_monai_keep_it_too(name: str, arguments: dict[str, Any]) -> None:
    check_transform(getattr(monai_transforms, name), arguments=arguments, worker=False).require()


def test_our_reader_keeps_the_contract() -> None:
    report = check_transform(RadiographReader, worker=False)
    report.require()
    assert {"picture", "refusal"} <= {check.name for check in report.checks}


@pytest.mark.slow
def test_a_spawned_process_does_the_same() -> None:
    report = check_transform(
        "monai_place.transforms:RandRadiographAffined", arguments={"prob": 1.0, **FOLLOW}, worker=True
    )
    report.require()
    assert report["worker"].status == "pass"
    (failed,) = check_transform(bad_transforms.DrawsFromNumbersOfItsProcess).failed
    assert failed.name == "worker"
    assert "keep no state from record to record" in failed.cure


def test_what_cannot_be_pickled_is_told_without_starting_a_process() -> None:
    (failed,) = check_transform(bad_transforms.HoldsLambda).failed
    assert failed.name == "worker"
    assert "keep no lambda" in failed.cure


def test_what_cannot_be_made_is_the_only_line() -> None:
    report = check_transform(ours.FitRadiographd, arguments={"image_size": 0})
    (check,) = report.checks
    assert (check.name, check.status) == ("made", "fail")
    assert "image_size must be at least 1 pixel, got 0" in check.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_of_ours:A", "No module named 'no_such_module_of_ours'"),
        ("monai_place.transforms:Nothingd", "module 'monai_place.transforms' has no 'Nothingd'"),
        ("monai_place.transforms", "is not of the form module:Class"),
    ],
)
def test_what_is_not_found_is_an_import_error(name: str, message: str) -> None:
    with pytest.raises(ImportError, match=message):
        check_transform(name)


def test_a_transform_that_loads_is_tried_on_a_file(tmp_path: Any) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    report = check_transform(ours.LoadRadiographd, sample=tmp_path / "a.png", worker=False)
    report.require()
    assert report["values"].status == "pass"
    assert "nothing is planted" in report["affine"].message
