"""mmcv's compiled operators, loaded aside of whatever `mmcv._ext` is: what the stand-in is held to."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from benchmarks.mm_ops import compiled_operators
from monai_place.mm.ops import install, ops_in_use
from monai_place.mm.ops.stand_in import build_stand_in

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
    try:
        return compiled_operators(tmp_path_factory.mktemp("mmcv"))
    except LookupError as error:
        pytest.skip(f"{error}; MONAI_PLACE_MMCV_WHEELS can name a folder of compiled wheels")


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
