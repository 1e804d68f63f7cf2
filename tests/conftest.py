"""What holds for every test: no network, few threads, strict MONAI configs; and fixtures that several folders need."""

from __future__ import annotations

import os

# Set before anything imports torch, transformers or MONAI, and inherited by the processes that tests start.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MONAI_FAIL_ON_DUPLICATE_CONFIG"] = "1"
os.environ["MPLBACKEND"] = "agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch takes its number of threads from it

from pathlib import Path

import pytest

from tests.support.network import block_network

ROOT = Path(__file__).resolve().parents[1]

block_network()


@pytest.fixture(scope="session")
def covid19_cxr() -> Path:
    """Return the folder of the real data set, or skip: set MONAI_PLACE_SHARED to where it lies."""
    folder = Path(os.environ.get("MONAI_PLACE_SHARED", ROOT.parent / "shared" / "data" / "covid19-cxr"))
    if not (folder / "metadata.csv").is_file():
        pytest.skip("the real data set covid19-cxr is not beside the checkout; MONAI_PLACE_SHARED can name its folder")
    return folder
