"""mmcv's compiled operators, loaded aside of whatever `mmcv._ext` is: what the stand-in is held to."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytest.importorskip("mmcv")

from monai_place.mm.ops import install, ops_in_use
from monai_place.mm.ops.stand_in import build_stand_in

ROOT = Path(__file__).resolve().parents[3]
LOOK = "name a folder of compiled wheels of mmcv by MONAI_PLACE_MMCV_WHEELS"
PUBLIC = (
    "nms",
    "roi_align",
    "roi_pool",
    "deform_conv",
    "modulated_deform_conv",
    "focal_loss",
    "multi_scale_deform_attn",
)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return the compiled module: that of the installed mmcv, else that of a wheel; skip where there is none."""
    if ops_in_use() == "compiled":
        return importlib.import_module("mmcv._ext")
    folder = Path(os.environ.get("MONAI_PLACE_MMCV_WHEELS", ROOT.parent / "shared" / "wheels"))
    wheels = sorted(folder.glob("*mmcv*.whl"))
    if not wheels:
        pytest.skip(f"mmcv is not compiled here, and no wheel of it lies beside the checkout; {LOOK}")
    reasons = []
    for wheel in wheels:
        found = load_extension(wheel, tmp_path_factory.mktemp("mmcv"))
        if isinstance(found, ModuleType):
            return found
        reasons.append(f"{wheel.name}: {found}")
    pytest.skip(f"no wheel of mmcv loads beside torch {torch.__version__} ({'; '.join(reasons)}); {LOOK}")


def load_extension(wheel: Path, folder: Path) -> ModuleType | str:
    """Return the compiled module of a wheel, or why it does not load."""
    suffixes = tuple(f"_ext{suffix}" for suffix in EXTENSION_SUFFIXES)
    with zipfile.ZipFile(wheel) as archive:
        inside = [name for name in archive.namelist() if name.endswith(suffixes)]
        if not inside:
            return f"holds no compiled operators for Python {sys.version_info[0]}.{sys.version_info[1]}"
        library = archive.extract(inside[0], folder)
    # Only the last part of the name has to be that of the library: mmcv's own place stays as it is.
    spec: Any = importlib.util.spec_from_file_location("compiled_mmcv._ext", library)
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        return str(error)
    return module


@pytest.fixture(scope="session")
def stand_in() -> ModuleType:
    """Return the stand-in, whether or not it is in use."""
    return build_stand_in()


@pytest.fixture
def mmcv_ops(stand_in: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return `mmcv.ops` on the stand-in, even where compiled operators are installed."""
    install()
    ops = importlib.import_module("mmcv.ops")
    for name in PUBLIC:
        importlib.import_module(f"mmcv.ops.{name}")
        monkeypatch.setattr(sys.modules[f"mmcv.ops.{name}"], "ext_module", stand_in)
    return ops


@pytest.fixture
def draw() -> Callable[..., torch.Tensor]:
    """Return a drawer of standard normal numbers, the same in every test."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, **kwargs: Any) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, **kwargs)

    return normal
