"""Studies of a frozen encoder: each image is encoded once, in batches, and an epoch then costs the decoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import torch
from tqdm import tqdm

from monai_place.engines.dataset import StudyDataset
from monai_place.networks import PLACEModel

__all__ = ["EncodedStudyDataset"]


class EncodedStudyDataset(StudyDataset):
    """A `StudyDataset` that keeps `patch_tokens` (N, E) and `observations` (K, D) in the place of `image`.

    A study takes 4 * (N * E + K * D) bytes: 57 kB of `place_tiny`, 630 kB of `place_base`.

    Args:
        data: records.
        transform: from a record to a normalized `image`; nothing random may be in it.
        place: the frozen encoder; None keeps the images, as `StudyDataset` does, and random transforms may be there.
        encode_batch_size: images at a time.
        more: see `StudyDataset`.

    Raises:
        ValueError: a transform is random, or the cache is switched off, while there is an encoder.

    Example:
        >>> dataset = EncodedStudyDataset([{"id": "a"}])
        >>> dataset[0]
        {'id': 'a'}
    """

    def __init__(
        self,
        data: Sequence[Any],
        transform: Any = None,
        *,
        place: PLACEModel | None = None,
        encode_batch_size: int = 32,
        **more: Any,
    ) -> None:
        self.place = None if place is None else place.eval()
        self.encode_batch_size = encode_batch_size
        super().__init__(data, transform, **more)
        if self.place is not None and (self._random or self.cache_num < len(self)):
            raise ValueError("features are kept of images without random transforms and with cache=True only")
        self.place = None  # it is needed no more, and workers need no copy

    def _fill_cache(self, indices: Sequence[int] | None = None) -> list[Any]:
        if self.place is None:
            kept: list[Any] = super()._fill_cache(indices)
            return kept
        places = list(range(self.cache_num) if indices is None else indices)
        cache: list[Any] = []
        size = self.encode_batch_size
        with ThreadPool(self.num_workers) as pool:
            for start in tqdm(range(0, len(places), size), desc="Encoding images", disable=not self.progress):
                cache += self._encode(pool.map(self._load_cache_item, places[start : start + size]))
        return cache

    @torch.no_grad()
    def _encode(self, items: list[Any]) -> list[Any]:
        assert self.place is not None
        # A study that could not be prepared has no image, and stays what it is.
        rows = [place for place, item in enumerate(items) if isinstance(item, dict) and "image" in item]
        if not rows:
            return items
        images = torch.stack([torch.as_tensor(items[place]["image"]) for place in rows])
        features = self.place.encode_image(images.to(self.place.log_temperature.device))
        tokens, observations = features.patch_tokens.float().cpu(), features.observations.float().cpu()
        for row, place in enumerate(rows):
            rest = {key: value for key, value in items[place].items() if key != "image"}
            items[place] = {**rest, "patch_tokens": tokens[row].clone(), "observations": observations[row].clone()}
        return items
