"""Features of records by a frozen encoder, each image once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from monai_place.engines.ranks import run_on_first_rank
from monai_place.inference.encoders import LoadedEncoder
from monai_place.inference.feature_cache import FeatureCache, file_identity
from monai_place.inference.images import ImageQueue
from monai_place.inference.results import FailedImage

__all__ = ["StudyFeatures", "encode_studies", "feature_records"]

logger = logging.getLogger(__name__)

BLOCK = 2048  # images after which what is computed goes to the disk

Record = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class StudyFeatures:
    """Features of the records whose image could be read.

    Args:
        features: (B, ...) by kind.
        places: place of each of the B in the records.
        failed: the other images.
        computed: images that the encoder was run on; the others were in the cache.
    """

    features: dict[str, torch.Tensor]
    places: tuple[int, ...]
    failed: tuple[FailedImage, ...] = ()
    computed: int = 0


def encode_studies(
    encoder: LoadedEncoder,
    records: Sequence[Record],
    kinds: Sequence[str] = ("global",),
    *,
    cache: FeatureCache | None = None,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> StudyFeatures:
    """Run an encoder over the images of records; those that the cache has of all kinds are not read.

    Args:
        encoder: from `load_encoder`.
        records: from `monai_place.data.load_records`.
        kinds: of features, see `PLACEFeatureEncoder`.
        cache: where features are kept; None keeps none.
        batch_size: images at a time.
        progress: called with (images done, images to do).

    Raises:
        ValueError: there are no records, a kind is unknown, or no image can be read.
    """
    if not records:
        raise ValueError("records is empty; features need at least one study")
    names = [_identity(record) for record in records]
    keys = {kind: FeatureCache.key(encoder, kind) for kind in kinds} if cache else {}
    known = {kind: cache.load(keys[kind], names) if cache else {} for kind in kinds}
    missing = [place for place, name in enumerate(names) if any(name not in known[kind] for kind in kinds)]
    missing = list({names[place]: place for place in reversed(missing)}.values())[::-1]  # a file of two records once
    queue = ImageQueue(
        [records[place]["image"] for place in missing], encoder.preprocess, batch_size=batch_size, progress=progress
    )
    waiting: list[str] = []
    computed = 0
    for rows, image in queue:
        found = _run(encoder, image, kinds)
        chosen = [names[missing[row]] for row in rows]
        for kind in kinds:
            known[kind] |= dict(zip(chosen, found[kind], strict=True))
        waiting += chosen
        computed += len(chosen)
        if len(waiting) >= BLOCK:
            _keep(cache, keys, known, waiting)
            waiting = []
    _keep(cache, keys, known, waiting)
    kept = tuple(place for place, name in enumerate(names) if name in known[kinds[0]])
    if not kept:
        raise ValueError(f"none of the {len(records)} images could be read; the first: {queue.failed[0].reason}")
    features = {kind: torch.stack([known[kind][names[place]] for place in kept]) for kind in kinds}
    return StudyFeatures(features, kept, tuple(queue.failed), computed)


def feature_records(
    encoder: LoadedEncoder,
    records: Sequence[Record],
    kind: str = "global",
    *,
    cache_dir: str | None = None,
    batch_size: int = 64,
) -> list[dict[str, Any]]:
    """Return records with `id`, `features` and `label`, for a `StudyDataset`; unreadable images are left out.

    On several ranks all have to call it: the first computes, and with a cache the others read what it left.

    Args:
        encoder: from `load_encoder`.
        records: with labels, from `monai_place.data.labeled.load_labeled_records`.
        kind: of the features.
        cache_dir: folder of the cache; None computes anew.
        batch_size: images at a time.
    """
    if not records:
        return []
    cache = None if cache_dir is None else FeatureCache(cache_dir)
    found: list[StudyFeatures] = []
    run_on_first_rank(
        lambda: found.append(encode_studies(encoder, records, [kind], cache=cache, batch_size=batch_size))
    )
    chosen = found[0] if found else encode_studies(encoder, records, [kind], cache=cache, batch_size=batch_size)
    if chosen.failed:
        logger.warning("%d of %d images could not be read and are left out", len(chosen.failed), len(records))
    logger.info("features of %d images: %d computed", len(chosen.places), chosen.computed)
    return [
        {"id": records[place]["id"], "features": row, "label": records[place]["label"]}
        for place, row in zip(chosen.places, chosen.features[kind], strict=True)
    ]


@torch.no_grad()
def _run(encoder: LoadedEncoder, image: torch.Tensor, kinds: Sequence[str]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = encoder.network.features(image.to(encoder.device), kinds)
    return {kind: part.float().cpu() for kind, part in found.items()}


def _keep(
    cache: FeatureCache | None, keys: Mapping[str, str], known: Mapping[str, dict[str, torch.Tensor]], names: list[str]
) -> None:
    if cache is None or not names:
        return
    for kind, key in keys.items():
        cache.store(key, names, torch.stack([known[kind][name] for name in names]))


def _identity(record: Record) -> str:
    try:
        return file_identity(record["image"])
    except OSError:
        return str(record["image"])  # cannot be read either; the queue says why
