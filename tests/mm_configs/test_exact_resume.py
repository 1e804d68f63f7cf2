"""A training that was stopped and resumed has the losses of the one that was not, in both toolboxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook

import monai_place.mm  # noqa: F401
from tests.support.mm_configs import tiny_config

pytest.importorskip("mmseg")
pytest.importorskip("mmdet")

from mmengine.runner import Runner

STEPS = 6  # iterations; of a training by epochs they are three epochs of two


class StoppedError(Exception):
    """What ends a training from outside."""


class Recorder(Hook):
    """Keeps the loss of each iteration, and stops the training after one of them."""

    priority = "LOWEST"  # behind CheckpointHook

    def __init__(self, stop: int | None = None) -> None:
        self.losses: dict[int, float] = {}
        self.stop = stop

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses[runner.iter + 1] = outputs["loss"].item()
        if runner.iter + 1 == self.stop:
            raise StoppedError


@pytest.fixture
def train(tiny_configs: Path, data_here: Path, tmp_path: Path) -> Callable[..., Recorder]:
    """Return what trains by a config, in a folder of that name, and returns the losses."""

    def run(
        config: str, folder: str, *, stop: int | None = None, resume: bool = False, workers: int = 0, **changes: Any
    ) -> Recorder:
        path = next(tiny_configs.glob(f"*/{config}.py"))
        by_epoch = "12e" in config or "50e" in config
        steps = STEPS // 2 if by_epoch else STEPS
        settings = tiny_config(path, tmp_path / folder, steps=steps, resume=resume, pictures=4)
        settings.train_dataloader.update(num_workers=workers, persistent_workers=workers > 0)
        settings.train_cfg.val_interval = 1
        settings.model.backbone.drop_path_rate = 0.3
        settings.merge_from_dict(changes)
        runner = Runner.from_cfg(settings)
        recorder = Recorder(stop)
        runner.register_hook(recorder)
        if stop is None:
            runner.train()
        else:
            with pytest.raises(StoppedError):
                runner.train()
        return recorder

    return run


@pytest.mark.parametrize("workers", [0, 2])
def test_segmentation_goes_on_with_the_losses_of_the_uninterrupted_run(
    train: Callable[..., Recorder], workers: int
) -> None:
    config = "placevit-tiny_upernet_1xb8-2k_phantom-224x224"
    whole = train(config, "whole").losses  # without workers: their number makes no difference either
    begun = train(config, "parted", stop=3, workers=workers).losses
    rest = train(config, "parted", resume=True, workers=workers).losses
    assert begun == {number: whole[number] for number in (1, 2, 3)}
    assert rest == {number: whole[number] for number in (4, 5, 6)}
    assert len(set(whole.values())) == STEPS


@pytest.mark.parametrize("stop", [2, 3, 4], ids=["end of an epoch", "within an epoch", "last of an epoch"])
def test_detection_goes_on_with_the_losses_of_the_uninterrupted_run(train: Callable[..., Recorder], stop: int) -> None:
    config = "placevit-base_faster-rcnn_1xb8-12e_rsna-512x512"
    whole = train(config, "whole").losses
    by_iteration = {"default_hooks.checkpoint.by_epoch": False} if stop != 2 else {}
    begun = train(config, "parted", stop=stop + (stop == 2), **by_iteration).losses
    rest = train(config, "parted", resume=True, **by_iteration).losses
    assert rest == {number: whole[number] for number in range(stop + 1, STEPS + 1)}
    assert begun | rest == whole
