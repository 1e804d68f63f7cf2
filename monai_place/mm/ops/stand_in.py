"""A module in the place of `mmcv._ext`, where mmcv was installed without its compiled operators.

It serves what torchvision or plain torch can do, on CPU and GPU, forward and backward. Every other operator is there,
since `mmcv.ops` asks for all of them when it is imported, and raises one clear error when it is called.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Callable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["SERVED", "build_stand_in", "install", "ops_in_use"]

NAME = "mmcv._ext"
COMPILED, STAND_IN = "compiled", "stand-in"
# Which module of this package serves what; the names are those of the compiled module.
FAMILIES = {
    "boxes": ("nms", "softnms"),
    "roi_align": ("roi_align_forward", "roi_align_backward"),
    "roi_pool": ("roi_pool_forward", "roi_pool_backward"),
    "deformable": (
        "deform_conv_forward",
        "deform_conv_backward_input",
        "deform_conv_backward_parameters",
        "modulated_deform_conv_forward",
        "modulated_deform_conv_backward",
    ),
    "focal": (
        "sigmoid_focal_loss_forward",
        "sigmoid_focal_loss_backward",
        "softmax_focal_loss_forward",
        "softmax_focal_loss_backward",
    ),
    "attention": ("ms_deform_attn_forward", "ms_deform_attn_backward"),
}
SERVED: tuple[str, ...] = tuple(name for names in FAMILIES.values() for name in names)

WHAT = (
    "nms, soft-nms, RoI align and pool, deformable convolution, focal loss and deformable attention; any other raises "
    "an error when it is called"
)
MISSING = (
    f"mmcv's operator {{name!r}} is not compiled here, and monai_place's stand-in does not serve it: it serves {WHAT}. "
    "To compile mmcv's own, with torch and a C++ compiler installed (and the CUDA toolkit, for a GPU): pip install "
    "--no-build-isolation --no-deps --force-reinstall --no-cache-dir {package}. The documentation's page for users of "
    "MMDetection and MMSegmentation has the details."
)


def install() -> str:
    """Put the stand-in in the place of `mmcv._ext`, unless compiled operators load; a second call does nothing.

    Returns:
        "compiled" or "stand-in", whichever serves from now on.

    Raises:
        ImportError: mmcv is not installed or does not import, or torchvision does not fit torch.
    """
    if (serving := ops_in_use()) is not None:
        return serving
    if importlib.util.find_spec("mmcv") is None:
        raise ImportError("monai_place.mm needs mmcv, which is not installed: pip install monai-place[mm]")
    mmcv = importlib.import_module("mmcv")  # an error of its own, such as a missing mmengine, is not ours to hide
    reason = "are not compiled"
    try:
        importlib.import_module(NAME)
    except ModuleNotFoundError:
        pass
    except (ImportError, OSError) as error:  # a symbol or a library is missing: its text has paths of this machine
        reason = f"do not load ({type(error).__name__}: compiled for another torch, or a library is missing)"
    else:
        return COMPILED
    module = build_stand_in()
    sys.modules[NAME] = module
    vars(mmcv)["_ext"] = module  # as an import of it would
    _tell(reason)
    return STAND_IN


def ops_in_use() -> str | None:
    """Tell which operators `mmcv.ops` has or will find: "compiled", "stand-in", or None as long as nobody has asked."""
    module = sys.modules.get(NAME)
    if module is None:
        return None
    return STAND_IN if isinstance(getattr(module, "__loader__", None), _StandInLoader) else COMPILED


def build_stand_in() -> ModuleType:
    """Return a new stand-in module; nothing is put in place.

    Raises:
        ImportError: torchvision does not fit torch.
    """
    module = importlib.util.module_from_spec(ModuleSpec(NAME, _StandInLoader(), origin="monai_place.mm.ops"))
    _StandInLoader().exec_module(module)
    return module


class _StandInLoader(Loader):
    """Fills the module; its spec needs one, since tools ask importlib whether the module could be loaded."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "A stand-in for mmcv's compiled operators, by monai_place.mm.ops."
        vars(module).update(
            _served(),
            get_compiler_version=lambda: "none (stand-in of monai_place)",
            get_compiling_cuda_version=lambda: "not available",
            __getattr__=_unserved,
        )


def _served() -> dict[str, Callable[..., Any]]:
    operators = {}
    for family, names in FAMILIES.items():
        try:
            found = importlib.import_module(f"monai_place.mm.ops.{family}")
        except (ImportError, RuntimeError, OSError, AttributeError) as error:
            raise ImportError(
                f"the stand-in for mmcv's operators needs a torchvision that fits torch ({error}): "
                "`monai-place doctor` names the versions that belong together"
            ) from error
        operators.update({name: getattr(found, name) for name in names})
    return operators


def _unserved(name: str) -> Callable[..., Any]:
    if name.startswith("_"):  # __path__, __file__, ...: importlib and inspect ask, and must hear no
        raise AttributeError(f"module {NAME!r} has no attribute {name!r}")

    def raise_missing(*_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError(MISSING.format(name=name, package=_installed_as()))

    raise_missing.__name__ = name
    return raise_missing


def _installed_as() -> str:
    """Return the name that mmcv was installed by: the fork must not be put beside upstream's."""
    found = (name for name in ("onedl-mmcv", "mmcv") if list(importlib.metadata.distributions(name=name)))
    return next(found, "onedl-mmcv")


def _tell(reason: str) -> None:
    from mmengine.logging import print_log

    text = f"mmcv's operators {reason}: monai_place's stand-in serves, by torchvision and torch, {WHAT}"
    # These look for mmcv.ops once, when they are imported, and do without it ever after.
    late = sorted({name for name in ("mmdet.models", "mmseg.models") if name in sys.modules})
    if late:
        text += f". {' and '.join(late)} came first and may do without them: import monai_place.mm before"
    # Of several processes that train together the first speaks for all; they are not connected yet.
    first = os.environ.get("RANK", "0") == "0"
    print_log(text, logger="current", level=logging.INFO if first else logging.DEBUG)
