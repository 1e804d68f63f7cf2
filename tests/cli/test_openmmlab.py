from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_place.config_files import config_names, config_path

pytest.importorskip("mmengine")

import monai_place.mm  # noqa: F401

pytest.importorskip("mmseg")

import torch
import typer
from mmengine.config import Config

from monai_place.cli.openmmlab import read_by, read_mm_config
from tests.support.mm_configs import copy_tiny_configs, write_tiny_data

NAME = "placevit-tiny_upernet_1xb8-2k_phantom-224x224"
SHORT = [
    "train_cfg.max_iters=1",
    "train_cfg.val_interval=1",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "val_dataloader.num_workers=0",
    "val_dataloader.persistent_workers=False",
    "default_hooks.checkpoint.interval=1",
]

SHORT_TEST = ["test_dataloader.num_workers=0", "test_dataloader.persistent_workers=False"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the file of a config with a tiny encoder, and the folder of the data."""
    folder = tmp_path_factory.mktemp("train_mm")
    return copy_tiny_configs(folder) / "segmentation" / f"{NAME}.py", write_tiny_data(folder / "data")


def test_without_a_name_all_configs_are_listed(call: Any) -> None:
    done = call("config-path")
    assert done.code == 0
    assert done.out.splitlines() == config_names()


@pytest.mark.parametrize("suffix", ["", ".py"])
def test_with_a_name_the_file_is_printed(call: Any, suffix: str) -> None:
    done = call("config-path", NAME + suffix)
    assert (done.code, done.out, done.err) == (0, config_path(NAME) + "\n", "")


@pytest.mark.parametrize("command", ["config-path", "train-mm"])
def test_an_unknown_name_is_bad_usage_and_near_ones_are_offered(call: Any, command: str) -> None:
    done = call(command, NAME.replace("2k", "3k"))
    assert (done.code, done.out) == (2, "")
    assert NAME in done.err.replace("│\n│ ", "")


def test_a_training_is_begun_resumed_and_tested(
    call: Any, tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = tiny
    monkeypatch.setenv("PLACE_DATA", str(data))
    work = tmp_path / "run"
    done = call("train-mm", config, "--cfg-options", *SHORT, "--work-dir", work)
    assert done.code == 0, done.err
    assert (work / "last_checkpoint").read_text().endswith("iter_1.pth")
    longer = [*SHORT, "train_cfg.max_iters=2"]
    done = call("train-mm", config, "--resume", "--work-dir", work, "--cfg-options", *longer)
    assert done.code == 0, done.err
    assert (work / "last_checkpoint").read_text().endswith("iter_2.pth")
    log = sorted(work.glob("*/*.log"))[-1].read_text()
    assert "resumed epoch: 0, iter: 1" in log
    done = call("test-mm", config, work / "iter_2.pth", "--work-dir", tmp_path / "test", "--cfg-options", *SHORT_TEST)
    assert done.code == 0, done.err
    assert "Dice" in json.loads(next((tmp_path / "test").glob("*/*.json")).read_text())


def test_the_run_lies_under_the_name_of_the_config_by_default(
    call: Any, tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = tiny
    monkeypatch.setenv("PLACE_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    assert call("train-mm", config, "--cfg-options", *SHORT, "experiment_name=by_default").code == 0
    assert (tmp_path / "work_dirs" / NAME / "iter_1.pth").is_file()


def test_data_that_are_not_there_are_one_line_and_exit_code_1(
    call: Any, tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE_DATA", str(tmp_path))
    done = call("train-mm", tiny[0], "--cfg-options", *SHORT, "--work-dir", tmp_path / "run")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(
        "error: phantom/datalist.json of train_dataloader does not exist; monai-place phantom data/phantom writes it."
    )
    assert "PLACE_DATA" in done.err
    assert str(tmp_path) not in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("placevit-base_faster-rcnn_1xb8-12e_rsna-512x512", "monai-place prepare rsna FOLDER data/rsna writes it"),
        ("placevit-base_upernet_1xb8-20k_tbx11k-512x512", "it has img_dir and ann_dir, each with train, val and test"),
    ],
)
def test_what_writes_a_missing_data_set_is_said(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv("PLACE_DATA", str(tmp_path))
    done = call("train-mm", name, "--work-dir", tmp_path / "run")
    assert done.code == 1
    assert hint in done.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_data_in_a_store_are_not_looked_for_on_the_disk(call: Any, tmp_path: Path) -> None:
    options = ["train_dataloader.dataset.data_root=s3://store/phantom", "model.backbonee.bundle=x"]  # ends behind it
    done = call("train-mm", NAME, "--work-dir", tmp_path / "run", "--cfg-options", *options)
    assert "val_dataloader does not exist" in done.err or "cannot be built" in done.err


def test_a_checkpoint_that_is_not_there_is_one_line_and_exit_code_1(call: Any, tmp_path: Path) -> None:
    done = call("test-mm", NAME, tmp_path / "iter_9.pth")
    assert (done.code, done.err) == (1, "error: 'iter_9.pth' does not exist\n")


def test_a_checkpoint_that_is_none_is_one_line_and_exit_code_1(call: Any, tmp_path: Path) -> None:
    (tmp_path / "garbage.pth").write_bytes(b"abc" * 100)
    done = call("test-mm", NAME, tmp_path / "garbage.pth")
    assert done.code == 1
    assert done.err.splitlines()[-1] == "error: 'garbage.pth' is no checkpoint that can be read, or a damaged one"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.backbonee.bundle=x", "error: the config cannot be built: EncoderDecoder.__init__() got an unexpected"),
        ("model.backbone.type=Foo", "error: the config cannot be built: Foo is not in the"),
    ],
)
def test_a_setting_that_no_class_takes_is_one_line_and_exit_code_1(
    call: Any, tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, message: str
) -> None:
    monkeypatch.setenv("PLACE_DATA", str(tiny[1]))
    done = call("train-mm", NAME, option, "--work-dir", tmp_path, f"experiment_name={option[:17]}")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(message)


@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_a_launcher_that_did_not_start_the_process_is_bad_usage(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    for name in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    done = call("train-mm", NAME, "--launcher", launcher, "--work-dir", tmp_path)
    assert done.code == 2
    assert f"{launcher} did not start this process" in done.err
    assert "torchrun --nproc_per_node=2" in done.err


@pytest.mark.parametrize("option", ["train_cfg.max_iters", "=3"])
def test_an_option_that_sets_nothing_is_bad_usage(call: Any, option: str) -> None:
    done = call("train-mm", NAME, "--cfg-options", option)
    assert done.code == 2
    assert f"{option!r} is not of the form" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.neck.scales=[4,2"], "Imbalanced brackets"),
        (["param_scheduler.5.end=3"], "Index 5 exceeds"),
        (["randomness.seed.low=3"], "seed"),
        (["train_cfg.max_iters=1", "train_cfg.max_iters.x=1"], "'int' object"),
    ],
)
def test_an_option_that_the_config_has_no_place_for_is_bad_usage(call: Any, options: list[str], message: str) -> None:
    done = call("train-mm", NAME, "--cfg-options", *options)
    assert done.code == 2
    assert message in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_several_processes_without_a_gpu_are_bad_usage(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    done = call("train-mm", NAME, "--launcher", "pytorch", "--work-dir", tmp_path)
    assert done.code == 2
    assert "no several processes on cpu" in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_mixed_precision_without_a_gpu_is_bad_usage(call: Any, tmp_path: Path) -> None:
    done = call("train-mm", NAME, "--amp", "--work-dir", tmp_path)
    assert done.code == 2
    assert "no mixed precision on cpu" in done.err


def test_options_have_the_types_that_the_toolboxes_give_them() -> None:
    config = read_mm_config(
        NAME, ["model.backbone.frozen_stages=4", "model.backbone.bundle=None", "image_size=[96,64]", "a.b=c=d"]
    )
    assert config.model.backbone.frozen_stages == 4
    assert config.model.backbone.bundle is None
    assert config.image_size == [96, 64]
    assert config.a.b == "c=d"


def test_an_override_reaches_every_pipeline_the_sizes_and_the_pictures(tmp_path: Path) -> None:
    settings = tmp_path / "ours.json"
    settings.write_text('{"image_steps": [{"_target_": "monai.transforms.Identityd", "keys": "image"}]}')
    for name in ("placevit-tiny_yolov3_1xb8-2k_phantom-224x224", "placevit-tiny_upernet_1xb8-2k_phantom-224x224"):
        config = read_mm_config(name, [])
        read_by(config, settings)
        loading = [
            step
            for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader)
            for step in loader.dataset.pipeline
            if step.type == "monai_place.LoadRadiographFromFile"
        ]
        assert len(loading) == 3
        assert {step.reading for step in loading} == {str(settings)}
        assert config.default_hooks.visualization.reading == str(settings)
        if "yolo" in name:
            assert config.train_dataloader.dataset.reading == str(settings)


def test_an_override_that_cannot_be_used_or_has_no_place_is_refused(tmp_path: Path) -> None:
    config = read_mm_config("placevit-tiny_yolov3_1xb8-2k_phantom-224x224", [])
    (tmp_path / "none.json").write_text('{"epochs": 3}')
    with pytest.raises(typer.BadParameter, match=r"none\.json: none of the settings"):
        read_by(config, tmp_path / "none.json")
    with pytest.raises(typer.BadParameter, match=r"gone\.json: No such file"):
        read_by(config, tmp_path / "gone.json")
    (tmp_path / "ours.json").write_text('{"image_steps": []}')
    with pytest.raises(ValueError, match="the config loads no picture by LoadRadiographFromFile"):
        read_by(Config({"model": {"type": "PLACEViT"}}), tmp_path / "ours.json")
