from __future__ import annotations

import re

import pytest

from monai_place.config_files import config_folder, config_names

README = (config_folder() / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| `monai-place train-mm (\S+)` \| (.+?) \| (.+?) \| (\d+) \| (\w+) \| (.*) \|$", README, re.MULTILINE
)


def test_every_config_is_listed_once_and_every_listed_one_is_there() -> None:
    assert sorted(row[0] for row in ROWS) == config_names()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_the_name_says(row: tuple[str, ...]) -> None:
    name, method, data, pixels, encoder, what = row
    backbone, head, schedule, data_and_size = name.split("_")
    assert name.endswith(f"-{pixels}x{pixels}")
    assert backbone.startswith(f"placevit-{encoder}")
    assert head.replace("-", "").startswith(
        re.sub(r"[^a-z0-9]", "", method.lower().replace("probe", "")).removesuffix("vitdet")
    )
    assert data_and_size.startswith(data.lower().removesuffix(" lungs"))
    assert ("frozen" in what) == backbone.endswith("-frozen")
    assert what.startswith("mgca") == schedule.endswith("-mgca")
    percent = re.search(r"-(\d+)pct-", data_and_size)
    assert what.endswith(f", {percent[1]} %") if percent else "%" not in what


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(_base_/[\w./*-]+)`", README))))
def test_every_base_that_the_page_names_is_there(path: str) -> None:
    assert list(config_folder().glob(path)), path
