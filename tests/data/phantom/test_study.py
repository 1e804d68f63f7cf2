from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from monai_place.data.phantom import (
    MASK_THRESHOLD,
    PHANTOM_CLASSES,
    PhantomStudy,
    render_study,
    render_without,
)


@pytest.mark.parametrize("size", [96, 131, 224])
def test_a_study_has_the_size_that_was_asked_for(size: int) -> None:
    study = render_study(0, 1, size=size)
    assert study.image.shape == (size, size)
    assert study.image.dtype == np.float32
    assert study.class_mask().shape == (size, size)
    assert all(finding.mask.shape == (size, size) for finding in study.findings)
    assert study.pixel_spacing_mm[0] * size == pytest.approx(360)


def test_the_same_seed_and_index_give_the_same_study() -> None:
    first, second = render_study(3, 4, size=96), render_study(3, 4, size=96)
    np.testing.assert_array_equal(first.image, second.image)
    assert first.report == second.report
    for one, other in zip(first.findings, second.findings, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_another_process_draws_the_same_bits() -> None:
    code = (
        "import hashlib; from monai_place.data.phantom import render_study;"
        "s = render_study(3, 4, size=96); print(hashlib.sha256(s.image.tobytes() + s.report.encode()).hexdigest())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": salt}
        ).stdout
        for salt in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(printed[0]) == 65


def test_other_seeds_and_indices_give_other_studies() -> None:
    images = [render_study(seed, index, size=48).image for seed, index in ((0, 0), (0, 1), (1, 0))]
    assert np.abs(images[0] - images[1]).mean() > 0.02
    assert np.abs(images[0] - images[2]).mean() > 0.02


def test_a_report_does_not_depend_on_the_size() -> None:
    for index in range(6):
        assert render_study(1, index, size=64).report == render_study(1, index, size=96).report


def test_boxes_are_tight(studies: list[PhantomStudy]) -> None:
    for study in studies:
        for finding in study.findings:
            x0, y0, x1, y1 = finding.box
            inside = finding.mask[y0:y1, x0:x1]
            assert inside.sum() == finding.mask.sum() > 0
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()


def test_labels_are_those_of_the_findings(studies: list[PhantomStudy]) -> None:
    for study in studies:
        present = {finding.class_name for finding in study.findings}
        assert study.label == tuple(int(name in present) for name in PHANTOM_CLASSES)


def test_every_positive_sentence_points_at_a_finding_of_its_class(studies: list[PhantomStudy]) -> None:
    for study in studies:
        for sentence in study.sentences:
            if sentence.finding is not None:
                assert (study.findings[sentence.finding].class_name,) == sentence.classes


def test_a_left_sided_mask_lies_on_the_image_right(studies: list[PhantomStudy]) -> None:
    seen = set()
    for study in studies:
        for finding in study.findings:
            if finding.laterality in {"left", "right"}:
                columns = np.nonzero(finding.mask)[1]
                half = finding.mask.shape[1] / 2
                on_the_right = np.mean(columns >= half)
                assert on_the_right > 0.9 if finding.laterality == "left" else on_the_right < 0.1
                seen.add((finding.class_name, finding.laterality))
    assert {("pleural effusion", "left"), ("pleural effusion", "right"), ("nodule", "left")} <= seen


def test_locations_of_a_class_vary(studies: list[PhantomStudy]) -> None:
    centers = [
        np.argwhere(finding.mask).mean(axis=0) / finding.mask.shape[0]
        for study in studies
        for finding in study.findings
        if finding.class_name in {"consolidation", "nodule", "atelectasis"}
    ]
    assert np.std(centers, axis=0).min() > 0.12


def test_the_index_mask_shows_every_class_and_nothing_else(studies: list[PhantomStudy]) -> None:
    for study in studies:
        mask = study.class_mask()
        union = np.zeros(mask.shape, dtype=bool)
        for finding in study.findings:
            union |= finding.mask
            assert np.isin(PHANTOM_CLASSES.index(finding.class_name) + 1, mask)
        np.testing.assert_array_equal(mask > 0, union)


def test_leaving_a_finding_out_changes_the_picture_in_its_mask_only(studies: list[PhantomStudy]) -> None:
    study = next(study for study in studies if len(study.findings) >= 2)
    full = render_without(study.seed, study.index, size=96, noise=False)
    less = render_without(study.seed, study.index, size=96, without=[1], noise=False)
    np.testing.assert_array_equal(np.abs(full - less) > MASK_THRESHOLD, study.findings[1].mask)
    noisy = render_without(study.seed, study.index, size=96)
    np.testing.assert_array_equal(noisy, study.image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"seed": -1, "index": 0, "size": 96}, "seed must be 0 or more, got -1", id="seed"),
        pytest.param({"seed": 0, "index": -2, "size": 96}, "index must be 0 or more, got -2", id="index"),
        pytest.param({"seed": 0, "index": 0, "size": 20}, "size must be 48 or more, got 20", id="size"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_study(arguments["seed"], arguments["index"], size=arguments["size"])


def test_leaving_out_a_finding_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="without must hold numbers of findings"):
        render_without(0, 0, size=48, without=[7])
