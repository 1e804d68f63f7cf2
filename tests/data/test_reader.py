from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.transforms import LoadImage, LoadImaged
from PIL import Image

from monai_place.data import radiograph
from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.data.reader import RadiographReader

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"

# LoadImage makes one of each reader it knows, and MONAI's reader for decoding on a GPU warns that it will not.
monai_warns = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


def test_the_reader_is_known_by_the_name_of_the_module_that_reads() -> None:
    assert radiograph.RadiographReader is RadiographReader
    with pytest.raises(AttributeError, match="no attribute 'Reader'"):
        radiograph.Reader  # noqa: B018


@monai_warns
@pytest.mark.parametrize("name", ["JPEG2000.dcm", "examples_overlay.dcm"])
def test_monai_loads_through_the_reader_by_its_dotted_name_with_rows_first(name: str) -> None:
    loader = LoadImaged("image", reader="monai_place.data.radiograph.RadiographReader", ensure_channel_first=True)
    image = loader({"image": SHIPPED / name})["image"]
    expected, meta = read_radiograph(SHIPPED / name)
    assert image.shape == (1, *expected.shape)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), expected)
    np.testing.assert_array_equal(image.affine, meta["affine"])
    assert tuple(image.meta["pixel_spacing_mm"]) == meta["pixel_spacing_mm"]


@monai_warns
@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "rtdose_rle.dcm", "examples_palette.dcm", "README.txt"])
def test_monai_passes_no_refused_file_on_to_another_reader(name: str) -> None:
    with pytest.raises(RadiographError):
        LoadImage(reader=RadiographReader())(SHIPPED / name)


def test_the_reader_knows_its_suffixes_and_takes_one_file() -> None:
    reader = RadiographReader()
    assert reader.verify_suffix(["a.DCM", "b.nii.gz", Path("c.jpeg"), "IM0001"])
    assert not reader.verify_suffix("a.tiff")
    with pytest.raises(RadiographError, match="expected one file, got 2"):
        reader.read(["a.png", "b.png"])


def test_unknown_spacing_is_nan_where_monai_batches_it(tmp_path: Path) -> None:
    Image.new("L", (11, 7)).save(tmp_path / "a.png")
    _, meta = RadiographReader().get_data(tmp_path / "a.png")
    assert np.isnan(meta["pixel_spacing_mm"]).all()
    assert meta["pixel_spacing_mm"].shape == (2,)
