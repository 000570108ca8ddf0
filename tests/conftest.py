"""What tests of the whole program share: the model packages, installed once for all processes of a run."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.installed import NAMES, install
from tests.postgres import Cluster, cluster


@pytest.fixture(autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where servers that are told no data folder keep their jobs: for each test another, never the user's."""
    home = tmp_path_factory.getbasetemp() / "data" / uuid.uuid4().hex
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    return home


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Yield a PostgreSQL that runs; whoever ends it starts it again."""
    with cluster() as found:
        yield found
