"""The demo's trainings in MMSegmentation and MMDetection, a few steps of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("mmseg")
pytest.importorskip("mmdet")

from monai_place.cli.demo_toolboxes import TASKS, compare_starts, short_config, toolboxes_are_missing
from monai_place.data.phantom import write_phantom
from tests.support.models import save_tiny_place


@pytest.fixture(scope="module")
def datalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom"), studies=12, size=64, seed=0, fractions=(0.5, 0.0, 0.5))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_tiny_place(folder / "models", image_kwargs={"embed_dim": 192, "depth": 4, "num_heads": 3})
    return folder


@pytest.mark.slow
def test_both_toolboxes_train_from_both_starts(datalist: Path, bundle: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    tasks = compare_starts(
        datalist,
        bundle,
        tmp_path / "work",
        size=64,
        tasks=[replace(task, steps=2, batch_size=2) for task in TASKS],
        seeds=(3,),
        tested=5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for task in tasks:
        assert list(task.scores) == ["pretrained", "random start"]
        assert all(len(numbers) == 1 and 0 <= numbers[0] <= 1 for numbers in task.scores.values())
        assert task.examples
        for example in task.examples:
            assert example.image.shape == (64, 64)
            assert example.truth
            assert list(example.predictions) == ["pretrained", "random start"]
    assert not list((tmp_path / "work").rglob("*.pth"))  # the demo needs no checkpoint


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.config)
def test_starts_differ_in_their_weights_alone(task: object, datalist: Path, bundle: Path, tmp_path: Path) -> None:
    settings = {"datalist": datalist, "work": tmp_path, "size": 64, "seed": 1, "tested": 3}
    given, random = (short_config(task, bundle=start, **settings).to_dict() for start in (bundle, None))  # type: ignore[arg-type]
    backbones = [config["model"].pop("backbone") for config in (given, random)]
    assert given == random
    assert (backbones[0].pop("bundle"), backbones[1].pop("bundle")) == (str(bundle), None)
    assert backbones[1].pop("img_size") == 64  # that of the pretrained encoder
    backbones[0].pop("img_size", None)
    assert backbones[0] == backbones[1]


def test_installed_toolboxes_are_not_missing() -> None:
    assert toolboxes_are_missing() == []
