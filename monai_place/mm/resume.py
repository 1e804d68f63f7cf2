"""Resumed training that repeats the uninterrupted one, loss by loss, in both toolboxes.

MMEngine restores weights, optimizer, schedules and the count of iterations; not the random numbers, nor the place
within an epoch, nor what early stopping has seen. Here nothing random has a state to restore. What is drawn is a
function of the seed and of the place in the training: the order of the samples (`ResumableSampler`), the augmentation
of each (`SeedSample`), and what model and assigners draw in an iteration (`ExactResumeHook`). So it does not depend on
the number of workers either.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import ClassBalancedDataset
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS as ROOT_DATA_SAMPLERS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Sampler, Subset

from monai_place.registry import DATA_SAMPLERS, HOOKS, TRANSFORMS

__all__ = ["ExactResumeHook", "ResumableSampler", "SampleIndex", "SeedSample"]

STOPPING_KEY = "early_stopping"  # of a checkpoint
STOPPING_STATE = ("best_score", "wait_count")


class SampleIndex(int):
    """Index of a sample that carries the seed of whatever is drawn for it; a worker needs to know nothing else.

    Example:
        >>> index = SampleIndex(7, seed=3)
        >>> index == 7, (index - 5).seed, (index % 4).seed
        (True, 3, 3)
    """

    seed: int

    def __new__(cls, index: int, *, seed: int) -> SampleIndex:
        """Make an integer with a seed."""
        made = super().__new__(cls, index)
        made.seed = seed
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, int]]:
        """Say how to make it anew in a worker process."""
        return (int(self),), {"seed": self.seed}

    def __sub__(self, other: int) -> SampleIndex:
        """Keep the seed in the index that MMEngine's ConcatDataset takes of one of its data sets."""
        return SampleIndex(int(self) - other, seed=self.seed)

    def __mod__(self, other: int) -> SampleIndex:
        """Keep the seed in the index that MMEngine's RepeatDataset takes of its data set."""
        return SampleIndex(int(self) % other, seed=self.seed)


@ROOT_DATA_SAMPLERS.register_module()
@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler[SampleIndex]):
    """The order of a training's samples, each with a seed, from whatever place on.

    Takes the place of DefaultSampler and, `infinite`, of InfiniteSampler.

    Args:
        dataset: what is sampled.
        shuffle: a new order each epoch.
        seed: of the order and of the samples; None draws one that all ranks share. MMEngine hands over that of
            `randomness`.
        infinite: epoch after epoch without an end, for IterBasedTrainLoop.

    Raises:
        ValueError: the data set is empty.

    Example:
        >>> sampler = ResumableSampler(range(4), seed=0)
        >>> whole = [(index, index.seed) for index in sampler]
        >>> sampler.skip(3)
        >>> [(index, index.seed) for index in sampler] == whole[3:]
        True
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,  # noqa: FBT001, FBT002 (MMEngine's order)
        seed: int | None = None,
        *,
        infinite: bool = False,
    ) -> None:
        if not len(dataset):
            raise ValueError("dataset is empty: there is no sample to draw")
        self.rank, self.world_size = get_dist_info()
        self.size, self.shuffle, self.infinite = len(dataset), shuffle, infinite
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = self.skipped = 0

    def __iter__(self) -> Iterator[SampleIndex]:
        """Yield this rank's samples; on several ranks an epoch is filled up from its beginning."""
        known, order = -1, list(range(self.size))
        place = self.skipped * self.world_size + self.rank
        while self.infinite or place < len(self) * self.world_size:
            turn, offset = divmod(place, self.size) if self.infinite else (self.epoch, place % self.size)
            if self.shuffle and turn != known:
                generator = torch.Generator().manual_seed(_mix(self.seed, turn))
                known, order = turn, torch.randperm(self.size, generator=generator).tolist()
            yield SampleIndex(order[offset], seed=_mix(self.seed, turn, place))
            place += self.world_size

    def __len__(self) -> int:
        """Count the samples of this rank in an epoch, whatever was skipped."""
        return -(-self.size // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; without an effect on an infinite sampler."""
        if not self.infinite:
            self.epoch, self.skipped = epoch, 0

    def skip(self, num_samples: int) -> None:
        """Begin behind so many samples of this rank: of the epoch, or since the training began if infinite.

        Raises:
            ValueError: the number is negative.
        """
        if num_samples < 0:
            raise ValueError(f"num_samples must be at least 0, got {num_samples}")
        self.skipped = num_samples


@ROOT_TRANSFORMS.register_module()
@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """Seed python, numpy and torch by the seed that a sample's index carries; the first of a training's transforms.

    Without a `ResumableSampler` there is no such seed, and nothing happens.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Seed the generators of this process; the results stay as they are."""
        index = results.get("sample_idx")
        if isinstance(index, SampleIndex):
            _seed_all(index.seed)
            results["sample_idx"] = int(index)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@ROOT_HOOKS.register_module()
@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed training go on as if it had never stopped, in the middle of an epoch too.

    It seeds each iteration by its number, skips what of an epoch was trained on, keeps what EarlyStoppingHook has seen,
    and makes up for the validation that was due when the checkpoint was written. It needs `ResumableSampler` in the
    train_dataloader, `SeedSample` first in its pipeline, the same `randomness.seed` and as many processes as before.
    Gradients are in no checkpoint: where the optimizer's wrapper accumulates them, only a checkpoint whose number of
    iterations is a multiple of `accumulative_counts` goes on exactly.
    """

    priority = "LOWEST"  # behind DistSamplerSeedHook, which begins an epoch anew, and behind CheckpointHook

    def __init__(self) -> None:
        self._stopping: list[dict[str, Any]] | None = None
        self._training = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what early stopping had seen for `before_train`; whether it is a resume is not known yet."""
        self._stopping = checkpoint.get(STOPPING_KEY)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what early stopping has seen."""
        hooks = _stopping_hooks(runner)
        checkpoint[STOPPING_KEY] = [{name: getattr(hook, name) for name in STOPPING_STATE} for hook in hooks]

    def before_train(self, runner: Runner) -> None:
        """Take up early stopping, and do the validation that the checkpoint was written before.

        Raises:
            ValueError: an epoch would have no end.
        """
        self._training = True  # without one there are no iterations: asking for them would load the training's data
        loader = runner.train_dataloader
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and getattr(loader.sampler, "infinite", False):
            raise ValueError(
                "the sampler of train_dataloader has infinite=True and train_cfg is an EpochBasedTrainLoop, whose "
                "epochs would never end; expected infinite=False"
            )
        if not _is_resumable(loader):
            print_log(
                f"ExactResumeHook: the sampler is {type(loader.sampler).__name__}, the batch sampler "
                f"{type(loader.batch_sampler).__name__}; expected ResumableSampler and none of one's own: a resumed "
                "training will see other samples",
                logger="current",
                level=logging.WARNING,
            )
        elif reason := _unseeded(loader.dataset):
            print_log(
                f"ExactResumeHook: {reason}: a resumed training, or one of other workers, will see other augmentations",
                logger="current",
                level=logging.WARNING,
            )
        if runner.iter == 0:  # weights may have been loaded, but nothing is resumed
            return
        for hook, state in zip(_stopping_hooks(runner), self._stopping or (), strict=False):
            for name in STOPPING_STATE:
                setattr(hook, name, state[name])
        if _validation_is_due(runner):
            runner.val_loop.run()

    def before_train_epoch(self, runner: Runner) -> None:
        """Skip what of this epoch was trained on; an IterBasedTrainLoop does it by itself."""
        loader = runner.train_dataloader
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and _is_resumable(loader):
            done = runner.iter - runner.epoch * len(loader)  # batches
            loader.sampler.skip(min(done * loader.batch_size, len(loader.sampler)))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the model draws, dropout and the sampling of boxes for one."""
        _seed_all(_mix(runner.seed, runner.iter, get_dist_info()[0], 1))

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what a validation draws, such as the boxes of a validation loss: one made up for draws the same."""
        if self._training:
            _seed_all(_mix(runner.seed, runner.iter, get_dist_info()[0], 2, batch_idx))


def _is_resumable(loader: DataLoader[Any]) -> bool:
    """Tell whether the order of the samples is a ResumableSampler's; a batch sampler of one's own may change it."""
    return isinstance(loader.sampler, ResumableSampler) and loader.batch_size is not None


def _unseeded(dataset: Any) -> str | None:
    """Say why the seeds of a ResumableSampler do not reach the transforms of a data set, or of one that it wraps."""
    if isinstance(dataset, ClassBalancedDataset | Subset):
        return f"{type(dataset).__name__} hands on plain indices, without the seeds of ResumableSampler"
    within = getattr(dataset, "datasets", None) or ([dataset.dataset] if hasattr(dataset, "dataset") else [])
    if within:
        return next(filter(None, map(_unseeded, within)), None)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", ())
    if transforms and not isinstance(transforms[0], SeedSample):
        return f"the pipeline of {type(dataset).__name__} does not begin with SeedSample"
    return None


def _validation_is_due(runner: Runner) -> bool:
    """Tell whether the validation at this place is not in the checkpoint: MMEngine saves first, and validates then."""
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    if runner.val_loop is None or not (by_epoch or isinstance(loop, IterBasedTrainLoop)):
        return False
    if by_epoch and loop.iter != loop.epoch * len(loop.dataloader):
        return False  # in the middle of an epoch, or behind its last iteration, where the loop will see to it
    done, limit = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    return done < limit and done >= loop.val_begin and done % loop.val_interval == 0


def _stopping_hooks(runner: Runner) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def _mix(*coordinates: int) -> int:
    """Return a seed in [0, 2**32) that is a function of the coordinates alone, as in `monai_place.engines`."""
    return int(np.random.SeedSequence(coordinates).generate_state(1)[0])


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
