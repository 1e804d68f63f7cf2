"""The registries, in fresh processes: four spellings, two toolboxes, and what happens where one of them is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("mmengine")
ROOT = Path(__file__).resolve().parents[1]

SPELLINGS = {
    "custom_imports": "dict(type='PLACEViT', arch='place_tiny')",
    "prefix": "dict(type='monai_place.PLACEViT', arch='place_tiny')",
    "scope": "dict(type='PLACEViT', _scope_='monai_place', arch='place_tiny')",
    "class": "dict(type=PLACEViT, arch='place_tiny')",
}
TOOLBOXES = {"mmseg": "mmsegmentation", "mmdet": "mmdetection"}

SCRIPT = """
import sys
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

config = Config.fromfile(sys.argv[1])
init_default_scope(config.default_scope)
import importlib
models = importlib.import_module(f"{config.default_scope}.registry").MODELS
maps = models.build(config.model)(torch.zeros(1, 3, 64, 64))
print([tuple(level.shape) for level in maps])
"""


def run_python(*arguments: str, paths: str = str(ROOT), site: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python with a search path of ours before that of the interpreter, or without the latter."""
    environment = {**os.environ, "PYTHONPATH": paths}
    options = [] if site else ["-S"]
    command = [sys.executable, *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT.parent)


def write_config(folder: Path, spelling: str, toolbox: str) -> Path:
    """Write a config of somebody who has the toolbox and names our backbone."""
    head = {
        "custom_imports": "custom_imports = dict(imports=['monai_place.mm'], allow_failed_imports=False)\n",
        "class": "from monai_place.mm import PLACEViT\n",
    }.get(spelling, "")
    path = folder / f"{spelling}.py"
    path.write_text(f"{head}default_scope = '{toolbox}'\nmodel = {SPELLINGS[spelling]}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def with_only(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return, per toolbox, the search path of an installation that lacks the other one."""
    found = {}
    for toolbox, missing in (("mmseg", "mmdet"), ("mmdet", "mmseg")):
        folder = tmp_path_factory.mktemp(f"only_{toolbox}")
        hidden = (
            missing,
            f"onedl_{TOOLBOXES[missing]}",
            TOOLBOXES[missing],
            "__editable__",
            "_editable_",
            "monai_place",
        )
        for site in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
            for entry in site.iterdir():
                if not entry.name.startswith(hidden):
                    (folder / entry.name).symlink_to(entry)
        found[toolbox] = os.pathsep.join([str(ROOT), str(folder)])
    return found


@pytest.fixture(scope="session")
def compiled_mmcv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the search path of an mmcv with compiled operators."""
    installed = find_spec("mmcv")  # and not mmcv._ext, in whose place the stand-in may be
    if installed is not None and any(Path(str(installed.origin)).parent.glob("_ext.*")):
        return str(ROOT)
    wheels = sorted(Path(os.environ.get("MONAI_PLACE_MMCV_WHEELS", ROOT.parent / "shared" / "wheels")).glob("*mmcv*"))
    folder = tmp_path_factory.mktemp("compiled_mmcv")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                archive.extract(name, folder)
    paths = f"{ROOT}{os.pathsep}{folder}"
    if not wheels or run_python("-c", "import torch, mmcv._ext", paths=paths).returncode:
        pytest.skip("no compiled mmcv here (MONAI_PLACE_MMCV_WHEELS names a folder of wheels): mmdet does not import")
    return paths


@pytest.mark.parametrize("toolbox", list(TOOLBOXES))
@pytest.mark.parametrize("spelling", list(SPELLINGS))
def test_every_spelling_builds_the_backbone_in_a_fresh_process(
    spelling: str, toolbox: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip(toolbox)
    # Of these, only mmdet's registry imports its models, and with them mmcv's operators, before it asks for ours.
    first = spelling == "prefix" and toolbox == "mmdet"
    paths = request.getfixturevalue("compiled_mmcv") if first else str(ROOT)
    done = run_python("-c", SCRIPT, str(write_config(tmp_path, spelling, toolbox)), paths=paths)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("[(1, 192, 4, 4)]")


@pytest.mark.parametrize("toolbox", list(TOOLBOXES))
def test_one_toolbox_alone_is_enough(toolbox: str, tmp_path: Path, with_only: dict[str, str]) -> None:
    pytest.importorskip(toolbox)
    found = (
        "import monai_place.registry as ours\n"
        "found = [ours.DATASETS.get(name) is not None for name in ('RadiographSegDataset', 'RadiographDetDataset')]\n"
        "print(found, sorted({'mmseg', 'mmdet'} & sys.modules.keys()))\n"
    )
    done = run_python(
        "-c",
        SCRIPT + found,
        str(write_config(tmp_path, "custom_imports", toolbox)),
        paths=with_only[toolbox],
        site=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()  # of ours, and of what the toolboxes print
    assert "[(1, 192, 4, 4)]" in lines
    classes = lines[-1]
    assert classes == f"[{toolbox == 'mmseg'}, {toolbox == 'mmdet'}] ['{toolbox}']"


def test_registry_imports_nothing_but_mmengine() -> None:
    script = (
        "import sys, monai_place.registry; "
        "print(sorted({'mmcv', 'mmdet', 'mmseg', 'timm', 'transformers', 'monai_place.mm'} & sys.modules.keys()))"
    )
    done = run_python("-W", "error", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_package_itself_imports_no_mmengine() -> None:
    done = run_python("-c", "import sys, monai_place; sys.exit('mmengine' in sys.modules)")
    assert done.returncode == 0, done.stderr
