"""Every file inside the installed pydicom: read right, or refused by name for the reason in docs/reading.md.

The folder is listed; `get_testdata_files` would try the network.
"""

from __future__ import annotations

import json
import re
import warnings
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from monai_place.data.radiograph import RadiographError, read_radiograph

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reading.md"
ROWS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("pydicom_files.json").read_text(encoding="utf-8"))
FILES = sorted(
    path.relative_to(SHIPPED).as_posix()
    for path in SHIPPED.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
)


def row_of(name: str) -> dict[str, Any] | None:
    """Return the first row that matches: the more particular ones stand above."""
    return next((row for row in ROWS if any(fnmatch(name, pattern) for pattern in row["files"])), None)


READ = [name for name in FILES if (row_of(name) or {}).get("result") == "read"]


def expected_picture(path: Path) -> Any:
    """Compose pydicom's own functions in the order of the standard: modality, values of interest, polarity."""
    with warnings.catch_warnings():  # some of these files break the standard on purpose
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        values = apply_modality_lut(stored, dataset)
        shown = apply_voi_lut(values, dataset).astype(np.float64)
        if "WindowCenter" in dataset:
            ends = apply_voi_lut(np.array([-1e9, 1e9]), dataset)
            low, high = ends.min(), ends.max()
        else:
            counted = shown[stored != dataset.get("PixelPaddingValue")]
            low, high = counted.min(), counted.max()
    unit = np.clip((shown - low) / (high - low), 0, 1)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    return 1 - unit if inverted else unit


def test_the_folder_is_the_one_that_we_know() -> None:
    assert len(FILES) > 150
    assert len(READ) > 40
    assert not [pattern for row in ROWS for pattern in row["files"] if not any(fnmatch(n, pattern) for n in FILES)]


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_as_pydicom_s_own_functions_show_it(name: str) -> None:
    result, meta = read_radiograph(SHIPPED / name)
    expected = expected_picture(SHIPPED / name)
    assert result.dtype == np.float32
    assert tuple(meta["spatial_shape"]) == result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in FILES if name not in READ and row_of(name)])
def test_a_file_is_refused_with_its_name_and_the_reason(name: str) -> None:
    reason = (row_of(name) or {})["result"]
    with pytest.raises(RadiographError) as error:
        read_radiograph(SHIPPED / name)
    assert str(error.value).startswith(f"{Path(name).name}: {reason}")
    assert str(SHIPPED) not in str(error.value)


def test_a_file_that_a_later_pydicom_brings_is_read_or_refused_by_our_own_error() -> None:
    for name in (name for name in FILES if row_of(name) is None):
        with suppress(RadiographError):
            read_radiograph(SHIPPED / name)


def test_the_page_has_the_table() -> None:
    table = ["| file | what it is | result |", "|---|---|---|"]
    for row in ROWS:
        files = ", ".join(f"`{pattern}`" for pattern in row["files"])
        result = "read" if row["result"] == "read" else f"refused: {row['result']}"
        table.append(f"| {files} | {row['what']} | {result} |")
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"^\| file \| what it is \| result \|\n(\|.*\n)+", text, re.M)
    assert found is not None
    assert found[0].splitlines() == table, "\n".join(["the table should be:", *table])
