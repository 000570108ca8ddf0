"""Packages that were written for DEEPaaS, and one that has left it, installed."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests.models.installed import installed_once

SOURCES = Path(__file__).parent / "packages"
NAMES = tuple(sorted(folder.name for folder in SOURCES.iterdir()))

# The packages run on marshmallow 3 alone; on a later one there is a test of how that is told.
IS_OLD = importlib.metadata.version("marshmallow").startswith("3.")
collect_ignore = ["packages", "test_on_marshmallow_4.py" if IS_OLD else "served"]


@pytest.fixture(scope="session")
def old_packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return, for each package in the folder ``packages``, the folder in which it alone is installed."""
    return installed_once(tmp_path_factory.getbasetemp(), NAMES, SOURCES)
