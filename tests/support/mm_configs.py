"""The configs on tiny data: a folder with every data set in its layout, made of the phantom, and small runs of them."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from monai_place.config_files import config_folder
from monai_place.data.datalist import SPLITS, Datalist, read_datalist, write_datalist
from monai_place.data.phantom import write_phantom
from monai_place.data.radiograph import read_mask

SIZE = 64
FOLDERS = {"training": "train", "validation": "val", "test": "test"}  # of TBX11K
LUNGS = ("right lung", "left lung")
TINY_BACKBONE = """
embed_dim = 48
depth = 4
levels = (0, 1, 2, 3)
arch_kwargs = dict(embed_dim=48, depth=4, num_heads=3)
backbone = dict(type="monai_place.PLACEViT", arch="place_tiny", arch_kwargs=arch_kwargs, img_size=64, bundle=None)
"""
counter = itertools.count()

Record = dict[str, Any]


def write_tiny_data(root: Path) -> Path:
    """Write every data set that the configs name below `root`; records of normals are among them."""
    write_phantom(root / "phantom", studies=8, size=SIZE, seed=0, fractions=(0.5, 0.25, 0.25))
    phantom = read_datalist(root / "phantom" / "datalist.json")
    _derive(phantom, root / "rsna", lambda record, _: _boxes(record, ["opacity"]), classes=["opacity"])
    _derive(phantom, root / "object-cxr", lambda record, _: _boxes(record, None), classes=["foreign object"])
    _derive(phantom, root / "siim", lambda record, folder: _mask(record, phantom, folder, 1))
    _derive(phantom, root / "covid19-cxr", lambda record, folder: _lungs(record, phantom, folder), masks=["lung"])
    for split in SPLITS:
        for record in phantom.splits[split]:
            image = root / "tbx11k" / "img_dir" / FOLDERS[split] / f"{record['id']}.png"
            mask = root / "tbx11k" / "ann_dir" / FOLDERS[split] / image.name
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(phantom.root / record["image"], image)
            _write_mask(phantom.root / record["mask"], mask, 255)
    return root


def copy_tiny_configs(root: Path) -> Path:
    """Copy the configs below `root`, with an encoder of a few thousand weights, slim heads and pictures of 64 pixels.

    So the encoder's size is a matter of the file under `_base_/backbones` and the pictures' of that under
    `_base_/pipelines`, or the copies do not run.
    """

    def slimmer(number: re.Match[str]) -> str:
        return str(int(number[0]) // 8)

    copy = root / "mm_configs"
    shutil.copytree(config_folder(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (copy / "_base_" / "backbones").glob("*.py"):
        file.write_text(TINY_BACKBONE, encoding="utf-8")
    for file in (copy / "_base_" / "models").glob("*.py"):
        file.write_text(re.sub(r"\b(128|256|512|1024)\b", slimmer, file.read_text("utf-8")), encoding="utf-8")
    for file in (copy / "_base_" / "pipelines").glob("*.py"):
        text, count = re.subn(r"image_size = \(\d+, \d+\)", f"image_size = ({SIZE}, {SIZE})", file.read_text("utf-8"))
        assert count == 1, file.name
        file.write_text(text, encoding="utf-8")
    return copy


def tiny_config(path: Path, work_dir: Path, *, steps: int = 1, resume: bool = False, pictures: int = 2) -> Any:
    """Read a config and make it end after so many steps (iterations or epochs) of one batch of two pictures each."""
    config = Config.fromfile(str(path))
    config.work_dir, config.resume = str(work_dir), resume
    # MMEngine keeps loggers and visualizers by this name, which it makes of the second.
    config.experiment_name = f"{path.stem}_{next(counter)}"
    object.__setattr__(config, "_format_python_code", False)  # by yapf, for a second each time
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = config[name]
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(indices=pictures, serialize_data=False)  # serializing collects garbage each time
    config.train_cfg.update(
        {"max_iters" if "max_iters" in config.train_cfg else "max_epochs": steps, "val_interval": 1}
    )
    config.default_hooks.checkpoint.interval = 1
    config.default_hooks.logger.interval = 1
    for part in ("encoder", "decoder"):  # of a DETR
        if part in config.model:
            config.model[part].num_layers = 1
    if config.model.backbone.get("window_size"):
        config.model.backbone.window_size = 2  # of the four by four patches
    return config


def _derive(
    phantom: Datalist,
    folder: Path,
    change: Callable[[Record, Path], Record],
    *,
    classes: list[str] | None = None,
    masks: list[str] | None = None,
) -> None:
    folder.mkdir()
    splits = {
        split: [
            {"id": record["id"], "image": f"phantom/{record['image']}", **change(record, folder)}
            for record in phantom.splits[split]
        ]
        for split in SPLITS
    }
    extra = {"mask_classes": masks} if masks else {}
    datalist = Datalist(folder.name, "1", "test", "..", classes or [], splits, folder, extra)
    write_datalist(datalist, folder / "datalist.json")


def _boxes(record: Record, names: list[str] | None) -> Record:
    boxes = {"boxes": record["boxes"]}
    return boxes | {"box_classes": names * len(record["boxes"])} if names else boxes


def _mask(record: Record, phantom: Datalist, folder: Path, value: int) -> Record:
    _write_mask(phantom.root / record["mask"], folder / "masks" / f"{record['id']}.png", value)
    return {"mask": f"{folder.name}/masks/{record['id']}.png"}


def _lungs(record: Record, phantom: Datalist, folder: Path) -> Record:
    if not record["boxes"]:
        return {}  # as most of the real set has neither mask nor boxes
    names = [LUNGS[place % 2] for place in range(len(record["boxes"]))]
    return _mask(record, phantom, folder, 1) | {"boxes": record["boxes"], "box_classes": names}


def _write_mask(source: Path, target: Path, value: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(((read_mask(source) > 0) * value).astype(np.uint8)).save(target)


class _Seen(Hook):
    """Notes the iterations of a training, from 0."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.seen.append(runner.iter)


def train_and_resume(path: Path, work_dir: Path) -> None:
    """Train by a config for one step, validate, resume for another one; check what the config promises.

    Raises:
        AssertionError: it does not.
    """
    first = Runner.from_cfg(tiny_config(path, work_dir))
    before = {name: value.clone() for name, value in first.model.backbone.state_dict().items()}
    weights = {name: weight for name, weight in first.model.named_parameters() if weight.requires_grad}
    reached: set[str] = set()
    for name, weight in weights.items():
        weight.register_post_accumulate_grad_hook(lambda _, name=name: reached.add(name))
    first.train()
    assert reached == set(weights), "on several GPUs a weight without a gradient stops the training"
    changed = [name for name, value in first.model.backbone.state_dict().items() if not value.equal(before[name])]
    assert bool(changed) != ("-frozen_" in path.name), changed
    metric = first.cfg.default_hooks.checkpoint.save_best
    assert first.iter == 1
    assert "best_score" in first.message_hub.runtime_info, f"{metric} is not among the results of the validation"
    assert list(work_dir.glob(f"best_{metric}_*.pth"))
    assert list(work_dir.rglob("val_0_*.png")), "no picture of a prediction"
    assert list(work_dir.rglob("events.out.tfevents.*")), "nothing for TensorBoard"

    second = Runner.from_cfg(tiny_config(path, work_dir, steps=2, resume=True))
    seen: list[int] = []
    second.register_hook(_Seen(seen))
    second.train()
    assert seen == [1], "the resumed training does not go on behind the first step"
    assert second.iter == 2
