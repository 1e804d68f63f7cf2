"""A few phantom studies, rendered once for all tests."""

from __future__ import annotations

import pytest

from monai_place.data.phantom import PhantomStudy, render_study

SEED, SIZE = 5, 96


@pytest.fixture(scope="session")
def studies() -> list[PhantomStudy]:
    """Return the first 120 studies of seed 5 at 96 pixels."""
    return [render_study(SEED, index, size=SIZE) for index in range(120)]
