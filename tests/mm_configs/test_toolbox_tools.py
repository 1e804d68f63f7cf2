"""The configs run by the toolboxes' own tools, as installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SHORT = [
    "train_cfg.max_iters=1",
    "train_cfg.val_interval=1",
    "default_hooks.checkpoint.interval=1",
    *(f"{loader}_dataloader.batch_size=2" for loader in ("train", "val", "test")),
    *(f"{loader}_dataloader.num_workers=0" for loader in ("train", "val", "test")),
    *(f"{loader}_dataloader.persistent_workers=False" for loader in ("train", "val", "test")),
]


# MMDetection's test.py asks for compiled operators before it reads a config, which is what brings the stand-in.
WITH_OPERATORS = "import runpy, sys, monai_place.mm; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def tool(toolbox: str, name: str, *words: object, data: Path, folder: Path) -> None:
    spec = find_spec(toolbox)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / ".mim" / "tools" / name
    before = ["-c", WITH_OPERATORS] if (toolbox, name) == ("mmdet", "test.py") else []
    command = [sys.executable, "-W", "ignore", *before, str(path), *map(str, words), "--cfg-options", *SHORT]
    done = subprocess.run(
        command,
        env=os.environ | {"PLACE_DATA": str(data)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("toolbox", "config", "metric"),
    [
        ("mmseg", "segmentation/placevit-tiny_upernet_1xb8-2k_phantom-224x224", "Dice"),
        ("mmdet", "detection/placevit-tiny_faster-rcnn_1xb8-2k_phantom-224x224", "mAP"),
    ],
)
def test_the_installed_tools_train_and_test(
    toolbox: str, config: str, metric: str, tiny_configs: Path, tiny_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mmengine")
    if find_spec(toolbox) is None:
        pytest.skip(f"{toolbox} is not installed")
    file, work = tiny_configs / f"{config}.py", tmp_path / "run"
    tool(toolbox, "train.py", file, "--work-dir", work, data=tiny_data, folder=tmp_path)
    assert (work / "iter_1.pth").is_file()
    tool(
        toolbox, "test.py", file, work / "iter_1.pth", "--work-dir", tmp_path / "test", data=tiny_data, folder=tmp_path
    )
    results = json.loads(next((tmp_path / "test").glob("*/*.json")).read_text())
    assert metric in results
