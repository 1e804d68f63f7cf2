"""One DICOM file to a picture in [0, 1], as the standard says it is to be shown.

The order is that of PS3.4 N.2: stored values, modality (Modality LUT or Rescale, PS3.3 C.11.1), values of interest (VOI
LUT or the first window, C.11.2), polarity. Without a VOI LUT and a window the picture's own minimum and maximum take
their place, Pixel Padding Value left out of both.

Polarity is said in two places, and they say the same thing once:

- Photometric Interpretation (PS3.3 C.7.6.3.1.2): MONOCHROME1 means that the minimum is to be shown white, after any VOI
  transformation; MONOCHROME2 that it is to be shown black.
- Presentation LUT Shape (C.11.6, and C.8.11.3 for digital X-ray): INVERSE means that the values must be inverted to
  become P-Values, IDENTITY that they are P-Values. In an image object C.8.11.3 asks for INVERSE with MONOCHROME1 and
  for IDENTITY with MONOCHROME2: both describe ONE inversion.

So a picture is inverted, once, when it is MONOCHROME1, or INVERSE, or both. MONOCHROME1 with IDENTITY contradicts the
standard; Photometric Interpretation, which every image must have, wins, and a warning is logged.

Only the elements that this needs are read from the file: names, dates and identifiers never enter the process.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from monai_place.data.codestream import check_codestream
from monai_place.data.pixels import (
    MAX_PIXELS,
    Picture,
    RadiographError,
    check_size,
    min_max_to_unit,
    silent_decoders,
)

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["read_dicom"]

logger = logging.getLogger(__name__)

ELEMENTS = [
    "SOPClassUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
]
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
DIRECTORY = "1.2.840.10008.1.3.10"

# What has pixels and is no picture of a patient (PS3.4 B.5).
NO_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.481.2": "a dose distribution",
}

DEFLATED = b"1.2.840.10008.1.2.1.99"
META_LENGTH_AT, META_START = 140, 144  # the value of (0002,0000), and what it counts from (PS3.10 7.1)
MAX_INFLATED_BYTES = 4 * MAX_PIXELS


def read_dicom(path: Path) -> Picture:
    """Decode a DICOM file with one grey frame.

    Args:
        path: the file; it may lack the preamble and the file meta information.

    Raises:
        RadiographError: it is damaged, not an image, in color, has several frames, or its decoder is not installed.
    """
    try:
        # pydicom warns of values that do not fit their type; what comes of them is checked here.
        with silent_decoders():
            dataset = _read(path)
            _check(dataset)
            stored = _decode(dataset)
            return Picture(_show(dataset, stored, path.name), _spacing(dataset))
    except RadiographError as error:
        raise RadiographError(f"{path.name}: {error}") from None
    except Exception as error:  # pydicom and its decoders raise whatever a damaged file leads them to
        logger.debug("%s: %s while reading", path.name, type(error).__name__)
        raise RadiographError(f"{path.name}: the DICOM file is damaged ({type(error).__name__})") from None


def _read(path: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    _refuse_deflate_bomb(path)
    dataset = dcmread(path, force=True, specific_tags=list(ELEMENTS))
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _refuse_deflate_bomb(path: Path) -> None:
    """A deflated data set is inflated whole by pydicom: try first that it ends below a limit."""
    with path.open("rb") as file:
        head = file.read(1024)
        if DEFLATED not in head:
            return
        file.seek(META_START + int.from_bytes(head[META_LENGTH_AT:META_START], "little"))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        size = 0
        while (part := inflater.unconsumed_tail or file.read(1 << 16)) and not inflater.eof:
            size += len(inflater.decompress(part, 1 << 24))
            if size > MAX_INFLATED_BYTES:
                raise RadiographError("the deflated data set is too large, a decompression bomb")


def _check(dataset: Dataset) -> None:
    if not any(key in dataset for key in PIXELS):
        raise RadiographError(_without_pixels(dataset))
    if (kind := NO_PICTURES.get(str(dataset.get("SOPClassUID")))) is not None:
        raise RadiographError(f"{kind}, not a radiograph")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise RadiographError("a multi-frame object; one frame must be chosen and exported before")
    if "PhotometricInterpretation" not in dataset:
        raise RadiographError("the header is incomplete: Photometric Interpretation is missing")
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.PhotometricInterpretation not in MONOCHROME:
        raise RadiographError("a color object, a radiograph is grey (MONOCHROME1 or MONOCHROME2)")
    check_size(int(dataset.Rows), int(dataset.Columns))


def _without_pixels(dataset: Dataset) -> str:
    if dataset.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
        return "a DICOMDIR, an index of other files"
    if "Rows" in dataset:  # pydicom gives up a data set that ends too early
        return "the pixel data are missing, the file is truncated"
    if "SOPClassUID" in dataset:
        return "not an image object: it has no pixel data"
    return "no pixel data: not an image object, or the file is truncated"


def _decode(dataset: Dataset) -> npt.NDArray[Any]:
    """Return the stored values (H, W): integers with their sign, or floats."""
    from pydicom.encaps import generate_frames
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:
            raise RadiographError("its transfer syntax is not one of still pictures") from None
        if not available:
            raise RadiographError("no decoder for its compression is installed; install pylibjpeg[all] and pyjpegls")
        check_codestream(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    try:
        stored = pixel_array(dataset)
    except Exception as error:
        logger.debug("%s while decoding pixel data", type(error).__name__)
        raise RadiographError("the pixel data are damaged or truncated") from None
    _check_bits(dataset, stored)
    expected = (int(dataset.Rows), int(dataset.Columns))
    if stored.shape != expected:
        raise RadiographError(f"the pixel data have the shape {stored.shape}, the header says {expected}")
    if not np.isfinite(stored).all():
        raise RadiographError("the pixel data hold NaN or infinity")
    return stored


def _check_bits(dataset: Dataset, stored: npt.NDArray[Any]) -> None:
    """Refuse stored bits that do not lie at the low end, as before 2008 they might: pydicom takes the low ones.

    Where nothing lies above these, High Bit is wrong, and the picture is right.
    """
    from pydicom.pixels import pixel_array
    from pydicom.uid import RLELossless

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:  # the codestream says where its bits are
        return
    if dataset.get("HighBit") in (None, dataset.get("BitsStored", 0) - 1):
        return
    dataset.BitsStored = dataset.BitsAllocated
    if not np.array_equal(pixel_array(dataset), stored):
        raise RadiographError("High Bit does not fit Bits Stored: which bits are the picture's is not certain")


def _show(dataset: Dataset, stored: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    values = _modality(dataset, stored)
    shown = _value_of_interest(dataset, values, name)
    if shown is None:
        shown = min_max_to_unit(values, ~_padding(dataset, stored))
        if not shown.any():  # a constant picture is black, whatever its polarity
            return shown.astype(np.float32)
    # Double precision until here: a MONOCHROME1 picture and its MONOCHROME2 twin round to the same float32.
    return (1.0 - shown if _is_inverted(dataset, name) else shown).astype(np.float32)


def _modality(dataset: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if dataset.get("ModalityLUTSequence"):
        return _look_up(dataset, dataset.ModalityLUTSequence[0], stored)[0]
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is None or intercept is None:
        return stored
    return stored.astype(np.float64) * float(slope) + float(intercept)


def _value_of_interest(dataset: Dataset, values: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64] | None:
    """Apply the VOI LUT, or else the first window; the result lies in [0, 1]. None where the file has neither."""
    from pydicom.pixels import apply_windowing

    if dataset.get("VOILUTSequence") and dataset.VOILUTSequence[0].get("LUTData") is not None:
        found, bits = _look_up(dataset, dataset.VOILUTSequence[0], values)
        return found / max(2.0**bits - 1, float(found.max()))
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return None
    try:
        # The ends of the window's output range are what it makes of the ends of the input's. An exponential that
        # overflows is the sigmoid's limit.
        with np.errstate(over="ignore"):
            low, high = apply_windowing(np.array([-1e300, 1e300]), dataset)
            shown = (apply_windowing(values, dataset) - low) / (high - low)
    except (ValueError, TypeError):
        logger.warning("%s: its window is not valid, the picture's minimum and maximum are used", name)
        return None
    return np.clip(shown, 0.0, 1.0)


def _look_up(dataset: Dataset, item: Dataset, values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], int]:
    """Apply a LUT item: the found entries, and the bits of an entry.

    pydicom's own function keeps the index in the type of the entries: an 8 bit LUT wraps on 12 bit values.
    """
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count or 1 << 16
    if dataset.get("PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16  # read as unsigned, where the sign is that of the pixels (PS3.3 C.11.1.1)
    data = item.LUTData
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    if isinstance(data, bytes):
        # Entries of 8 bits come packed or in 16 bits each; the length tells (PS3.3 C.11.1.1.1, note).
        kind = "u1" if len(data) < 2 * count else ("<u2" if little else ">u2")
        entries = np.frombuffer(data, dtype=kind)
    else:
        entries = np.atleast_1d(np.asarray(data, dtype=np.uint16))
        if len(entries) < count:
            entries = entries.astype("<u2").view(np.uint8)
    if len(entries) < count:
        raise RadiographError("a look-up table is shorter than its descriptor says")
    index = np.clip(np.rint(values) - first, 0, count - 1).astype(np.int64)
    return entries[:count].astype(np.int64)[index], bits


def _padding(dataset: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell the pixels that only fill the frame (PS3.3 C.7.5.1.1.2)."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    padding: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padding


def _is_inverted(dataset: Dataset, name: str) -> bool:
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    first_is_white = str(dataset.PhotometricInterpretation).strip() == "MONOCHROME1"
    if first_is_white and shape == "IDENTITY":
        logger.warning("%s: MONOCHROME1 with Presentation LUT Shape IDENTITY; shown as MONOCHROME1", name)
    return first_is_white or shape == "INVERSE"


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Return (row, column) in mm: calibrated at the patient, or else at the detector, or else at the film."""
    for key in SPACINGS:
        try:
            row, column = (float(value) for value in dataset.get(key) or ())
        except (TypeError, ValueError):
            continue
        if 0 < row < np.inf and 0 < column < np.inf:
            return row, column
    return None
