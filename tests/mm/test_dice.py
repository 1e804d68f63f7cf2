"""The Dice of each picture, by hand and against the published way of averaging."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import METRICS

import monai_place.mm  # noqa: F401
from monai_place.mm.dice import PerImageDiceMetric
from tests.support.processes import in_group, run_ranks

BINARY = {"classes": ("background", "lung")}
THREE = {"classes": ("background", "edema", "nodule")}


def sample(prediction: Any, truth: Any, **more: Any) -> dict[str, Any]:
    """Return what MMSegmentation hands over of one picture, each map (1, H, W)."""
    maps = {"pred_sem_seg": prediction, "gt_sem_seg": truth, **more}
    return {key: {"data": torch.as_tensor(value)[None]} for key, value in maps.items()}


def evaluate(batches: Sequence[Sequence[dict[str, Any]]], meta: dict[str, Any] = BINARY, **settings: Any) -> Any:
    metric = PerImageDiceMetric(**settings)
    metric.dataset_meta = meta
    for batch in batches:
        metric.process({}, batch)
    return metric.evaluate(sum(map(len, batches)))


HALF = sample([[1, 1, 0, 0]], [[0, 1, 1, 0]])  # 2 * 1 / (2 + 2)
MISSED = sample([[0, 0, 0, 0]], [[0, 1, 1, 0]])
RIGHT = sample([[0, 1, 1, 0]], [[0, 1, 1, 0]])
QUIET = sample([[0, 0, 0, 0]], [[0, 0, 0, 0]])
ALARM = sample([[0, 0, 0, 1]], [[0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("picture", "dice"),
    [
        pytest.param(RIGHT, 1.0, id="right"),
        pytest.param(HALF, 0.5, id="half"),
        pytest.param(MISSED, 0.0, id="missed"),
        pytest.param(QUIET, 1.0, id="nothing to find and nothing found"),
        pytest.param(ALARM, 0.0, id="false alarm"),
    ],
)
def test_dice_of_one_picture(picture: dict[str, Any], dice: float) -> None:
    assert evaluate([[picture]]) == {"Dice": dice}


def test_clean_averages_over_pictures_and_mgca_over_batches() -> None:
    batches = [[RIGHT, RIGHT, RIGHT], [MISSED]]
    assert evaluate(batches) == {"Dice": 0.75}
    assert evaluate(batches, mode="mgca") == {"Dice": 0.5}


def test_batch_size_does_not_matter_to_clean() -> None:
    pictures = [RIGHT, HALF, QUIET, ALARM, MISSED]
    assert evaluate([pictures]) == evaluate([[picture] for picture in pictures]) == {"Dice": 0.5}


def test_classes_are_averaged_and_background_is_none_of_them() -> None:
    batches = [[sample([[0, 1, 2, 2]], [[0, 1, 1, 2]])], [sample([[0, 0, 0, 0]], [[0, 0, 0, 2]])]]
    edema, nodule = (2 / 3 + 1) / 2, (2 / 3 + 0) / 2
    expected = {"Dice": (edema + nodule) / 2, "Dice.edema": edema, "Dice.nodule": nodule}
    assert evaluate(batches, THREE) == pytest.approx(expected)
    assert evaluate(batches, THREE, classes=["nodule"]) == pytest.approx({"Dice": nodule})


def test_ignored_pixels_do_not_count() -> None:
    assert evaluate([[sample([[1, 1, 1, 1]], [[255, 1, 255, 0]])]]) == pytest.approx({"Dice": 2 / 3})
    assert evaluate([[sample([[1, 0, 0, 0]], [[255, 0, 0, 0]])]]) == {"Dice": 1.0}


def test_threshold_takes_the_place_of_the_one_the_head_has() -> None:
    picture = sample([[1, 1, 0, 0]], [[0, 1, 1, 0]], seg_logits=[[0.4, 0.6, 0.6, 0.1]])
    assert evaluate([[picture]]) == {"Dice": 0.5}
    assert evaluate([[picture]], threshold=0.5) == {"Dice": 1.0}


def test_threshold_leaves_heads_of_several_logits_alone() -> None:
    picture = sample([[0, 1, 1, 0]], [[0, 1, 1, 0]])
    picture["seg_logits"] = {"data": torch.full((2, 1, 4), 0.9)}
    assert evaluate([[picture]], threshold=0.5) == {"Dice": 1.0}


def test_results_of_one_evaluation_do_not_reach_the_next() -> None:
    metric = PerImageDiceMetric(mode="mgca")
    metric.dataset_meta = BINARY
    for picture, dice in ((RIGHT, 1.0), (MISSED, 0.0)):
        metric.process({}, [picture])
        assert metric.evaluate(1) == {"Dice": dice}


def test_nothing_evaluated_is_no_answer() -> None:
    found = evaluate([], THREE)
    assert list(found) == ["Dice", "Dice.edema", "Dice.nodule"]
    assert all(map(math.isnan, found.values()))


def test_prefix_is_put_before_the_names() -> None:
    assert evaluate([[RIGHT]], prefix="lungs") == {"lungs/Dice": 1.0}


@pytest.mark.parametrize("name", ["PerImageDiceMetric", "monai_place.PerImageDiceMetric"])
def test_both_names_build_it(name: str) -> None:
    assert METRICS.build({"type": name, "mode": "mgca"}).mode == "mgca"


def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mode must be one of .*, got 'paper'"):
        PerImageDiceMetric(mode="paper")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"classes \['rib'\] are not in the data set, which has \['background', 'lung'\]"
    ):
        evaluate([[RIGHT]], classes=["rib"])
    with pytest.raises(ValueError, match="there is no class to evaluate"):
        evaluate([[RIGHT]], {"classes": ("background",)})
    with pytest.raises(
        ValueError, match=r"the prediction has \(1, 4\) pixels, the truth \(1, 2\): load the annotation"
    ):
        evaluate([[sample([[0, 0, 0, 0]], [[0, 0]])]])
    with pytest.raises(ValueError, match="a picture comes without truth"):
        evaluate([[{"pred_sem_seg": RIGHT["pred_sem_seg"]}]])


@pytest.mark.dist
def test_ranks_count_each_picture_once_and_each_batch_of_theirs(tmp_path: Path) -> None:
    run_ranks(evaluate_among_ranks, tmp_path)


def evaluate_among_ranks(rank: int, folder: Path) -> None:
    os.chdir(folder)  # MMEngine collects results in files under the working folder
    # Five pictures in turns; the sampler fills up the second rank with the first picture, which must not count again.
    shares = [[RIGHT, HALF, MISSED], [QUIET, ALARM, RIGHT]]
    with in_group(rank, folder):
        for mode, dice in (("clean", (1 + 1 + 0.5 + 0 + 0) / 5), ("mgca", (0.75 + 0.5 + 0) / 3)):
            metric = PerImageDiceMetric(mode=mode)
            metric.dataset_meta = BINARY
            metric.process({}, shares[rank][:2])
            metric.process({}, shares[rank][2:])
            assert metric.evaluate(5) == {"Dice": pytest.approx(dice)}
