from __future__ import annotations

import pytest

from monai_place.data.sources.readers import ReaderBox, fuse_boxes, overlap

ONE, NEAR, FAR = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 8.0), (50.0, 50.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("other", "share"),
    [
        pytest.param(ONE, 1.0, id="same"),
        pytest.param(NEAR, 0.8, id="inside"),
        pytest.param((5.0, 0.0, 15.0, 10.0), 1 / 3, id="half beside"),
        pytest.param((10.0, 0.0, 20.0, 10.0), 0.0, id="touching"),
        pytest.param(FAR, 0.0, id="far"),
    ],
)
def test_overlap_is_intersection_over_union(other: tuple[float, float, float, float], share: float) -> None:
    assert overlap(ONE, other) == overlap(other, ONE) == pytest.approx(share)


def test_boxes_of_enough_readers_become_their_mean_and_others_go() -> None:
    boxes = [ReaderBox("R1", "Mass", ONE), ReaderBox("R2", "Mass", NEAR), ReaderBox("R3", "Mass", FAR)]
    assert fuse_boxes(boxes) == [("Mass", (0, 0, 10, 9))]
    assert fuse_boxes(boxes, min_readers=1) == [("Mass", (0, 0, 10, 9)), ("Mass", FAR)]
    assert fuse_boxes(boxes, min_readers=3) == []
    assert fuse_boxes(boxes, min_overlap=0.9) == []
    assert fuse_boxes([]) == []


def test_findings_are_apart() -> None:
    assert fuse_boxes([ReaderBox("R1", "Mass", ONE), ReaderBox("R2", "Nodule", ONE)]) == []


def test_two_boxes_of_one_reader_are_not_two_readers() -> None:
    assert fuse_boxes([ReaderBox("R1", "Mass", ONE), ReaderBox("R1", "Mass", NEAR)]) == []
    both = [ReaderBox("R1", "Mass", ONE), ReaderBox("R1", "Mass", NEAR), ReaderBox("R2", "Mass", ONE)]
    assert fuse_boxes(both) == [("Mass", ONE)]


def test_the_best_match_of_each_reader_is_taken() -> None:
    boxes = [
        ReaderBox("R1", "Mass", ONE),
        ReaderBox("R2", "Mass", (0.0, 0.0, 10.0, 6.0)),
        ReaderBox("R2", "Mass", NEAR),
    ]
    assert fuse_boxes(boxes) == [("Mass", (0, 0, 10, 9))]


def test_the_order_of_rows_does_not_matter() -> None:
    boxes = [
        ReaderBox("R1", "Mass", ONE),
        ReaderBox("R2", "Mass", NEAR),
        ReaderBox("R3", "Mass", (1.0, 1.0, 10.0, 10.0)),
    ]
    assert fuse_boxes(boxes) == fuse_boxes(boxes[::-1]) == [("Mass", (0.33, 0.33, 10.0, 9.33))]
