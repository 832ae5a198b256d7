"""Fixtures that more than one room's tests need."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared facts, data and weights; tests that want it are skipped where it is absent."""
    place = Path(os.environ.get("STRIATE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "facts" / "facts.json").is_file():
        pytest.skip(f"needs the shared facts and data; {place} does not hold them (set STRIATE_SHARED)")
    return place
