from __future__ import annotations

import subprocess
import sys

import pytest

import monai_place.visualize

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"matplotlib", "jinja2", "sklearn", "scipy", "torch"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
"""


def test_the_package_its_inputs_and_overlays_work_without_matplotlib():
    code = BLOCK + (
        "import numpy as np, monai_place.visualize as v\n"
        "v.RunReport('a'); v.Estimate(1.0); v.swapped_image_diagnostic(1, 3)\n"
        "assert v.overlay_heat(np.zeros((4, 4)), np.zeros((4, 4))).shape == (4, 4, 3)\n"
        "try:\n    v.plot_roc\nexcept ImportError:\n    print('lazy')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("lazy\n", "")


@pytest.mark.parametrize("name", monai_place.visualize.__all__)
def test_every_public_name_is_there(name):
    assert getattr(monai_place.visualize, name).__name__ == name


def test_all_and_the_table_of_homes_agree():
    assert sorted(monai_place.visualize._HOMES) == sorted(monai_place.visualize.__all__)
    with pytest.raises(AttributeError, match="no attribute 'plot_nothing'"):
        _ = monai_place.visualize.plot_nothing
