"""Gray values: the network's normalization, and random exposure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
from monai.utils import TraceKeys

from monai_place.transforms.replay import ReplayableTransform
from monai_place.transforms.tracking import check_image, check_unit_range, plain, pushed, untracked

__all__ = [
    "IntensityChange",
    "NormalizeRadiographd",
    "RadiographIntensityd",
    "RandRadiographIntensityd",
    "change_intensity",
]


class NormalizeRadiographd(MapTransform, InvertibleTransform):
    """Subtract the mean and divide by the standard deviation, both in units of [0, 1].

    Args:
        keys: of images (1, H, W), floating point in [0, 1].
        mean: subtracted first.
        std: divides the result; positive.
        invertible: leave a note for the inverse. MONAI's `Invertd` inverts every noted transform of a chain on whatever
            it is given: a map of probabilities would come back times `std` plus `mean`. `image_transforms` says False
            for that reason; `denormalize` serves pictures.
        allow_missing_keys: skip a key that is missing.

    Raises:
        TypeError: an image is not floating point.
        ValueError: an image has another shape, or values outside [0, 1].

    Example:
        >>> normalize = NormalizeRadiographd("image", 0.5, 0.25)
        >>> normalize({"image": torch.tensor([[[0.0, 1.0]]])})["image"]
        tensor([[[-2.,  2.]]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        mean: float,
        std: float,
        *,
        invertible: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not std > 0:
            raise ValueError(f"std must be positive, got {std}")
        self.mean = mean
        self.std = std
        self.invertible = invertible

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalize what lies under the keys."""
        d = dict(data)
        for key in self.key_iterator(d):
            check_image(d[key], key)
            values = plain(d[key]).float()
            check_unit_range(values, key)
            values = values.sub(self.mean).div_(self.std)
            if self.invertible:
                d[key] = pushed(self, d[key], values, extra={"mean": self.mean, "std": self.std})
            else:
                d[key] = untracked(d[key], values)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Undo the normalization, if it was noted."""
        d = dict(data)
        for key in self.key_iterator(d):
            if self.invertible:
                extra = self.pop_transform(d[key])[TraceKeys.EXTRA_INFO]
                d[key] = untracked(d[key], plain(d[key]).mul(float(extra["std"])).add_(float(extra["mean"])))
        return d

    def denormalize(self, image: torch.Tensor) -> torch.Tensor:
        """Return an image of any shape in units of [0, 1] again."""
        return image * self.std + self.mean


@dataclass(frozen=True)
class IntensityChange:
    """A change of exposure, applied by `change_intensity`.

    Args:
        gamma: exponent of the value; below 1 brightens.
        contrast: factor around 0.5.
        brightness: added.
        noise_std: standard deviation of the Gaussian noise that is added.
        noise_seed: of that noise.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    noise_std: float = 0.0
    noise_seed: int = 0


def change_intensity(image: torch.Tensor, change: IntensityChange) -> torch.Tensor:
    """Apply a change to an image in [0, 1] of any shape; the result is clipped to [0, 1], the input untouched.

    Example:
        >>> change_intensity(torch.tensor([0.25, 0.5]), IntensityChange(gamma=0.5, contrast=2.0))
        tensor([0.5000, 0.9142])
    """
    values = image.float().pow(change.gamma)
    values.mul_(change.contrast).add_(0.5 - 0.5 * change.contrast + change.brightness)
    if change.noise_std > 0:
        generator = torch.Generator().manual_seed(change.noise_seed)
        values.add_(torch.randn(values.shape, generator=generator).to(values.device), alpha=change.noise_std)
    return values.clamp_(0.0, 1.0)


class RadiographIntensityd(MapTransform):
    """Change the exposure of a record as it is told; the twin of `RandRadiographIntensityd` without chance.

    All images of a record get the same change, each key its own noise.

    Args:
        keys: of images (1, H, W), floating point in [0, 1].
        change: what to do; a dictionary of its fields will do. None leaves the record as it is.
        allow_missing_keys: skip a key that is missing.

    Raises:
        TypeError: an image is not floating point.
        ValueError: an image has another shape, or values outside [0, 1].

    Example:
        >>> RadiographIntensityd("image", {"brightness": 0.5})({"image": torch.tensor([[[0.25, 0.75]]])})["image"]
        tensor([[[0.7500, 1.0000]]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        change: IntensityChange | Mapping[str, float] | None = None,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.change = IntensityChange(**change) if isinstance(change, Mapping) else change  # type: ignore[arg-type]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change what lies under the keys."""
        return self._expose(data, self.change)

    def _expose(self, data: Mapping[Hashable, Any], change: IntensityChange | None) -> dict[Hashable, Any]:
        d = dict(data)
        for index, key in enumerate(self.key_iterator(d)):
            check_image(d[key], key)
            if change is None:
                continue
            values = plain(d[key])
            check_unit_range(values, key)
            own = replace(change, noise_seed=change.noise_seed + index)
            d[key] = untracked(d[key], change_intensity(values, own))
        return d


class RandRadiographIntensityd(RandomizableTransform, RadiographIntensityd, ReplayableTransform):
    """Random exposure: gamma, contrast, brightness and noise, drawn anew for each record, by `RadiographIntensityd`.

    Put it after `FitRadiographd` and before `NormalizeRadiographd`: it works in [0, 1]. All images of a record get the
    same change, each key its own noise.

    Args:
        keys: of images (1, H, W), floating point in [0, 1].
        prob: chance that a record is changed.
        gamma: range of the exponent, drawn evenly in its logarithm.
        contrast: range of the factor around 0.5.
        brightness: range of what is added.
        noise_std: range of the standard deviation of the noise.
        allow_missing_keys: skip a key that is missing.
        log_key: see `ReplayableTransform`.

    Example:
        >>> change = RandRadiographIntensityd("image", prob=1.0).set_random_state(seed=0)
        >>> change({"image": torch.full((1, 8, 8), 0.5)})["image"].shape
        torch.Size([1, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        prob: float = 0.8,
        gamma: Sequence[float] = (0.8, 1.25),
        contrast: Sequence[float] = (0.85, 1.15),
        brightness: Sequence[float] = (-0.08, 0.08),
        noise_std: Sequence[float] = (0.0, 0.02),
        allow_missing_keys: bool = False,
        log_key: Hashable | None = None,
    ) -> None:
        RadiographIntensityd.__init__(self, keys, IntensityChange(), allow_missing_keys=allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        ranges = {"gamma": gamma, "contrast": contrast, "brightness": brightness, "noise_std": noise_std}
        for name, (low, high) in ranges.items():
            if low > high or (name != "brightness" and low < 0) or (name == "gamma" and low <= 0):
                raise ValueError(f"{name} must be a range (low, high) of allowed values, got {(low, high)}")
        self.ranges = {name: (float(low), float(high)) for name, (low, high) in ranges.items()}
        self.log_key = log_key
        self.change: IntensityChange = IntensityChange()

    def randomize(self, data: Any = None) -> None:
        """Draw the change of the next record into `self.change`."""
        super().randomize(data)
        if not self._do_transform:
            return
        low, high = map(math.log, self.ranges["gamma"])
        self.change = IntensityChange(
            gamma=math.exp(self.R.uniform(low, high)),
            contrast=self.R.uniform(*self.ranges["contrast"]),
            brightness=self.R.uniform(*self.ranges["brightness"]),
            noise_std=self.R.uniform(*self.ranges["noise_std"]),
            noise_seed=int(self.R.randint(2**31 - 1)),
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change what lies under the keys by a random exposure."""
        self.randomize()
        return self.logged(self._expose(data, self.change if self._do_transform else None))

    def parameters(self) -> dict[str, Any] | None:
        """Return the change that was drawn last."""
        return asdict(self.change) if self._do_transform else None

    def replay(self, data: Mapping[Hashable, Any], parameters: Mapping[str, Any] | None) -> dict[Hashable, Any]:
        """Change a record as was drawn before."""
        self._do_transform = parameters is not None
        if parameters is not None:
            self.change = IntensityChange(**parameters)
        return self.logged(self._expose(data, self.change if self._do_transform else None))
