"""Slow senders, slow readers, heads that never end and large jobs, all at once: what they take stays within bounds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelserve.web.heads import MAX_HEAD_BYTES
from tests.faults import much
from tests.faults.test_heads import GET, connect, headers
from tests.faults.test_rooms import ANSWER, BESIDE, BODY, FILE, FILES, JSON, LIMIT, MIB, SETTINGS, Watch, ask, begin
from tests.running import Running, eventually, running
from tests.web import telling

JOBS, RESULT = 24 * MIB, 2 * MIB
SECONDS = 8.0
SENDERS = 12
JOBS_PATH = "/v2/models/much/predict/"
JOB = b'{"size": %d, "wait_s": 0.5, "text": "' % MIB + b"x" * (2 * MIB) + b'"}'

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    bounds = {**SETTINGS, "max-queued-job-bytes": JOBS, "max-result-bytes": RESULT, "header-timeout-s": 60}
    models = [f"{telling.__file__}:Telling", f"{much.__file__}:Much"]
    with running([*models, *(f"--{name}={value}" for name, value in bounds.items())], folder=tmp_path) as server:
        yield server


class Crowd:
    """Threads that do the same again and again, each connection held until the end."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._end_s = time.monotonic() + SECONDS
        self._threads: list[threading.Thread] = []

    def add(self, act: Callable[[contextlib.ExitStack], object], times: int) -> None:
        thread = threading.Thread(target=self._run, args=(act, times))
        self._threads.append(thread)
        thread.start()

    def _run(self, act: Callable[[contextlib.ExitStack], object], times: int) -> None:
        with contextlib.ExitStack() as mine:
            for _ in range(times):
                if time.monotonic() < self._end_s:
                    with contextlib.suppress(OSError):
                        act(mine)
            time.sleep(max(0.0, self._end_s - time.monotonic()))

    def is_there(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)


def test_what_many_clients_of_every_kind_take_together_is_bounded_and_others_are_answered(server: Running) -> None:
    """X4, X5, Y8: memory and disk, while a canary is answered all along."""
    watch, most, limits = Watch(server), 0, {"receiving": LIMIT, "sending": LIMIT, "files": FILES}
    peaks = dict.fromkeys(limits, 0.0)
    taken = sum(1 for _ in iter(lambda: _is_refused(server), True))  # before the others leave no room to receive one
    with contextlib.ExitStack() as stack:
        crowd = Crowd(stack)
        crowd.add(lambda mine: _half(server, mine, "application/json", JSON), SENDERS)
        crowd.add(lambda mine: _half(server, mine, "multipart/form-data; boundary=b", FILE), 2 * SENDERS)
        crowd.add(lambda mine: mine.enter_context(connect(server)).sendall(GET + headers(MAX_HEAD_BYTES - 200)), 300)
        crowd.add(lambda mine: mine.enter_context(ask(server)).recv(12), SENDERS)
        crowd.add(lambda mine: _is_refused(server), 60)
        while crowd.is_there():
            watch.canary()
            most = max(most, watch.grown())
            peaks = {what: max(peak, watch.held(what)) for what, peak in peaks.items()}
            assert on_disk(server) <= FILES + JOBS + done(server) * RESULT + 16 * MIB
            time.sleep(0.1)
    for what, limit in limits.items():
        assert limit / 3 < peaks[what] <= limit + ANSWER * (what == "sending"), what
    assert taken * len(JOB) > JOBS / 3
    assert most < 2 * LIMIT + ANSWER + JOBS + 2 * BESIDE
    eventually(lambda: all(watch.held(what) == 0 for what in limits), within_s=60)
    eventually(lambda: not server.uploads())


def _half(server: Running, stack: contextlib.ExitStack, kind: str, data: bytes) -> None:
    stack.enter_context(begin(server, kind, BODY)).sendall(data)


def _is_refused(server: Running) -> bool:
    """Give the server one job more, and tell whether it was one too many."""
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    reply = server.request("POST", JOBS_PATH, JOB, headers)
    assert reply.status in (202, 503)
    return reply.status == 503


def done(server: Running) -> int:
    """Return how many jobs have ended, each of which may have left a result."""
    return len(server.get(f"{JOBS_PATH}?limit=1000").json())


def on_disk(server: Running) -> int:
    """Return what the server's files take, those that go meanwhile left out."""
    size = 0
    for folder in (server.temp, server.data):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
    return size
