from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from monai_place.data.radiograph import RadiographError, read_radiograph

PICTURE = np.random.default_rng(0).integers(0, 65536, (9, 14), dtype=np.uint16)  # (H, W)
PICTURE[0, 0], PICTURE[-1, -1] = 0, 65535
EXPECTED = PICTURE.astype(np.float32) / 65535


def frontal(column_mm: float = 0.3, row_mm: float = 0.2) -> npt.NDArray[np.float64]:
    """Axis 0 to the patient's left, axis 1 down, axis 2 forward, in RAS+ mm: a frontal picture as it is shown."""
    affine = np.zeros((4, 4))
    affine[X, 0], affine[Z, 1], affine[Y, 2], affine[3, 3] = -column_mm, -row_mm, 1, 1
    return affine


X, Y, Z = 0, 1, 2


def write(path: Path, data: npt.NDArray[Any], affine: Any, kind: Any = nib.Nifti1Image, **header: Any) -> Path:
    image = kind(data, affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def read(folder: Path, data: npt.NDArray[Any], affine: Any, name: str = "a.nii.gz", **options: Any) -> Any:
    return read_radiograph(write(folder / name, data, affine, **options))[0]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_frontal_slice_equals_the_picture_it_was_written_from(tmp_path: Path, name: str, kind: Any) -> None:
    path = write(tmp_path / name, PICTURE.T[..., None], frontal(), kind)
    result, meta = read_radiograph(path)
    np.testing.assert_array_equal(result, EXPECTED)
    assert result.flags["C_CONTIGUOUS"]
    assert meta["pixel_spacing_mm"] == pytest.approx((0.2, 0.3))
    np.testing.assert_allclose(meta["affine"], np.diag([0.2, 0.3, 1, 1]))


def test_a_file_without_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz"):
        write(tmp_path / name, PICTURE.T[..., None], frontal()).rename(tmp_path / "study")
        np.testing.assert_array_equal(read_radiograph(tmp_path / "study")[0], EXPECTED)


@pytest.mark.parametrize("flip_columns", [False, True])
@pytest.mark.parametrize("flip_rows", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 2, 0)])
def test_every_storage_order_of_a_frontal_slice_gives_the_same_picture(
    tmp_path: Path, flip_columns: bool, flip_rows: bool, order: tuple[int, int, int]
) -> None:
    data, affine = PICTURE.T[..., None], frontal()
    if flip_columns:
        data, affine[:3, 0] = data[::-1], -affine[:3, 0]
    if flip_rows:
        data, affine[:3, 1] = data[:, ::-1], -affine[:3, 1]
    data, affine = data.transpose(order), affine[:, [*order, 3]]
    np.testing.assert_array_equal(read(tmp_path, data, affine), EXPECTED)


def test_an_oblique_plane_counts_as_its_nearest(tmp_path: Path) -> None:
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path = write(tmp_path / "a.nii", PICTURE.T[..., None], turn @ frontal())
    result, meta = read_radiograph(path)
    np.testing.assert_array_equal(result, EXPECTED)
    assert meta["pixel_spacing_mm"] == pytest.approx((0.2, 0.3))


def test_a_lateral_slice_has_its_head_on_top_and_its_front_on_the_left(tmp_path: Path) -> None:
    affine = np.zeros((4, 4))
    affine[Y, 0], affine[Z, 1], affine[X, 2], affine[3, 3] = (
        0.3,
        0.2,
        1,
        1,
    )  # both run against the picture
    np.testing.assert_array_equal(read(tmp_path, PICTURE.T[::-1, ::-1, None], affine), EXPECTED)


@pytest.mark.parametrize("data", [PICTURE.T, PICTURE.T[..., None], PICTURE.T[..., None, None]])
def test_a_plane_without_up_and_down_is_taken_as_x_and_y(tmp_path: Path, data: npt.NDArray[Any]) -> None:
    np.testing.assert_array_equal(read(tmp_path, data, np.eye(4)), EXPECTED)
    np.testing.assert_array_equal(read(tmp_path, data, None), EXPECTED)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001), ("unknown", 1)])
def test_spacing_is_given_in_mm_whatever_the_unit_of_the_file(tmp_path: Path, unit: str, factor: float) -> None:
    image = nib.Nifti1Image(PICTURE.T[..., None], frontal())
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    spacing = read_radiograph(tmp_path / "a.nii")[1]["pixel_spacing_mm"]
    assert spacing == pytest.approx((0.2 * factor, 0.3 * factor))


def test_uint8_and_uint16_are_divided_by_their_full_scale(tmp_path: Path) -> None:
    data = np.array([[10, 200], [30, 40], [0, 7]], dtype=np.uint8)
    np.testing.assert_array_equal(read(tmp_path, data, np.eye(4)), data.T.astype(np.float32) / 255)
    dim = (PICTURE // 9).astype(">u2")
    np.testing.assert_allclose(read(tmp_path, dim.T, np.eye(4)), dim / 65535, atol=1e-7)


@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "i4"])
def test_other_types_run_from_their_minimum_to_their_maximum(tmp_path: Path, kind: str) -> None:
    data = (PICTURE.astype(np.int64) // 4 - 5000).astype(kind)
    low, high = data.min().astype(float), data.max().astype(float)
    np.testing.assert_allclose(read(tmp_path, data.T, np.eye(4)), (data - low) / (high - low), atol=1e-6)


def test_the_scaling_of_the_header_is_honored(tmp_path: Path) -> None:
    image = nib.Nifti1Image(PICTURE.T, np.eye(4))
    image.header.set_slope_inter(-2.0, 100.0)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    assert stored.dataobj.slope == -2.0
    values = np.asarray(stored.dataobj, dtype=np.float64).T
    expected = (values - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.nii")[0], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["f4", "i2"])
def test_a_constant_picture_is_zero_without_a_warning(tmp_path: Path, kind: str) -> None:
    assert not read(tmp_path, np.full((4, 5), 7, dtype=kind), np.eye(4)).any()


def refused(path: Path, reason: str) -> None:
    with pytest.raises(RadiographError, match=reason) as error:
        read_radiograph(path)
    assert str(error.value).startswith(f"{path.name}: ")
    assert str(path.parent) not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_with_nan_or_infinity_is_refused(tmp_path: Path, value: float) -> None:
    data = EXPECTED.T.copy()
    data[2, 3] = value
    refused(write(tmp_path / "a.nii.gz", data, np.eye(4)), "NaN or infinity")


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 1, 3), (7,)])
def test_a_volume_a_series_and_a_line_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    refused(write(tmp_path / "a.nii", np.zeros(shape, dtype=np.uint8), np.eye(4)), "a volume of shape")


def test_color_and_complex_values_are_refused(tmp_path: Path) -> None:
    color = np.zeros((4, 5, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(write(tmp_path / "a.nii", color, np.eye(4)), "color or complex")
    refused(write(tmp_path / "b.nii", np.zeros((4, 5), dtype=np.complex64), np.eye(4)), "color or complex")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, PICTURE.T[..., None], frontal())
    whole = path.read_bytes()
    for length in (len(whole) - 20, len(whole) // 2, 100):
        path.write_bytes(whole[:length])
        refused(path, "damaged|not a usable|not NIfTI")


def test_zipped_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"no picture" * 100))
    refused(tmp_path / "a.nii.gz", "the content is not NIfTI")


def test_a_header_that_promises_too_many_pixels_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", PICTURE.T[..., None], frontal())
    data = bytearray(path.read_bytes())
    data[42:46] = np.array([30000, 30000], dtype="<i2").tobytes()
    path.write_bytes(data)
    refused(path, "30000 x 30000 pixels are more than")
