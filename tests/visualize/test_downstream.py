from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monai_place.visualize import DownstreamExample, DownstreamTask, RunReport, render_run_report
from monai_place.visualize.downstream import MOST_EXAMPLES, build_downstream

IMAGE = np.full((8, 6), 0.5)
BOX = np.array([1.0, 2.0, 4.5, 7.0])


def mask() -> np.ndarray:
    region = np.zeros((8, 6), dtype=bool)
    region[2:4, 1:3] = True
    return region


def example(**changes) -> DownstreamExample:
    values = {"image": IMAGE, "truth": [mask()], "predictions": {"pretrained": [BOX], "random start": []}}
    return DownstreamExample(**{**values, **changes})


TASK = DownstreamTask("Detection", "AP50", {"pretrained": [0.5, 0.7], "random start": [0.1]}, "80 steps", [example()])


def test_rows_hold_mean_spread_and_every_seed():
    rows = build_downstream([TASK])[0]["rows"]
    assert rows[0] == {"name": "pretrained", "mean": "0.600", "spread": "0.141", "seeds": ["0.500", "0.700"]}
    assert rows[1]["spread"] == ""


def test_pictures_show_truth_first_and_then_each_network():
    views = build_downstream([TASK])[0]["examples"][0]["views"]
    assert [view["name"] for view in views] == ["truth", "pretrained", "random start"]
    assert views[1]["outline"] == "M1 2L4.5 2L4.5 7L1 7Z"
    assert views[0]["outline"].startswith("M")
    assert views[2]["outline"] == ""


def test_pictures_beyond_the_bound_are_left_out():
    many = dataclasses.replace(TASK, examples=[example()] * (MOST_EXAMPLES + 2))
    assert len(build_downstream([many])[0]["examples"]) == MOST_EXAMPLES


def test_page_shows_the_tasks_and_their_pictures():
    page = render_run_report(RunReport("A run", downstream=[TASK]))
    for text in ("In the toolboxes", "Detection", "AP50", "80 steps", "random start", "M1 2L4.5 2L4.5 7L1 7Z"):
        assert text in page
    assert "In the toolboxes" not in render_run_report(RunReport("A run"))


@pytest.mark.parametrize("region", [np.zeros((6, 8)), np.zeros(5)])
def test_region_of_another_shape_is_refused(region):
    with pytest.raises(ValueError, match=r"a region is a mask \(8, 6\) or a box"):
        example(predictions={"pretrained": [region]})


@pytest.mark.parametrize("scores", [{}, {"pretrained": []}])
def test_task_without_a_score_is_refused(scores):
    with pytest.raises(ValueError, match="scores of 'Detection' must hold at least one number"):
        dataclasses.replace(TASK, scores=scores)
