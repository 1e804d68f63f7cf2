"""The images of a folder, good and bad."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from monai_place.inference.image_folder import ImageFolderDataset, image_records, require_images
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms import image_transforms

SIZE = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two images, one broken file and things that are no images."""
    root = tmp_path / "images"
    (root / "deep").mkdir(parents=True)
    for name in ("b.png", "deep/a.PNG"):
        Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(root / name, format="PNG")
    (root / "broken.dcm").write_bytes(b"not a radiograph")
    for name in ("notes.txt", ".hidden.png", "DICOMDIR", "LICENSE"):
        (root / name).write_text("x", encoding="utf-8")
    return root


def dataset(root: Path) -> ImageFolderDataset:
    transform = Compose(image_transforms(PreprocessSpec(image_size=SIZE)))
    return ImageFolderDataset(image_records(root), transform, image_size=SIZE, root=root)


def test_images_are_listed_in_order_of_name_and_nothing_else(folder: Path) -> None:
    (folder / "1.2.840.10008").write_bytes(b"")  # as archives name DICOM files
    assert [r["source"] for r in image_records(folder)] == ["1.2.840.10008", "b.png", "broken.dcm", "deep/a.PNG"]


def test_bad_file_has_its_place_and_its_reason(folder: Path) -> None:
    items = list(dataset(folder))
    assert [item["source"] for item in items if item["error"] is None] == ["b.png", "deep/a.PNG"]
    (bad,) = (item for item in items if item["error"] is not None)
    assert "broken.dcm" in bad["error"]
    assert torch.equal(torch.as_tensor(bad["image"]), torch.zeros(1, SIZE, SIZE))
    assert items[0]["image"].shape == (1, SIZE, SIZE)


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_name_that_is_no_utf8_can_be_written_and_its_file_is_read(folder: Path) -> None:
    (folder / "b.png").rename(folder / os.fsdecode(b"bad\xff.png"))
    (folder / "broken.dcm").rename(folder / os.fsdecode(b"broken\xff.dcm"))
    good, bad = (item for item in dataset(folder) if item["source"].startswith("b"))
    assert (good["source"], good["error"]) == (r"bad\xff.png", None)
    assert torch.as_tensor(good["image"]).any()
    assert bad["source"] == r"broken\xff.dcm"
    assert bad["error"].startswith(r"broken\xff.dcm: ")
    str(bad["error"]).encode("utf-8")


def test_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (item,) = (item for item in dataset(folder) if item["source"] == "link.png")
    assert item["error"] is not None
    assert not torch.as_tensor(item["image"]).any()


def test_folder_without_images_is_an_error_only_where_they_are_needed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        empty = dataset(tmp_path / "nowhere")
    assert "'nowhere' is no folder" in caplog.text
    with pytest.raises(FileNotFoundError, match="'nowhere' holds no DICOM"):
        require_images(empty)
