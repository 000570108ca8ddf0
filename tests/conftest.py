"""What tests of the whole program share: the model packages, installed once for all processes of a run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.models.installed import NAMES, install


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return, for each model package of tests/models, the folder in which it alone is installed."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # shared by the processes of one run
    folder = base / "packages"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {name: folder / name if (folder / name).exists() else install(folder / name, name) for name in NAMES}
