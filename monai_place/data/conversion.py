"""One record's pictures brought to a smaller size: the image, its masks, its boxes, and the sums for pixel statistics.

Images are resampled by Lanczos' filter over all pixels that a new one covers: it lets neither the lines of a grid nor
noise through as patterns, which an average over areas does. It overshoots at hard edges such as markers, by at most a
tenth of the step; what leaves [0, 1] is clipped. A large JPEG is decoded at a half, a quarter or an eighth first, where
that leaves at least twice the side.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.data.datalist import read_report
from monai_place.data.grey_files import FileFormat, GreyFormat, quantize, write_grey, write_index_mask
from monai_place.data.journal import file_stamp
from monai_place.data.paths import PathGuard, safe_name
from monai_place.data.radiograph import RadiographError, read_mask, read_radiograph

__all__ = ["Conversion", "ConvertedImage", "PixelSums", "convert_image", "fit_record", "image_name", "inline_report"]

logger = logging.getLogger(__name__)

METHOD = 1  # of the conversion; raised where the same settings give other pixels
REDUCED_AT_LEAST = 2  # sides
Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Conversion:
    """How images are converted.

    Args:
        side: of the shorter side, in pixels; a smaller image keeps its size. The aspect ratio is kept.
        depth: 8 or 16 bits a pixel; JPEG has 8.
        file_format: `png` or `jpeg`.
        quality: of a JPEG.

    Raises:
        ValueError: a value is out of its range.
    """

    side: int = 512
    depth: int = 8
    file_format: FileFormat = "png"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError(f"side must be at least 1 pixel, got {self.side}")
        GreyFormat(self.depth, self.file_format, self.quality)  # checks the others

    @property
    def suffix(self) -> str:
        """Of the files, with its dot."""
        return GreyFormat(self.depth, self.file_format, self.quality).suffix

    def settings(self) -> dict[str, Any]:
        """Return what the pixels depend on, as plain JSON values."""
        return {**asdict(self), "method": METHOD}

    def size(self, height: int, width: int) -> Size:
        """Return (height, width) of a converted image.

        Example:
            >>> Conversion(512).size(3056, 2544), Conversion(512).size(400, 600)
            ((615, 512), (400, 600))
        """
        shorter = min(height, width)
        if shorter <= self.side:
            return height, width
        return round(height * self.side / shorter), round(width * self.side / shorter)


@dataclass(frozen=True)
class ConvertedImage:
    """What is known of an image that was converted; an entry of a journal.

    Args:
        stamp: of its source, by `file_stamp`.
        length: of its file in bytes.
        before: (height, width) of its source.
        after: (height, width) of it.
        total: the sum of its pixels in [0, 1].
        squares: the sum of their squares.
        spacing_mm: (row, column) distance of its pixel centers, or None where the source does not say.
    """

    stamp: str
    length: int
    before: Size
    after: Size
    total: float
    squares: float
    spacing_mm: tuple[float, float] | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of it for one of its source, (down, across)."""
        return self.after[0] / self.before[0], self.after[1] / self.before[1]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        pairs = {"before": list(self.before), "after": list(self.after)}
        return {**asdict(self), **pairs, "spacing_mm": list(self.spacing_mm) if self.spacing_mm else None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConvertedImage:
        """Build it from `to_dict`'s result."""
        pairs = {key: tuple(values[key]) if values[key] else None for key in ("before", "after", "spacing_mm")}
        return cls(**{**values, **pairs})


@dataclass
class PixelSums:
    """Sums over the pixels of many images, and the mean and standard deviation that follow.

    Example:
        >>> sums = PixelSums()
        >>> sums.add(ConvertedImage("", 0, (2, 2), (1, 2), total=1.0, squares=1.0))
        >>> sums.mean, sums.std
        (0.5, 0.5)
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, image: ConvertedImage) -> None:
        """Count the pixels of an image."""
        self.count += image.after[0] * image.after[1]
        self.total += image.total
        self.squares += image.squares

    def to_dict(self) -> dict[str, float]:
        """Return `pixel_mean` and `pixel_std` as a datalist has them; nothing without pixels."""
        return {"pixel_mean": round(self.mean, 6), "pixel_std": round(self.std, 6)} if self.count else {}

    @property
    def mean(self) -> float:
        """Of all pixels; NaN without any."""
        return self.total / self.count if self.count else float("nan")

    @property
    def std(self) -> float:
        """Of all pixels; NaN without any."""
        return float(np.sqrt(max(0.0, self.squares / self.count - self.mean**2))) if self.count else float("nan")


def convert_image(
    source: Path, target: Path, conversion: Conversion, *, known: ConvertedImage | None = None
) -> ConvertedImage:
    """Convert one image, whole or not at all; what is known to be done already is left as it is.

    Args:
        source: a DICOM, NIfTI, PNG or JPEG file.
        target: the file to write.
        conversion: how.
        known: the result of an earlier run with the same `conversion`.

    Raises:
        RadiographError: the source cannot be used.
    """
    stamp = _stamp(source)
    if known is not None and known.stamp == stamp and _length(target) == known.length:
        return known
    pixels, meta = read_radiograph(source, least_side=REDUCED_AT_LEAST * conversion.side)
    height, width = map(int, meta["file_shape"])
    after = conversion.size(height, width)
    small = _shrink(pixels, after)
    write_grey(target, small, depth=conversion.depth, file_format=conversion.file_format, quality=conversion.quality)
    stored = quantize(small, conversion.depth).astype(np.float64) / (2**conversion.depth - 1)
    total, squares = float(stored.sum()), float((stored * stored).sum())
    spacing = meta["pixel_spacing_mm"]
    if spacing is not None:
        spacing = float(spacing[0] * height / after[0]), float(spacing[1] * width / after[1])
    return ConvertedImage(stamp, target.stat().st_size, (height, width), after, total, squares, spacing)


def fit_record(record: dict[str, Any], image: ConvertedImage, masks: PathGuard, output: Path) -> list[str]:
    """Bring the masks and boxes of a record, and those of its findings, to the size of its converted image, in place.

    Masks are resampled by nearest neighbor and written into `output`; boxes are scaled, to hundredths of a pixel. A
    mask that cannot be used is left out.

    Args:
        record: of a datalist.
        image: what became of its image.
        masks: the root of its masks.
        output: the folder of the new datalist.

    Returns:
        What was wrong with masks.
    """
    name = safe_name(record["id"])
    if image.spacing_mm is not None:  # the header, which said it, does not come along
        record["pixel_spacing_mm"] = list(image.spacing_mm)
    if record.get("boxes"):
        record["boxes"] = [_scaled(box, image) for box in record["boxes"]]
    if record.get("findings"):
        record["findings"] = [dict(finding) for finding in record["findings"]]
    wrong = []
    targets = [(record, name), *((item, f"{name}_{at}") for at, item in enumerate(record.get("findings") or (), 1))]
    for target, stem in targets:
        if target is not record and target.get("box"):
            target["box"] = _scaled(target["box"], image)
        if target.get("mask"):
            problem = _fit_mask(target, masks, output, f"masks/{stem}.png", image)
            wrong += [f"mask left out: {problem}"] if problem else []
    return wrong


def image_name(record_id: str, conversion: Conversion) -> str:
    """Return the path of a record's converted image, relative to the new datalist."""
    return f"images/{safe_name(record_id)}{conversion.suffix}"


def inline_report(record: dict[str, Any], guard: PathGuard) -> None:
    """Take the text of a report's file into the record: the file stays behind, under another root.

    Raises:
        ValueError: the file cannot be read, or lies outside the root.
    """
    if not record.get("report_path"):
        return
    path = Path(guard.resolve(record["report_path"]))
    try:
        text = read_report(path)
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be opened: {error.strerror or type(error).__name__}") from None
    record.pop("report_path")
    record["report"] = record.get("report") or text


def _fit_mask(target: dict[str, Any], masks: PathGuard, output: Path, name: str, image: ConvertedImage) -> str | None:
    from PIL import Image

    try:
        path = Path(masks.resolve(target["mask"]))
        mask = read_mask(path)
        if mask.shape != image.before:
            raise RadiographError(f"{path.name}: the mask has {mask.shape} pixels, its image {image.before}")
        small = np.asarray(Image.fromarray(mask).resize(image.after[::-1], Image.Resampling.NEAREST))
        write_index_mask(output / name, small)
    except ValueError as error:  # RadiographError among them
        logger.warning("mask left out: %s", error)
        del target["mask"]
        return str(error)
    target["mask"] = name
    return None


def _shrink(pixels: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
    if pixels.shape == size:
        return pixels
    from PIL import Image

    filtered = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.LANCZOS)
    clipped: npt.NDArray[np.float32] = np.clip(np.asarray(filtered), 0, 1)
    return clipped


def _scaled(box: Any, image: ConvertedImage) -> list[float]:
    down, across = image.scale
    return [round(value * by, 2) for value, by in zip(box, (across, down, across, down), strict=True)]


def _stamp(path: Path) -> str:
    try:
        return file_stamp(path)
    except OSError as error:
        raise RadiographError(f"{path.name}: cannot be opened: {error.strerror or type(error).__name__}") from None


def _length(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
