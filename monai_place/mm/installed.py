"""Imports the parts for whichever of MMSegmentation and MMDetection is installed; the registries ask for this module.

`monai_place.mm` alone needs neither of them. An installed toolbox that fails to import is an error, not an absence.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import monai_place.mm  # noqa: F401 (puts the operators in place before a toolbox asks for them)

__all__ = ["TOOLBOXES"]

TOOLBOXES = {"mmseg": "monai_place.mm.segmentation", "mmdet": "monai_place.mm.detection"}

for toolbox, part in TOOLBOXES.items():
    if find_spec(toolbox) is not None:
        import_module(part)
