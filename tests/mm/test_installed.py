"""What `monai_place.mm.installed` brings in."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from monai_place.mm.installed import TOOLBOXES


def test_the_part_of_every_installed_toolbox_is_imported() -> None:
    assert {part for toolbox, part in TOOLBOXES.items() if find_spec(toolbox)} <= sys.modules.keys()
    assert len(TOOLBOXES) == 2
