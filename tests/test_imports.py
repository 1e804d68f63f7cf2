"""What an import may cost: no optional package, no network, and next to nothing for `import monai_place` itself."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = ["mmengine", "mmdet", "mmseg", "mmcv", "pydicom", "matplotlib", "highdicom", "onnx", "onnxruntime"]
PARTS = [
    "monai_place",
    "monai_place.atomic",
    "monai_place.preprocess",
    "monai_place.data",
    "monai_place.networks",
    "monai_place.losses",
    "monai_place.metrics",
    "monai_place.weights",
    "monai_place.transforms",
    "monai_place.engines",
    "monai_place.inference",
    "monai_place.cli",
]


def run_python(script: str) -> str:
    """Run a script in a new process at the root of the checkout, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """Import every part where the optional packages cannot be imported and nothing outside can be reached."""
    script = f"""
        import importlib.util, json, sys, traceback
        from importlib.machinery import PathFinder
        from tests.support.network import block_network

        class Without(PathFinder):  # not found, as where the package is not installed, rather than an error
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None if name.partition(".")[0] in {OPTIONAL!r} else PathFinder.find_spec(name, path, target)

        sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
        assert importlib.util.find_spec("numpy") and not any(map(importlib.util.find_spec, {OPTIONAL!r}))
        block_network()
        failures = {{}}
        for part in {PARTS!r}:
            try:
                importlib.import_module(part)
            except BaseException:
                failures[part] = traceback.format_exc()
        loaded = [name for name in {OPTIONAL!r} if name in sys.modules]
        assert not loaded, loaded
        print(json.dumps(failures))
    """
    result: dict[str, str] = json.loads(run_python(script).splitlines()[-1])
    return result


@pytest.mark.parametrize("part", PARTS)
def test_part_imports_without_optional_packages_and_without_network(part: str, failures: dict[str, str]) -> None:
    assert part not in failures, failures[part]


def test_import_of_the_package_is_light() -> None:
    heavy = ["transformers", "timm", "ignite", "pandas", "sklearn", "matplotlib", "pydicom", "nibabel", "torchvision"]
    script = f"import sys, monai_place; print([name for name in {heavy!r} if name in sys.modules])"
    assert run_python(script) == "[]\n"


def test_unknown_attribute_of_the_package_raises_as_python_does() -> None:
    import monai_place

    with pytest.raises(AttributeError, match="module 'monai_place' has no attribute 'predict'"):
        _ = monai_place.predict


def test_package_is_marked_as_typed() -> None:
    import monai_place

    assert (Path(monai_place.__file__).parent / "py.typed").is_file()
