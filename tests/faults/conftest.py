"""A server with the chaos model, and what must hold after every fault."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.models.installed import side_log
from tests.running import Running, eventually, running

Serve = Callable[..., Running]


@pytest.fixture
def serve(packages: dict[str, Path], tmp_path: Path) -> Iterator[Serve]:
    """Yield a function that starts a server: ``serve("chaos", "--workers", "2", CHAOS_WARM="raise")``."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, visible: tuple[str, ...] = ("chaos",), wait: bool = True, **env: str) -> Running:
            folders = [packages[name] for name in visible]
            return stack.enter_context(running(arguments, folder=tmp_path, visible=folders, env=env, wait=wait))

        yield start


class Chaos(NamedTuple):
    """A server with the chaos model, and the side log that its model writes."""

    server: Running
    side_log: Path

    def events(self, event: str) -> list[str]:
        """Return the modes of the events of one kind."""
        return [line["mode"] for line in side_log(self.side_log, event)]


@pytest.fixture
def chaos(serve: Serve, tmp_path: Path) -> Iterator[Chaos]:
    """Yield a server with one worker of the chaos model, and check the aftermath when the test is over."""
    log = tmp_path / "side.log"
    server = serve("chaos", CHAOS_LOG=str(log))
    descriptors = psutil.Process(server.process.pid).num_fds()
    yield Chaos(server, log)
    check_aftermath(server, workers=1, descriptors=descriptors)


def check_aftermath(server: Running, *, workers: int, descriptors: int) -> None:
    """Assert what must hold after any fault: see AFTERMATH in the list of faults this project is tested against."""
    assert server.get("/healthz").status == 200
    eventually(lambda: server.predict("chaos", {"mode": "ok"}).status == 200, within_s=10)
    eventually(lambda: len(server.workers()) == workers)
    assert not [process for process in server.family() if process.status() == psutil.STATUS_ZOMBIE]
    eventually(lambda: not server.uploads())
    eventually(lambda: psutil.Process(server.process.pid).num_fds() <= descriptors + 3)
    metrics = server.get("/metrics").body.decode()
    assert len(re.findall(r"^modelserve_", metrics, re.MULTILINE)) < 200, "the number of series is bounded"
    assert "hunter2" not in metrics
