"""The contract of an `ImageReader`: what it gives for a file, and how it refuses one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_place.transforms.contract.chance_checks import calls_per_second, in_worker
from monai_place.transforms.contract.report import CheckFailedError
from monai_place.transforms.contract.sample import IMAGE, Sample, same
from monai_place.transforms.contract.subject import Subject
from monai_place.transforms.load import find_reader, read_image

__all__ = ["READER_CHECKS"]

METADATA = {"affine": (4, 4), "pixel_spacing_mm": (2,)}
SHORT = 4  # characters; a shorter text of a header stands in any message by chance


def check_kind(subject: Subject) -> str:
    """It is a reader as MONAI has them."""
    find_reader(subject.make())
    return "a monai.data.ImageReader"


def check_picture(subject: Subject) -> str:
    """It gives (H, W), float32 in [0, 1]."""
    with _file(subject) as path:
        image = read_image(subject.make(), path)
        height, width = image.shape[1:]
        planted = None if subject.sample is not None else _planted()
        if planted is not None and not (planted.shape == (height, width) and np.allclose(image[0], planted, atol=1e-6)):
            raise CheckFailedError(
                "gives other pixels than the PNG holds: rows first, row 0 on top, divided by 255",
                "MONAI's own readers transpose; give what numpy.asarray(PIL.Image) gives",
            )
    return f"(H, W) = ({height}, {width}), float32 in [0, 1]"


def check_metadata(subject: Subject) -> str:
    """It tells the affine and the spacing, or leaves them out."""
    with _file(subject) as path:
        reader = subject.make()
        meta = dict(reader.get_data(reader.read(path))[1])
    for key, shape in METADATA.items():
        if meta.get(key) is not None and np.asarray(meta[key]).shape != shape:
            raise CheckFailedError(f"metadata {key!r} has the shape {np.asarray(meta[key]).shape}, expected {shape}")
    found = [key for key in METADATA if meta.get(key) is not None]
    return f"metadata has {found or 'nothing'}, the rest is added"


def check_same(subject: Subject) -> str:
    """The same file gives the same picture."""
    with _file(subject) as path:
        reader = subject.make()  # one: what it keeps from file to file shows
        first, *more = (np.asarray(read_image(reader, path)) for _ in range(3))
        if not all(same(first, other) for other in more):
            raise CheckFailedError("gives different pictures of the same file", "keep no state from file to file")
        named = path.with_name("a name with spaces, \u00e4\u00f6\u00fc" + path.suffix)
        shutil.copyfile(path, named)
        try:
            if not same(first, np.asarray(read_image(subject.make(), named))):
                raise CheckFailedError("gives another picture of the same file under another name")
        finally:
            named.unlink()
    return "the same file gives the same picture, whatever its name"


def check_refusal(subject: Subject) -> str:
    """A file that cannot be used raises, by its name alone, and nothing that its header says."""
    with _file(subject) as path:
        whole, secrets = path.read_bytes(), _header_texts(path)
        cases: dict[str, bytes | None] = {
            "missing": None,
            "empty": b"",
            "text": b"no picture " * 200,
            "truncated": whole[: max(1, len(whole) // 2)],
        }
        for case, content in cases.items():
            bad = path.with_name(f"planted-{case}{path.suffix}")
            if content is not None:
                bad.write_bytes(content)
            _refuses(lambda bad=bad: read_image(subject.make(), bad), case, bad, secrets)  # type: ignore[misc]
    return "missing, empty, truncated and other files raise, with their name and nothing of their header"


def check_reader_speed(subject: Subject) -> str:
    """Files a second, for information."""
    with _file(subject) as path:
        reader = subject.make()
        rate = calls_per_second(lambda: read_image(reader, path))
    return f"{rate:.1f} files/s on one core (for information)"


def check_reader_worker(subject: Subject) -> str:
    """It goes to a worker process that is spawned, and reads the same there."""
    with _file(subject) as path:
        found = in_worker(_read_pixels, subject.make(), str(path))
        if not same(found, _read_pixels(subject.make(), str(path))):
            raise CheckFailedError("gives another picture in a worker process than here")
    return "pickled to a spawned worker, it reads the same there"


def _read_pixels(reader: Any, path: str) -> Any:
    return np.asarray(read_image(reader, path))


READER_CHECKS: dict[str, Callable[[Subject], str]] = {
    "kind": check_kind,
    "picture": check_picture,
    "metadata": check_metadata,
    "same": check_same,
    "refusal": check_refusal,
    "worker": check_reader_worker,
    "speed": check_reader_speed,
}


def _planted() -> Any:
    values = np.asarray(Sample().record()[IMAGE][0])
    return np.round(values * 255).astype(np.uint8).astype(np.float32) / 255


@contextmanager
def _file(subject: Subject) -> Iterator[Path]:
    """Yield a copy of the sample, or of a picture of ours, in a folder that tells nothing."""
    with tempfile.TemporaryDirectory() as folder:
        if subject.sample is not None:
            path = Path(folder, f"sample{''.join(Path(subject.sample).suffixes)}")
            shutil.copyfile(subject.sample, path)
        else:
            path = Path(folder, "sample.png")
            Image.fromarray(np.round(_planted() * 255).astype(np.uint8)).save(path)
        yield path


def _refuses(read: Callable[[], Any], case: str, path: Path, secrets: set[str]) -> None:
    try:
        read()
    except Exception as error:
        message = str(error)
        if path.name not in message:
            raise CheckFailedError(
                f"a {case} file raises {type(error).__name__}, which does not name the file",
                "raise ValueError(f'{path.name}: why it cannot be used')",
            ) from None
        if str(path.parent) in message:
            raise CheckFailedError(f"the error of a {case} file tells its folder", "use path.name") from None
        if any(secret in message for secret in secrets):
            raise CheckFailedError(
                f"the error of a {case} file quotes its header", "say what is wrong, never what a tag holds"
            ) from None
        return
    raise CheckFailedError(
        f"a {case} file gives a picture",
        "raise ValueError(f'{path.name}: why it cannot be used') where it is not whole",
    )


def _header_texts(path: Path) -> set[str]:
    """Return what the header of a DICOM file says of the patient and the study."""
    from pydicom import dcmread

    try:
        dataset = dcmread(path, stop_before_pixels=True, force=True)
        texts = {str(element.value) for element in dataset if element.VR in ("PN", "LO", "SH", "DA", "UI", "LT", "ST")}
    except Exception:  # not DICOM
        return set()
    return {text for text in texts if len(text) >= SHORT}
