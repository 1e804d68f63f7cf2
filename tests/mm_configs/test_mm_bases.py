"""What the configs promise beyond running: sizes of the encoders, weights by an option, the protocol's numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import monai_place.mm  # noqa: F401

pytest.importorskip("mmseg")

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, PARAM_SCHEDULERS, init_default_scope

from monai_place.config_files import config_folder, config_names, config_path
from monai_place.mm import PLACEViT
from monai_place.networks import PRESETS
from monai_place.preprocess import PreprocessSpec
from tests.support.mm_configs import tiny_config
from tests.support.models import save_tiny_place
from tests.support.source_files import write_dicom


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_file_of_an_encoder_tells_its_width_its_depth_and_levels_evenly_spread(preset: str) -> None:
    size = preset.removeprefix("place_")
    base = Config.fromfile(str(config_folder() / "_base_" / "backbones" / f"placevit-{size}.py"))
    options = {key: value for key, value in base.backbone.items() if key != "type"}
    assert options["arch"] == preset
    with torch.device("meta"):  # of the largest, nobody needs the numbers
        built = PLACEViT(**options, out_indices=tuple(base.levels), frozen_stages=base.depth)
    assert (built.embed_dim, built.depth) == (base.embed_dim, base.depth)
    steps = {after - before for before, after in zip((-1, *base.levels), base.levels, strict=False)}
    assert len(base.levels) == 4
    assert len(steps) == 1
    assert base.levels[-1] == base.depth - 1


@pytest.mark.parametrize("spelling", ["bundle", "init_cfg"])
def test_pretrained_weights_arrive_by_one_option(
    spelling: str, tiny_configs: Path, data_here: Path, tmp_path: Path
) -> None:
    run = tmp_path / "pretrained"
    image = {"embed_dim": 48, "depth": 4, "num_heads": 3}
    pretrained = save_tiny_place(run / "models", image_kwargs=image).image_encoder.vit.state_dict()
    config = tiny_config(
        tiny_configs / "segmentation" / "placevit-tiny_upernet_1xb8-2k_phantom-224x224.py", tmp_path / "work"
    )
    if spelling == "bundle":
        config.merge_from_dict({"model.backbone.bundle": str(run)})
    else:
        options = {"type": "Pretrained", "checkpoint": str(run / "models" / "backbone.safetensors")}
        config.merge_from_dict({f"model.backbone.init_cfg.{key}": value for key, value in options.items()})
    init_default_scope("mmseg")
    model = MODELS.build(config.model)
    model.init_weights()
    state = model.backbone.vit.state_dict()
    same = [key for key in state if key.startswith("blocks.") and torch.equal(state[key], pretrained[key])]
    assert len(same) == sum(key.startswith("blocks.") for key in pretrained)


@pytest.mark.parametrize("name", config_names())
def test_a_config_is_whole_by_itself_and_normalizes_as_the_weights_expect(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACE_DATA", raising=False)
    config = Config.fromfile(config_path(name), import_custom_modules=False)
    spec = PreprocessSpec(image_size=224)
    assert list(config.model.data_preprocessor.mean) == [255 * spec.mean] * 3
    assert list(config.model.data_preprocessor.std) == [255 * spec.std] * 3
    assert config.model.backbone.bundle is None
    data = name.split("_")[3].removesuffix("-224x224").removesuffix("-512x512")
    folder = data.removesuffix("-1pct").removesuffix("-10pct")
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    assert {loader.dataset.data_root for loader in loaders} == {f"data/{folder}"}
    by_iteration = config.train_cfg.type == "IterBasedTrainLoop"
    assert config.train_dataloader.sampler.infinite is by_iteration
    assert config.train_dataloader.dataset.pipeline[0].type == "monai_place.SeedSample"
    assert "ExactResumeHook" in config.custom_hooks[0].type
    batch = int(name.split("_")[2].partition("-")[0].removeprefix("1xb"))
    assert config.train_dataloader.batch_size == batch
    assert config.auto_scale_lr == {"enable": False, "base_batch_size": batch}


@pytest.mark.parametrize("name", [name for name in config_names() if "faster-rcnn" in name and "object-cxr" in name])
def test_a_foreign_object_of_two_percent_of_the_side_can_be_a_positive(name: str) -> None:
    pytest.importorskip("mmdet")
    from mmdet.registry import TASK_UTILS
    from mmdet.structures.bbox import bbox_overlaps

    config = Config.fromfile(config_path(name))
    made = TASK_UTILS.build({**config.model.rpn_head.anchor_generator, "_scope_": "mmdet"})
    anchors = torch.cat(made.grid_priors([(512 // stride[0],) * 2 for stride in made.strides], device="cpu"))
    corner, side = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 480, 0.02 * 512
    best = bbox_overlaps(torch.cat([corner, corner + side], dim=1), anchors).amax(dim=1)
    assert best.min() >= config.model.train_cfg.rpn.assigner.min_pos_iou


@pytest.mark.parametrize("length", [9, 200], ids=["1 % of Object-CXR", "10 % of RSNA"])
@pytest.mark.parametrize("schedule", ["det_12e", "det_50e"])
def test_a_training_by_epochs_reaches_its_rate_in_the_first_one_however_short(schedule: str, length: int) -> None:
    config = Config.fromfile(str(config_folder() / "_base_" / "schedules" / f"{schedule}.py"))
    rate = config.optim_wrapper.optimizer.lr
    moving = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    shared = {"optimizer": moving, "epoch_length": length}
    schedulers = [PARAM_SCHEDULERS.build(dict(settings), default_args=shared) for settings in config.param_scheduler]
    rates = []
    for _ in range(config.train_cfg.max_epochs):
        for _ in range(length):
            rates.append(moving.param_groups[0]["lr"])
            moving.step()
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in schedulers:
            if scheduler.by_epoch:
                scheduler.step()
    assert rates[0] < rate / 100
    assert rates[length] == pytest.approx(rate)  # with 500 steps of warming up it was a 25th of it
    assert rates[-1] < rate / 5


def optimizer(config: Config) -> tuple[float, float, int]:
    settings = config.optim_wrapper.optimizer
    return settings.lr, settings.weight_decay, config.train_dataloader.batch_size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("setr-pup_1xb16-50e-mgca_rsna", (5e-4, 0.05, 16)),
        ("setr-pup_1xb16-50e-mgca_rsna-1pct", (5e-4, 0.05, 16)),
        ("setr-pup_1xb8-50e-mgca_siim", (5e-4, 0.05, 8)),
        ("setr-pup_1xb8-50e-mgca_siim-10pct", (5e-4, 0.05, 8)),
        ("yolov3_1xb16-50e-mgca_rsna", (5e-4, 1e-6, 16)),
        ("yolov3_1xb16-50e-mgca_rsna-10pct", (5e-4, 1e-6, 16)),
        ("yolov3_1xb8-50e-mgca_rsna-1pct", (2e-4, 1e-6, 8)),
        ("yolov3_1xb16-50e-mgca_object-cxr", (5e-4, 1e-6, 16)),
        ("yolov3_1xb8-50e-mgca_object-cxr-1pct", (2.5e-4, 1e-6, 8)),
    ],
)
def test_mode_mgca_has_the_numbers_of_the_published_protocol(name: str, expected: tuple[float, float, int]) -> None:
    config = Config.fromfile(config_path(f"placevit-base-frozen_{name}-224x224"), import_custom_modules=False)
    assert optimizer(config) == expected
    assert config.param_scheduler == []
    assert config.train_cfg.max_epochs == 50
    assert config.randomness.seed == 42
    assert config.model.backbone.frozen_stages == 12
    chosen = "loss" if "setr" in name else "mAP"
    stopping = next(hook for hook in config.custom_hooks if hook.type == "EarlyStoppingHook")
    assert (stopping.monitor, stopping.patience, stopping.min_delta) == (chosen, 10, 0.0)
    assert config.default_hooks.checkpoint.save_best == chosen
    assert all(metric.mode == "mgca" for metric in (*config.val_evaluator, *config.test_evaluator))
    share: Any = config.train_dataloader.dataset.get("fraction")
    assert share == (0.01 if "-1pct" in name else 0.1 if "-10pct" in name else None)


def test_mode_mgca_scales_the_anchors_of_coco_and_assigns_at_every_scale() -> None:
    name = "placevit-base-frozen_yolov3_1xb16-50e-mgca_rsna-224x224"
    config = Config.fromfile(config_path(name), import_custom_modules=False)
    anchors = config.model.bbox_head.anchor_generator.base_sizes
    assert anchors[0][2] == pytest.approx((373 * 224 / 416, 326 * 224 / 416))
    assert config.model.train_cfg.assigner.type == "monai_place.EveryScaleGridAssigner"
    assert config.model.test_cfg.nms.iou_threshold == 0.5


def test_the_page_s_config_of_one_s_own_coco_data_replaces_ours_and_reads_dicom(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    page = (Path(__file__).resolve().parents[2] / "docs" / "openmmlab_users.md").read_text(encoding="utf-8")
    block = next(part for part in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "CocoDataset" in part)
    (tmp_path / "dicom").mkdir()
    write_dicom(tmp_path / "dicom" / "1.dcm", 80, 60)
    truth = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 30], "area": 600, "iscrowd": 0}
    pictures = [{"id": 1, "file_name": "1.dcm", "height": 80, "width": 60}]
    coco = {"images": pictures, "annotations": [truth], "categories": [{"id": 3, "name": "nodule"}]}
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.json").write_text(json.dumps(coco))
    block = block.replace('"mm_configs/', f'"{config_folder()}/').replace('"data/own/"', repr(f"{tmp_path}/"))
    (tmp_path / "own.py").write_text(block)
    config = Config.fromfile(str(tmp_path / "own.py"))
    assert config.model.roi_head.bbox_head.num_classes == 1
    init_default_scope("mmdet")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        sample = DATASETS.build(loader.dataset)[0]
        assert sample["inputs"].shape[0] == 3
        assert sample["data_samples"].gt_instances.labels.tolist() == [0]
