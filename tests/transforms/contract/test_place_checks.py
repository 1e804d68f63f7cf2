from __future__ import annotations

import pytest
from monai.transforms import Flipd, Identityd

from monai_place.transforms.contract import check_transform
from tests.support import bad_transforms


@pytest.mark.parametrize(
    ("name", "failed", "message"),
    [
        ("MovesSilently", "affine", "moves the dot of a landscape picture to"),
        ("MovesImageAlone", "masks", "outside of its mask"),
        ("MovesImageAlone", "boxes", "outside of its box"),
        ("MixesMask", "masks", "mixes the integers of a mask"),
        ("ShrinksMask", "masks", "gives a mask (1, 48, 72) for an image (1, 96, 144)"),
        ("WrongInverse", "inverse", "the inverse brings the dot to"),
        ("SmallInverse", "inverse", "the inverse gives (1, 95, 144) for (1, 96, 144)"),
    ],
)
def test_what_loses_its_place_is_found(name: str, failed: str, message: str) -> None:
    report = check_transform(getattr(bad_transforms, name), worker=False)
    assert report[failed].status == "fail"
    assert message in report[failed].message


def test_an_image_that_moves_alone_is_right_where_the_affine_tells() -> None:
    report = check_transform(Flipd, arguments={"spatial_axis": 0}, worker=False)
    assert report["affine"].message.startswith("pixels move, and the affine says where")
    assert report["masks"].message == "leaves masks alone; they follow by the affine"
    assert report["boxes"].message == "leaves boxes alone; they follow by the affine"


def test_what_moves_nothing_has_nothing_to_follow() -> None:
    report = check_transform(Identityd, worker=False)
    assert report["affine"].message == "no pixel moves"
    assert report["masks"].status == report["boxes"].status == report["inverse"].status == "not applicable"
