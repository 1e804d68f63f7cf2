"""Transforms and readers that break the contract, each in one way. Spawned processes import them from here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform

from monai_place.data.radiograph import read_radiograph

Record = dict[Hashable, Any]


class Keeps(MapTransform):
    """A little darker: keeps the contract; the others derive from it."""

    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.change(d[key])
        return d

    def change(self, image: Any) -> Any:
        return image * 0.9


class ReturnsNothing(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        return None


class LosesKeys(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        return {"image": data["image"]}


class ChangesOthers(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        return {**data, "view": "AP"}


class InPlace(Keeps):
    def change(self, image: Any) -> Any:
        image *= 0.9
        return image


class WritesIntoRecord(Keeps):
    def __call__(self, data: Any) -> Record:
        data["seen"] = True
        return dict(data)


class IgnoresMissing(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        return dict(data)


class NeedsKey(Keeps):
    def __init__(self, keys: Any, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        return {**data, "image": data["image"] * 0.9}


class UnclearAboutMissing(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        if "image" not in data:
            raise RuntimeError("something is wrong")
        return dict(data)


class Bytes(Keeps):
    def change(self, image: Any) -> Any:
        return (image * 255).to(torch.uint8)


class Infinite(Keeps):
    def change(self, image: Any) -> Any:
        return image / image.min()


class StretchesByRange(Keeps):
    def change(self, image: Any) -> Any:
        return (image - image.min()) / (image.max() - image.min())


class DropsChannel(Keeps):
    def change(self, image: Any) -> Any:
        return image[0]


class MovesSilently(Keeps):
    """Upside down, without a word to the affine."""

    def change(self, image: Any) -> Any:
        return torch.flip(image.as_tensor(), dims=[1])


class MovesImageAlone(Keeps):
    """Image and boxes go to two sides, and the mask nowhere that fits."""

    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        height = data["image"].shape[1]
        x0, y0, x1, y1 = data["boxes"][0]
        return {
            **data,
            "image": torch.flip(data["image"], dims=[2]),
            "mask": torch.flip(data["mask"], dims=[1]),
            "boxes": [[x0, height - y1, x1, height - y0]],
        }


class MixesMask(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        return {**data, "mask": torch.nn.functional.avg_pool2d(data["mask"][None], 3, 1, 1)[0]}


class ShrinksMask(Keeps):
    def __call__(self, data: Mapping[Hashable, Any]) -> Record:
        return {**data, "mask": data["mask"][:, ::2, ::2]}


class WrongInverse(Keeps, InvertibleTransform):
    def inverse(self, data: Mapping[Hashable, Any]) -> Record:
        return {**data, "image": torch.flip(data["image"], dims=[2])}


class SmallInverse(Keeps, InvertibleTransform):
    def inverse(self, data: Mapping[Hashable, Any]) -> Record:
        return {**data, "image": data["image"][:, 1:]}


class DrawsGlobally(Keeps):
    def change(self, image: Any) -> Any:
        return image * (0.5 + 0.5 * np.random.rand())


class DrawsPastItsSeed(RandomizableTransform, Keeps):
    def __init__(self, keys: Any) -> None:
        Keeps.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)

    def change(self, image: Any) -> Any:
        return image * float(torch.rand(()))


class DrawsNothing(DrawsPastItsSeed):
    def change(self, image: Any) -> Any:
        return image * 0.5


class DrawsByItsSeed(DrawsPastItsSeed):
    def change(self, image: Any) -> Any:
        return image * self.R.uniform(0.5, 1.0)


class DrawsFromNumbersOfItsProcess(Keeps):
    """The same each time in one process: what it depends on is drawn once, at the first call."""

    factor: float | None = None

    def change(self, image: Any) -> Any:
        cls = type(self)
        if cls.factor is None:
            cls.factor = 0.5 + 0.5 * float(np.random.default_rng().random())
        return image * cls.factor


class Counts(Keeps):
    """Darker from the third call on."""

    calls = 0

    def change(self, image: Any) -> Any:
        self.calls += 1
        return image * (0.9 if self.calls < 3 else 0.5)


class Remembers(Keeps):
    """Darker, the brighter the picture before was."""

    before = 0.0

    def change(self, image: Any) -> Any:
        scale, self.before = 1 - self.before / 10, float(image.mean())
        return image * scale


class CountsBesideItsSeed(DrawsByItsSeed):
    calls = 0

    def change(self, image: Any) -> Any:
        self.calls += 1
        return super().change(image) / self.calls


class Brighter(Keeps):
    def change(self, image: Any) -> Any:
        return image * 1.5


class Centers(Keeps):
    def change(self, image: Any) -> Any:
        return image - 0.5


class HoldsLambda(Keeps):
    def __init__(self, keys: Any) -> None:
        super().__init__(keys)
        self.function = lambda image: image * 0.9

    def change(self, image: Any) -> Any:
        return self.function(image)


class GoodReader(ImageReader):
    """What a reader must be, in few lines."""

    def verify_suffix(self, filename: Any) -> bool:
        return True

    def read(self, data: Any, **kwargs: Any) -> Any:
        return Path(data)

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        pixels, meta = read_radiograph(img)
        return pixels, {"affine": meta["affine"]}


class TransposingReader(GoodReader):
    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        return read_radiograph(img)[0].T.copy(), {}


class WrongAffineReader(GoodReader):
    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        return read_radiograph(img)[0], {"affine": np.eye(3)}


class TalkativeReader(GoodReader):
    """Tells the whole path, and what the header says."""

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return read_radiograph(img)[0], {}
        except ValueError:
            raise ValueError(f"{img} cannot be read") from None


class QuotingReader(GoodReader):
    """Tells in its errors whose file it is."""

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        from pydicom import dcmread

        try:
            return read_radiograph(img)[0], {}
        except ValueError:
            patient = dcmread(img, force=True).get("PatientName", "?") if img.exists() else "?"
            raise ValueError(f"{img.name}: the study of {patient} cannot be read") from None


class CountingReader(GoodReader):
    """Darker from the third file on."""

    files = 0

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        self.files += 1
        return read_radiograph(img)[0] * (1.0 if self.files < 3 else 0.5), {}


class MuteReader(GoodReader):
    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return read_radiograph(img)[0], {}
        except ValueError:
            raise ValueError("cannot be read") from None


class GuessingReader(GoodReader):
    """Shows a black picture where it cannot read one."""

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return read_radiograph(img)[0], {}
        except ValueError:
            return np.zeros((8, 8), dtype=np.float32), {}


class ByNameReader(GoodReader):
    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        return read_radiograph(img)[0] * (0.5 if " " in img.name else 1.0), {}
