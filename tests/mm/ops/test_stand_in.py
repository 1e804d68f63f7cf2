"""What is put in the place of `mmcv._ext`, when, and what it says."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES, BuiltinImporter
from pathlib import Path
from types import ModuleType
from typing import Any

import mmcv
import pytest
import torch
from mmengine.logging import MMLogger

from monai_place.mm.ops import SERVED, install, ops_in_use

ROOT = Path(__file__).resolve().parents[3]
FRESH = """
    import importlib.util, json, sys
    found = {}
    try:
        import mmcv.ops
    except ImportError as error:
        found["without us"] = str(error)
    import monai_place
    found["after the package"] = "mmcv._ext" in sys.modules

    import monai_place.mm
    from monai_place.mm.ops import install, ops_in_use
    found["serves"] = [ops_in_use(), install(), install()]
    import mmdet.models
    from mmcv.ops import batched_nms, nms_match
    import mmdet.models.dense_heads.base_dense_head as head
    found["mmdet has it"] = head.batched_nms is batched_nms
    found["found by importlib"] = importlib.util.find_spec("mmcv._ext") is not None
    import mmcv.utils
    found["environment"] = mmcv.utils.collect_env()["MMCV Compiler"]
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def fresh() -> dict[str, Any]:
    """Return what a new process saw, and what it said: it asks for mmcv's operators before us and after us."""
    if install() == "compiled":
        pytest.skip("mmcv is compiled here, and its operators win")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FRESH)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"said": done.stdout + done.stderr}


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes this process forget mmcv's operators, and look for them in a folder as well."""

    def forget(folder: Path | None = None) -> None:
        install()
        monkeypatch.setattr(mmcv, "_ext", sys.modules["mmcv._ext"])  # what is put there in the test is taken away again
        monkeypatch.delitem(sys.modules, "mmcv._ext")
        if folder is not None:
            monkeypatch.setattr(mmcv, "__path__", [str(folder), *mmcv.__path__])
        importlib.invalidate_caches()

    return forget


@pytest.fixture
def said() -> Iterator[list[logging.LogRecord]]:
    """Return the records of MMEngine's current logger."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = MMLogger.get_current_instance(), Keep()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_without_us_the_operators_cannot_be_imported(fresh: dict[str, Any]) -> None:
    assert "mmcv._ext" in fresh["without us"]


def test_only_the_import_of_the_mm_package_puts_it_in_place(fresh: dict[str, Any]) -> None:
    assert fresh["after the package"] is False
    assert fresh["serves"] == ["stand-in"] * 3


def test_after_us_mmdet_has_the_operators_even_if_they_failed_before(fresh: dict[str, Any]) -> None:
    assert fresh["mmdet has it"]


def test_it_says_so_once(fresh: dict[str, Any]) -> None:
    (line,) = [line for line in fresh["said"].splitlines() if "stand-in serves" in line]
    assert "INFO" in line
    assert str(ROOT) not in line


def test_of_several_processes_the_first_says_so(
    forgotten: Callable[..., None], said: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten()
    if importlib.util.find_spec("mmcv._ext") is not None:
        pytest.skip("mmcv is compiled here, and its operators win")
    monkeypatch.setenv("RANK", "1")
    assert install() == "stand-in"
    assert [record.levelno for record in said] == [logging.DEBUG]


def test_importlib_finds_it(fresh: dict[str, Any]) -> None:
    assert fresh["found by importlib"]


def test_the_report_of_the_environment_names_it(fresh: dict[str, Any]) -> None:
    assert fresh["environment"] == "none (stand-in of monai_place)"


def test_compiled_operators_win_and_nothing_is_said(
    compiled: ModuleType, forgotten: Callable[..., None], said: list[logging.LogRecord]
) -> None:
    forgotten(Path(str(compiled.__file__)).parent)
    assert ops_in_use() is None
    assert install() == ops_in_use() == "compiled"
    assert Path(sys.modules["mmcv._ext"].__file__ or "").suffix == Path(str(compiled.__file__)).suffix
    assert not said


def test_compiled_operators_that_do_not_load_are_replaced_and_named(
    forgotten: Callable[..., None], said: list[logging.LogRecord], tmp_path: Path
) -> None:
    (tmp_path / f"_ext{EXTENSION_SUFFIXES[0]}").write_bytes(b"of another torch")
    forgotten(tmp_path)
    assert install() == "stand-in"
    (record,) = said
    assert "do not load (ImportError" in record.getMessage()
    assert str(tmp_path) not in record.getMessage()


def test_toolboxes_that_were_imported_before_are_named(
    forgotten: Callable[..., None], said: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten()
    if importlib.util.find_spec("mmcv._ext") is not None:
        pytest.skip("mmcv is compiled here, and its operators win")
    monkeypatch.setitem(sys.modules, "mmseg.models", ModuleType("mmseg.models"))
    monkeypatch.delitem(sys.modules, "mmdet.models", raising=False)
    install()
    assert (
        said[0].getMessage().endswith("mmseg.models came first and may do without them: import monai_place.mm before")
    )


def test_without_mmcv_the_error_says_what_to_install(
    forgotten: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten()
    monkeypatch.delitem(sys.modules, "mmcv")
    monkeypatch.setattr(sys, "meta_path", [BuiltinImporter])  # which finds no package
    with pytest.raises(ImportError, match=r"mmcv, which is not installed: pip install monai-place\[mm\]"):
        install()


def test_an_operator_that_is_not_served_is_there_and_says_what_to_do_when_it_is_called(mmcv_ops: ModuleType) -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1, 0.5]])
    with pytest.raises(NotImplementedError, match=r"'nms_match' .* --no-build-isolation .* onedl-mmcv"):
        mmcv_ops.nms_match(boxes, 0.5)


def test_upstream_s_mmcv_is_what_is_compiled_where_it_is_installed(
    mmcv_ops: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda *, name: iter([name] if name == "mmcv" else []))
    with pytest.raises(NotImplementedError, match=r"--no-cache-dir mmcv\. The doc"):
        mmcv_ops.nms_match(torch.zeros(1, 5), 0.5)


def test_every_operator_that_mmcv_asks_for_is_there(stand_in: ModuleType) -> None:
    folder = Path(str(mmcv.__file__)).parent / "ops"
    names = {
        name
        for path in folder.glob("*.py")
        for name in (part.split("(")[0].strip() for part in path.read_text().split("ext_module.")[1:])
        if name.isidentifier()
    }
    assert set(SERVED) <= names
    assert [name for name in sorted(names) if not callable(getattr(stand_in, name))] == []


@pytest.mark.parametrize("name", ["__path__", "__file__", "__wrapped__", "_private"])
def test_what_tools_look_for_on_modules_is_not_an_operator(stand_in: ModuleType, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(stand_in, name)


def test_every_served_operator_takes_the_names_of_the_compiled_one(compiled: ModuleType, stand_in: ModuleType) -> None:
    for name in SERVED:
        signature = getattr(compiled, name).__doc__.partition("(")[2].partition(") ->")[0]
        names = [part.partition(":")[0].strip() for part in signature.split(", ")]
        assert list(inspect.signature(getattr(stand_in, name)).parameters) == names
