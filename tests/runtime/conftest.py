"""Fixtures of tests with real workers: bare ones, and the server's handle on one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import pytest_asyncio

from modelserve.discovery import ModelRef
from modelserve.messages import Ready
from modelserve.runtime.interface import WorkerOptions
from modelserve.runtime.leftovers import hold_again
from modelserve.runtime.process import LocalBackend, LocalReplica
from tests.runtime.child import Child
from tests.runtime.workers import CHAOS, Heard, spec, until


@pytest.fixture
def start(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a function that starts a worker, with options of its own."""
    for name in ("chaos", "chaos_batch", "chaos_stream", "chaos_async"):
        monkeypatch.syspath_prepend(packages[name])
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    children: list[Child] = []

    def start(ref: ModelRef = CHAOS, **options: Any) -> Child:
        wanted = msgspec.structs.replace(spec(ref), options=WorkerOptions(log_level="error", **options))
        children.append(Child(wanted, tmp_path))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def child(start: Any) -> Child:
    """A worker that is warm."""
    child: Child = start()
    assert isinstance(child.read(), Ready)
    return child


@pytest.fixture
def ready(start: Any) -> Any:
    """Return a function that starts a worker and waits until it is warm."""

    def ready(ref: ModelRef = CHAOS, **options: Any) -> Child:
        child: Child = start(ref, **options)
        assert isinstance(child.read(), Ready)
        return child

    return ready


@pytest.fixture
def log(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let workers find the chaos model, and return the side log that it writes."""
    monkeypatch.syspath_prepend(packages["chaos"])
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    return tmp_path / "side.log"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of the workers' temporary files, held as a run holds its own."""
    (tmp_path / "workers").mkdir(mode=0o700)
    lock = hold_again(str(tmp_path / "workers"))
    yield tmp_path / "workers"
    os.close(lock)


@pytest.fixture
def heard() -> Heard:
    """A listener that keeps what a worker said."""
    return Heard()


@pytest.fixture
def replica(log: Path, folder: Path) -> LocalReplica:
    """A worker that is not started yet."""
    return LocalBackend(str(folder)).replica(spec())


@pytest_asyncio.fixture
async def warm(replica: LocalReplica, heard: Heard, folder: Path) -> AsyncIterator[LocalReplica]:
    """A warm worker, of which nothing may be left in the end."""
    descriptors, children = psutil.Process().num_fds(), psutil.Process().children()
    await replica.start(heard)
    worker = psutil.Process(replica.pid)
    yield replica
    await replica.stop(0)
    await until(lambda: not worker.is_running())
    await until(lambda: not list(folder.iterdir()))
    assert len(heard.ends) == 1
    await until(lambda: psutil.Process().num_fds() <= descriptors)  # a thread still looks for what it may have left
    assert psutil.Process().children() == children, "no zombie, and no helper"
