"""A look at a compressed frame before it is decoded: its own size, and whether its end is there.

Decoders allocate what the frame's header says, whatever the DICOM header says; and those of JPEG and JPEG-LS fill up a
frame that ends too early without a word.
"""

from __future__ import annotations

from monai_place.data.pixels import RadiographError, check_size

__all__ = ["check_codestream"]

JPEG_START = b"\xff\xd8"
JPEG_2000_START = b"\xff\x4f\xff\x51"  # in a JP2 container it does not come first
END = b"\xff\xd9"  # of both families
END_WITHIN = 16  # bytes: an even length is padded, by some with more than one byte
CONTAINER_BYTES = 1024

# Start of frame in every process of JPEG (C4, C8 and CC are other things) and in JPEG-LS (F7).
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


def check_codestream(frame: bytes) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 frame that is too large or cut off; leave all else to its decoder.

    Args:
        frame: the compressed frame, its fragments joined.

    Raises:
        RadiographError: the frame is not to be decoded.
    """
    if frame.startswith(JPEG_START):
        size = _jpeg_size(frame)
    elif (start := frame.find(JPEG_2000_START, 0, CONTAINER_BYTES)) >= 0:
        size = _jpeg_2000_size(frame[start:])
    else:
        return
    if size is None:
        raise RadiographError("the compressed frame is damaged: it does not tell its size")
    check_size(*size)
    if END not in frame.rstrip(b"\0")[-END_WITHIN:]:
        raise RadiographError("the compressed frame is truncated")


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in FRAME_MARKERS:
            # marker (2), length (2), precision (1), height (2), width (2)
            return int.from_bytes(frame[position + 5 : position + 7], "big"), int.from_bytes(
                frame[position + 7 : position + 9], "big"
            )
        else:
            position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None


def _jpeg_2000_size(stream: bytes) -> tuple[int, int] | None:
    # SIZ: marker (2), length (2), capabilities (2), right (4), bottom (4), left (4), top (4)
    if len(stream) < 24:
        return None
    right, bottom, left, top = (int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20))
    return bottom - top, right - left
