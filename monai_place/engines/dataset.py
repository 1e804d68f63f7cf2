"""Studies for training: what is certain is computed once, what is random depends on (seed, epoch, index) alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

from monai.data import CacheDataset
from monai.transforms import RandomizableTrait, Transform

from monai_place.engines.random_state import derive_seed, isolated_random

__all__ = ["BadStudyPolicy", "StudyDataset", "StudyError"]

BadStudyPolicy = Literal["raise", "skip"]

logger = logging.getLogger(__name__)


class StudyError(RuntimeError):
    """A study could not be prepared, or too many of them."""


class _Unreadable:
    """Stands in the cache for a study which could not be prepared."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class StudyDataset(CacheDataset):
    """MONAI's `CacheDataset` whose random transforms are seeded by (seed, epoch, index).

    An item is therefore the same whatever the number of workers and ranks, and whether or not the run was taken up
    from a checkpoint. Transforms that draw from the global generators of python, numpy or torch are covered too.

    Args:
        data: records, plain dicts.
        transform: one transform or several; everything before the first random one is computed once and kept.
        seed: of the random transforms.
        cache: False computes everything anew each time.
        cache_workers: threads that fill the cache.
        progress: show a bar while the cache is filled; None shows it on a terminal only.
        on_error: `raise` stops at a study that cannot be prepared; `skip` takes the next one in the data's order in its
            place and logs its id. The item then has the key `skipped` with the ids and reasons, so that they are known
            in the training's own process. `skip` counts a neighbour twice, so a validation is a little off.
        max_bad: with `skip`, more bad studies than this are an error. Without the cache, each worker process counts
            for itself; `SkippedStudiesHandler` counts them together.

    Raises:
        ValueError: `on_error` is unknown or `max_bad` negative.
        StudyError: a study cannot be prepared (`raise`), or too many (`skip`). It names the ids.

    Example:
        >>> dataset = StudyDataset([{"id": "a"}, {"id": "b"}], transform=None, seed=1)
        >>> dataset[1], dataset[(3, 0)]
        ({'id': 'b'}, {'id': 'a'})
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any] | None = None,
        *,
        seed: int = 0,
        cache: bool = True,
        cache_workers: int = 1,
        progress: bool | None = None,
        on_error: BadStudyPolicy = "raise",
        max_bad: int = 10,
    ) -> None:
        if on_error not in get_args(BadStudyPolicy):
            raise ValueError(f"on_error must be one of {get_args(BadStudyPolicy)}, got {on_error!r}")
        if max_bad < 0:
            raise ValueError(f"max_bad must be at least 0, got {max_bad}")
        self.seed = seed
        self.on_error = on_error
        self.max_bad = max_bad
        self.bad: dict[int, str] = {}
        super().__init__(
            data=data,
            transform=transform,
            cache_rate=1.0 if cache else 0.0,
            num_workers=cache_workers,
            progress=sys.stderr.isatty() if progress is None else progress,
        )
        self._random = self.transform.get_index_of_first(_is_random) is not None

    def __getitem__(self, key: Any) -> Any:
        """Return the study at `index` (then the epoch is 0) or at `(epoch, index)`; slices and lists give subsets."""
        if isinstance(key, tuple):
            epoch, index = key
        elif isinstance(key, (slice, Sequence)):
            return super().__getitem__(key)
        else:
            epoch, index = 0, int(key)
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"index {index} is outside a dataset of {length} studies")
        index %= length
        skipped: list[dict[str, str]] = []
        for step in range(length):
            candidate = (index + step) % length
            # A study known as bad is tried again: whether it counts must not depend on what this process saw before.
            try:
                item = self._prepare(epoch, candidate)
            except Exception as error:
                self._bad_study(candidate, error)
                skipped.append({"id": self._name(candidate), "reason": self.bad[candidate]})
            else:
                return {**item, "skipped": skipped} if skipped and isinstance(item, dict) else item
        raise StudyError(f"none of the {length} studies could be prepared")

    @property
    def left_out(self) -> dict[str, str]:
        """The studies that this process knows to be bad: reasons by id."""
        return {self._name(index): reason for index, reason in self.bad.items()}

    def _prepare(self, epoch: int, index: int) -> Any:
        if self.cache_num and isinstance(self._cache[index], _Unreadable):
            raise StudyError(self._cache[index].reason)
        seed = derive_seed(self.seed, epoch, index)
        with isolated_random(seed) if self._random else nullcontext():
            if self._random:
                self.transform.set_random_state(seed=seed)
            return self._transform(index)

    def _load_cache_item(self, idx: int) -> Any:
        try:
            return super()._load_cache_item(idx)
        except Exception as error:
            self._bad_study(idx, error)
            return _Unreadable(_root_cause(error))

    def _bad_study(self, index: int, error: Exception) -> None:
        """Raise, or note the study and go on."""
        name = self._name(index)
        if self.on_error == "raise":
            raise StudyError(f"study {name!r} could not be prepared: {_root_cause(error)}") from error
        if index not in self.bad:
            self.bad[index] = _root_cause(error)
            logger.warning("study %r is left out: %s", name, self.bad[index])
        if len(self.bad) > self.max_bad:
            names = [self._name(bad) for bad in sorted(self.bad)]
            raise StudyError(
                f"{len(names)} studies could not be prepared, max_bad is {self.max_bad}: {names}"
            ) from error

    def _name(self, index: int) -> str:
        record = self.data[index]
        return str(record.get("id", index)) if isinstance(record, Mapping) else str(index)


def _is_random(transform: Any) -> bool:
    """Tell what MONAI's cache does not keep: random transforms, and callables of which nobody knows."""
    return isinstance(transform, RandomizableTrait) or not isinstance(transform, Transform)


def _root_cause(error: BaseException) -> str:
    """Return the innermost error: MONAI wraps it in one that only names the transform."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.filename is not None:  # its own text has the whole path
        return f"{type(error).__name__}: {Path(str(error.filename)).name}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
