"""A server with the chaos model, and what must hold after every fault."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.aftermath import MORE_BYTES, aftermath
from tests.faults.confined import confined
from tests.models.installed import side_log
from tests.running import Running, running

Serve = Callable[..., Running]

# The packages of the models that are not called as theirs is.
PACKAGES = {"chaos-keyed": "chaos_batch", "chaos-async-stream": "chaos_async"}


@pytest.fixture
def serve(packages: dict[str, Path], tmp_path: Path) -> Iterator[Serve]:
    """Yield a function that starts a confined server: ``serve("chaos", "--workers", "2", CHAOS_WARM="raise")``."""
    with contextlib.ExitStack() as stack:

        def start(
            *arguments: str, visible: tuple[str, ...] = ("chaos",), wait: bool = True, confine: bool = True, **env: str
        ) -> Running:
            folders = [packages[name] for name in visible]
            within = confined(tmp_path, seen=folders) if confine else ()
            started = running(arguments, folder=tmp_path, visible=folders, env=env, wait=wait, within=within)
            return stack.enter_context(started)

        yield start


class Chaos(NamedTuple):
    """A server with the chaos model, and the side log that its model writes."""

    server: Running
    side_log: Path

    def events(self, event: str) -> list[str]:
        """Return the modes of the events of one kind."""
        return [line.get("mode", "") for line in side_log(self.side_log, event)]


@pytest.fixture
def chaos(serve: Serve, tmp_path: Path) -> Iterator[Chaos]:
    """Yield a server with one worker of the chaos model, and check the aftermath when the test is over."""
    log = tmp_path / "side.log"
    server = serve("chaos", CHAOS_LOG=str(log))
    with aftermath(server):
        yield Chaos(server, log)


# Starts a server with one model and watches it: see the fixture of this name.
Watched = Callable[..., Chaos]


@pytest.fixture
def watched(serve: Serve, tmp_path: Path) -> Iterator[Watched]:
    """Yield a function that starts a server with one model, whose aftermath is checked when the test is over.

    ``watched("chaos-batch", "--max-queue", "2", CHAOS_WARM_S="1")``
    """
    log = tmp_path / "side.log"
    with contextlib.ExitStack() as stack:

        def start(model: str, *arguments: str, workers: int = 1, more_bytes: int = MORE_BYTES, **env: str) -> Chaos:
            package = PACKAGES.get(model, model.replace("-", "_"))
            own = ("--workers", str(workers), *arguments)
            server = serve(model, *own, visible=(package,), CHAOS_LOG=str(log), **env)
            stack.enter_context(aftermath(server, model, workers=workers, more_bytes=more_bytes))
            return Chaos(server, log)

        yield start
