"""One NIfTI file to a picture in [0, 1], turned so that the patient stands upright and faces the reader.

The affine says where the array's axes point in RAS+ mm (x to the patient's right, y to the front, z up). Of a file
whose plane holds z, rows run from the head down; columns run from the patient's right to the left where the plane is
frontal (x and z), from front to back where it is lateral (y and z). An oblique plane counts as its nearest.

A file whose plane does not hold z says nothing of up and down, such as one written with an identity matrix: axis 0 is
then x, the columns, and axis 1 is y, the rows, as they lie, which is how NIfTI stores a picture.

Values: uint8 is divided by 255 and uint16 by 65535 where the header scales nothing; all else runs from its minimum to
its maximum, after the header's scaling. A constant picture of the second kind becomes zero.
"""

from __future__ import annotations

import gzip
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.data.pixels import Picture, RadiographError, check_size, min_max_to_unit

__all__ = ["read_nifti"]

X, Y, Z = 0, 1, 2
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}  # anything else counts as mm, NIfTI's custom
FULL_SCALE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def read_nifti(path: Path) -> Picture:
    """Decode a NIfTI-1 or NIfTI-2 file, gzipped or not, that holds one slice.

    Args:
        path: the file.

    Raises:
        RadiographError: it is damaged, in color, holds a volume, NaN or infinity.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            return _read(stream)
    except RadiographError as error:
        raise RadiographError(f"{path.name}: {error}") from None
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise RadiographError(f"{path.name}: the NIfTI file is damaged ({type(error).__name__})") from None
    except Exception as error:  # nibabel's errors derive from Exception
        raise RadiographError(f"{path.name}: not a usable NIfTI file ({type(error).__name__})") from None


def _read(stream: gzip.GzipFile | BufferedReader) -> Picture:
    from nibabel import Nifti1Image, Nifti2Image
    from nibabel.fileholders import FileHolder

    size = stream.read(4)
    stream.seek(0)
    lengths = {int.from_bytes(size, "little"), int.from_bytes(size, "big")}
    if not lengths & {348, 540}:
        raise RadiographError("the content is not NIfTI")
    kind = Nifti1Image if 348 in lengths else Nifti2Image
    image = kind.from_file_map({"header": FileHolder(fileobj=stream), "image": FileHolder(fileobj=stream)})
    columns, rows = _plane(image.shape, image.affine)
    check_size(image.shape[rows[0]], image.shape[columns[0]])
    return Picture(_pixels(image, columns, rows), _spacing(image, columns[0], rows[0]))


def _plane(shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> tuple[tuple[int, bool], tuple[int, bool]]:
    """Return the array's axis of the picture's columns and that of its rows, each with whether it runs backwards."""
    from nibabel import io_orientation

    flat = [axis for axis, length in enumerate(shape[:3]) if length == 1]
    if len(shape) < 2 or any(length != 1 for length in shape[3:]) or (len(shape) > 2 and not flat):
        raise RadiographError(f"a volume of shape {shape}, a radiograph is one slice")
    first, second = [axis for axis in range(3) if axis != (flat[-1] if flat and len(shape) > 2 else 2)]
    directions = io_orientation(affine)  # for each axis of the array: its axis in space, and the sign
    towards = {int(directions[axis, 0]): axis for axis in (first, second) if not np.isnan(directions[axis, 0])}
    if len(towards) < 2 or Z not in towards:
        return (first, False), (second, False)
    row_axis = towards.pop(Z)
    (column_axis,) = towards.values()
    # Increasing rows go down, increasing columns to the patient's left or back: against the axis in space each.
    return (column_axis, bool(directions[column_axis, 1] > 0)), (row_axis, bool(directions[row_axis, 1] > 0))


def _pixels(image: Any, columns: tuple[int, bool], rows: tuple[int, bool]) -> npt.NDArray[np.float32]:
    stored = image.get_data_dtype()
    if stored.fields is not None or stored.kind == "c":
        raise RadiographError("color or complex values, a radiograph is grey")
    values = np.asanyarray(image.dataobj)
    if values.ndim > 2:
        keep = sorted((columns[0], rows[0]))
        values = values.reshape([values.shape[axis] for axis in keep])
    if columns[0] < rows[0]:
        values = values.T
    values = values[:: -1 if rows[1] else 1, :: -1 if columns[1] else 1]
    if not np.isfinite(values).all():
        raise RadiographError("the picture holds NaN or infinity")
    full = FULL_SCALE.get(values.dtype.newbyteorder("="))  # the header's scaling makes floats
    if full is None:
        return np.ascontiguousarray(min_max_to_unit(values).astype(np.float32))
    return np.ascontiguousarray(values.astype(np.float32) / np.float32(full))


def _spacing(image: Any, column_axis: int, row_axis: int) -> tuple[float, float]:
    lengths = np.linalg.norm(image.affine[:3, :3], axis=0) * MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    return float(lengths[row_axis]), float(lengths[column_axis])
