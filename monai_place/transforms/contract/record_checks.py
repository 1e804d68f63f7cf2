"""What a transform does to a record, its keys and its values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_place.transforms.contract.report import CheckFailedError, NotApplicableError
from monai_place.transforms.contract.sample import BOX_CLASSES, BOXES, IMAGE, MASK, SIZES, Sample, same
from monai_place.transforms.contract.subject import Subject
from monai_place.transforms.intensity import NormalizeRadiographd

__all__ = ["check_constant", "check_input", "check_keys", "check_missing", "check_runs", "check_shape", "check_values"]

PLACED = (IMAGE, MASK, BOXES, BOX_CLASSES)  # what a transform that moves pixels may change, whatever its keys


def check_runs(subject: Subject) -> str:
    """It takes a record and returns one, whatever the shape of the picture."""
    for name, size in SIZES.items():
        result = subject.run(Sample(size))
        if not isinstance(result, Mapping):
            raise CheckFailedError(
                f"returns {type(result).__name__} for a {name} picture, expected a dictionary",
                "begin with d = dict(data) and end with return d",
            )
    return "takes a record and returns one, landscape and portrait"


def check_keys(subject: Subject) -> str:
    """Keys that do not concern it are kept as they are."""
    own = {*subject.keys, *PLACED, *_declared(subject)}
    before, after = subject.record(), subject.run()
    if lost := [key for key in before if key not in after]:
        raise CheckFailedError(f"loses the keys {lost}", "copy the record: d = dict(data)")
    if changed := [key for key in before if key not in own and not same(before[key], after[key])]:
        raise CheckFailedError(f"changes {changed}, which are not among its keys {list(subject.keys)}")
    added = [str(key) for key in after if key not in before]
    return f"other keys are kept{f', {added} added' if added else ''}"


def check_input(subject: Subject) -> str:
    """The record that it is given is not changed: it may lie in a cache."""
    record, before = subject.record(), subject.record()
    transform = subject.make()
    if hasattr(transform, "set_random_state"):
        transform.set_random_state(seed=0)
    transform(record)
    if changed := [key for key in before if key not in record or not same(before[key], record[key])]:
        raise CheckFailedError(
            f"changes {changed} of the record that it was given, in place",
            "work on a copy: d = dict(data), and image.clone() before anything in place",
        )
    if added := [key for key in record if key not in before]:
        raise CheckFailedError(f"writes {added} into the record that it was given", "work on d = dict(data)")
    return "the record that was given is left as it was"


def check_missing(subject: Subject) -> str:
    """A missing key is an error that names it, or is passed over, as `allow_missing_keys` says."""
    if not subject.is_map:
        raise NotApplicableError("not one of MONAI's dictionary transforms")
    key = subject.keys[0]
    record = {name: value for name, value in subject.record().items() if name != key}
    transform = subject.make()
    if not transform.allow_missing_keys:
        try:
            transform(dict(record))
        except Exception as error:
            if not _names(error, key):
                raise CheckFailedError(
                    f"without {key!r} raises {type(error).__name__}, which does not name the key",
                    "go through the keys with self.key_iterator(d)",
                ) from None
        else:
            raise CheckFailedError(
                f"passes over a missing {key!r} although allow_missing_keys is false",
                "go through the keys with self.key_iterator(d)",
            )
    if not subject.takes("allow_missing_keys"):
        return f"a missing {key!r} is {'passed over' if transform.allow_missing_keys else 'an error that names it'}"
    try:
        subject.make(allow_missing_keys=True)(dict(record))
    except Exception as error:
        raise CheckFailedError(
            f"with allow_missing_keys=True a missing {key!r} raises {type(error).__name__}",
            "go through the keys with self.key_iterator(d)",
        ) from None
    return f"a missing {key!r} is an error that names it, or passed over where that is allowed"


def check_values(subject: Subject) -> str:
    """The image stays float32, finite, in [0, 1]."""
    image = _image(subject)
    kind = str(getattr(image, "dtype", type(image).__name__)).removeprefix("torch.")
    if kind != "float32":
        raise CheckFailedError(f"gives {kind}, expected float32", "end with .float(), and values in [0, 1]")
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise CheckFailedError("gives values that are not finite")
    low, high = float(values.min()), float(values.max())
    if low < -1e-4 or high > 1 + 1e-4:
        if isinstance(subject.make(), NormalizeRadiographd):
            raise NotApplicableError(f"gives {low:g} to {high:g}, as what normalizes must")
        raise CheckFailedError(
            f"gives {low:g} to {high:g}, expected values in [0, 1]",
            "scale or clip them to [0, 1]: image_steps and NormalizeRadiographd refuse others",
        )
    tracked = "" if isinstance(image, MetaTensor) else "; a plain tensor, whose affine is lost"
    return f"float32 in [0, 1]{tracked}"


def check_shape(subject: Subject) -> str:
    """The image stays (1, H, W)."""
    found = []
    for size in SIZES.values():
        shape = tuple(_image(subject, Sample(size)).shape)
        if len(shape) != 3 or shape[0] != 1 or min(shape) < 1:
            raise CheckFailedError(
                f"gives {shape} for (1, {size[0]}, {size[1]}), expected (1, H, W)",
                "keep the channel dimension: image[:, top:bottom, left:right]",
            )
        found.append(f"{size[0]}x{size[1]} -> {shape[1]}x{shape[2]}")
    return f"(1, H, W): {', '.join(found)}"


def check_constant(subject: Subject) -> str:
    """A black picture is no reason to fail: archives hold such."""
    image = _image(subject, Sample(constant=True))
    if not np.isfinite(np.asarray(image)).all():
        raise CheckFailedError("makes NaN or infinity of a black picture", "look at max - min before dividing by it")
    return "a black picture passes"


def _image(subject: Subject, sample: Sample | None = None) -> Any:
    if subject.sample is not None and sample is not None and sample.constant:
        raise NotApplicableError("the picture is that of the sample file")
    result = subject.run(sample)
    if subject.sample is None and same(result.get(IMAGE), subject.record(sample)[IMAGE]) and IMAGE not in subject.keys:
        raise NotApplicableError("leaves the image alone")
    image = result.get(IMAGE)
    if not isinstance(image, (torch.Tensor, np.ndarray)):
        raise CheckFailedError(f"gives {type(image).__name__} under {IMAGE!r}, expected a tensor (1, H, W)")
    return image


def _declared(subject: Subject) -> set[Hashable]:
    """The keys that a transform says it works on."""
    transform = subject.make()
    names = ("keys", "mask_keys", "box_label_keys")
    found = {key for name in names for key in (getattr(transform, name, None) or ())}
    return found | {key for name in ("boxes_key", "log_key", "output_key") if (key := getattr(transform, name, None))}


def _names(error: BaseException | None, key: str) -> bool:
    while error is not None:
        if key in str(error):
            return True
        error = error.__cause__
    return False
