"""From files and arrays to the network's input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from monai_place.inference.images import ImageQueue, image_list, load_pixels, prepare_image, source_names
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.images import image_transforms

SPEC = PreprocessSpec(image_size=64)


@pytest.mark.parametrize("rule", ["pad", "crop", "stretch"])
def test_a_file_is_prepared_as_in_training(pictures, rule):
    spec = PreprocessSpec(image_size=48, mean=0.4, std=0.2, resize_rule=rule)
    for file in pictures:
        expected = Compose(image_transforms(spec))({"image": str(file)})["image"].as_tensor()
        assert torch.equal(prepare_image(file, spec).tensor, expected)


def test_an_array_is_prepared_as_its_file(pictures):
    pixels = np.asarray(Image.open(pictures[1])).astype(np.float32) / 255
    for image in (pixels, pixels[None], torch.from_numpy(pixels), torch.from_numpy(pixels).double()):
        assert torch.allclose(prepare_image(image, SPEC).tensor, prepare_image(pictures[1], SPEC).tensor, atol=1e-6)


def test_one_image_and_a_list_of_one_are_the_same(pictures):
    assert image_list(pictures[0]) == image_list([pictures[0]])
    assert len(image_list(np.zeros((5, 4)))) == 1
    assert len(image_list(torch.zeros(3, 1, 5, 4))) == 3


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        pytest.param(np.zeros((4, 4), np.uint8), TypeError, "uint8", id="uint8"),
        pytest.param(np.zeros((3, 4, 4)), ValueError, r"\(3, 4, 4\)", id="three-channels"),
        pytest.param(np.zeros((4, 4, 1)), ValueError, r"\(4, 4, 1\)", id="channel-last"),
        pytest.param(np.zeros((0, 4)), ValueError, r"\(0, 4\)", id="empty"),
        pytest.param(np.full((4, 4), 255.0), ValueError, "255", id="range"),
        pytest.param(np.full((4, 4), -0.1), ValueError, "-0.1", id="negative"),
        pytest.param(np.full((4, 4), np.nan), ValueError, "finite", id="nan"),
    ],
)
def test_an_array_of_another_layout_or_range_is_refused_not_cast(image, error, message):
    with pytest.raises(error, match=message):
        load_pixels(image)


def test_files_are_named_by_their_path_below_the_folder_they_share(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = source_names([tmp_path / "a" / "1.png", "a/2.png", tmp_path / "b" / "1.png", torch.zeros(2, 2)])
    assert names == ["a/1.png", "a/2.png", "b/1.png", "image 3"]
    assert source_names([tmp_path / "deep" / "only.png"]) == ["only.png"]


def test_a_batch_is_never_larger_than_asked_for_and_the_last_one_is_not_lost(pictures):
    queue = ImageQueue(pictures, SPEC, batch_size=2)
    assert [places for places, _ in queue] == [[0, 1], [2, 3], [4]]


def test_bad_files_are_listed_with_the_reason_and_the_others_go_on(pictures, tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.dcm").touch()
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(pictures[0].read_bytes()[:300])
    missing = tmp_path / "missing.png"
    images = [tmp_path / "text.png", pictures[0], tmp_path / "empty.dcm", truncated, pictures[1], missing]
    queue = ImageQueue(images, SPEC, batch_size=2)
    batches = list(queue)
    assert [places for places, _ in batches] == [[1, 4]]
    assert [failure.index for failure in queue.failed] == [0, 2, 3, 5]
    for failure, word in zip(queue.failed, ("content", "empty", "truncated", "not exist"), strict=True):
        assert word in failure.reason
        assert str(tmp_path) not in failure.reason


def test_a_bad_file_at_the_end_does_not_swallow_the_batch_before_it(pictures, tmp_path):
    queue = ImageQueue([pictures[0], tmp_path / "missing.png"], SPEC, batch_size=8)
    assert [places for places, _ in queue] == [[0]]
    assert len(queue.failed) == 1


def test_going_through_a_queue_twice_does_not_list_a_failure_twice(tmp_path):
    queue = ImageQueue([tmp_path / "missing.png"], SPEC)
    assert not list(queue)
    assert not list(queue)
    assert len(queue.failed) == 1


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        ImageQueue([], SPEC, batch_size=0)


def test_progress_counts_every_image_and_ends_at_their_number(pictures, tmp_path):
    seen = []
    images = [*pictures[:3], tmp_path / "missing.png"]
    list(ImageQueue(images, SPEC, batch_size=2, progress=lambda done, total: seen.append((done, total))))
    assert seen[0] == (2, 4)
    assert seen[-1] == (4, 4)
    assert seen == sorted(seen)


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_name_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png")
    queue = ImageQueue([path, str(tmp_path / "ü.png")], PreprocessSpec(image_size=8))
    assert list(queue) == []
    assert queue.names == [r"bad\xff.png", "ü.png"]
    reasons = [failure.reason for failure in queue.failed]
    assert reasons == [r"bad\xff.png: the file does not exist", "ü.png: the file does not exist"]
