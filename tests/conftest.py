"""What tests of the whole program share: the model packages, installed once for all processes of a run."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelserve.text import shown
from tests.models.installed import NAMES, installed_once
from tests.postgres import Cluster, cluster


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a report be sent whatever a test has logged: a lone surrogate would end the process that ran it."""
    return _shown((yield))


def _shown(told: Any) -> Any:
    match told:
        case str():
            return shown(told)
        case dict():
            return {name: _shown(value) for name, value in told.items()}
        case list() | tuple():
            return type(told)(map(_shown, told))
    return told


@pytest.fixture(autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where servers that are told no data folder keep their jobs: for each test another, never the user's."""
    home = tmp_path_factory.getbasetemp() / "data" / uuid.uuid4().hex
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return, for each model package of tests/models, the folder in which it alone is installed."""
    return installed_once(tmp_path_factory.getbasetemp(), NAMES)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Yield a PostgreSQL that runs; whoever ends it starts it again."""
    with cluster() as found:
        yield found
