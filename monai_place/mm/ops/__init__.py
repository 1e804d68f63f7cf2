"""The operators of `mmcv.ops` without a compiler: a stand-in for the compiled module `mmcv._ext`."""

from __future__ import annotations

from monai_place.mm.ops.stand_in import SERVED, install, ops_in_use

__all__ = ["SERVED", "install", "ops_in_use"]
