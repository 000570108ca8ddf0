"""A service as its operator and its clients see it: a server that comes and goes on one data folder, clients, jobs.

    with opened(packages, folder) as service:
        service.start()
        service.add("alice", Role.DEPLOYER)
        service.ask("POST", TRAIN, {"mode": "ok"}, name="alice")
        service.kill()

It counts what was answered, and knows every process that there was.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from modelserve.access.client import Role
from modelserve.access.clients import Clients
from modelserve.jobs.opening import open_database
from tests.faults.aftermath import UNEXPECTED
from tests.faults.trainings import BEGIN_S
from tests.running import Reply, Running, are_gone, eventually, running

__all__ = ["PREDICT", "ROOT", "WORKERS", "Service", "opened"]

ROOT = "root"
WORKERS = 2

PREDICT = "/v2/models/chaos/predict/"

# All processes of a killed server are gone within two seconds, and a revoked token is refused within one; a busy
# machine gets three times that.
GONE_S, REVOKED_S = 6.0, 3.0

ARGUMENTS = ("chaos", "--workers", str(WORKERS), "--train-workers", "2", "--train-retries", "1")
MORE_ARGUMENTS = ("--restart-budget", "1000", "--train-cancel-s", "0.5")


class Service:
    """One data folder with its clients, and the server on it while there is one."""

    def __init__(self, packages: Mapping[str, Path], folder: Path, clients: Clients) -> None:
        self.folder = folder
        self.side_log = folder / "side.log"
        self.tokens: dict[str, str] = {}
        self.roles: dict[str, Role] = {}
        self.revoked: list[str] = []
        self.starts = 0
        self.answers: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.processes: set[psutil.Process] = set()
        self.slowest_end_s = 0.0
        self._packages = packages
        self._clients = clients
        self._pool = ThreadPoolExecutor(32)
        self._calls: list[Future[Reply]] = []
        self._life = contextlib.ExitStack()
        self._server: Running | None = None

    @property
    def server(self) -> Running:
        """The server that runs now."""
        assert self._server is not None
        return self._server

    def start(self) -> None:
        """Start a server, whose answers are counted from zero."""
        visible, env = [self._packages["chaos"]], {"CHAOS_LOG": str(self.side_log)}
        started = running([*ARGUMENTS, *MORE_ARGUMENTS], folder=self.folder, visible=visible, env=env)
        self._server = self._life.enter_context(started)
        self.starts += 1
        self.answers.clear()
        self.note_processes()

    def kill(self) -> None:
        """End the server with SIGKILL; wait until nothing is left of it."""
        family = self.note_processes()
        self.server.process.kill()
        self._forget(family)

    def stop(self) -> None:
        """End it with SIGTERM, in the same way."""
        family = self.note_processes()
        self.server.process.send_signal(signal.SIGTERM)
        assert self.server.process.wait(60) == 0
        self._forget(family)

    def _forget(self, family: list[psutil.Process]) -> None:
        eventually(lambda: are_gone(family), within_s=GONE_S)
        for call in self._calls:
            self.told["answered before the end" if call.exception(60) is None else "cut by the end"] += 1
            assert isinstance(call.exception(), (OSError, HTTPException, type(None)))
        self._calls.clear()
        assert not [words for words in UNEXPECTED if words in self.server.log], self.server.log
        self._life.close()
        self._server = None

    def note_processes(self) -> list[psutil.Process]:
        """Return the family of the server, which is remembered."""
        family = self.server.family()
        self.processes.update(family)
        return family

    def ask(self, method: str, path: str, body: Any = None, *, name: str = ROOT, **headers: str) -> Reply:
        """Send a request as a client; before there are any, as anybody."""
        return self.ask_with(self.tokens.get(name, ""), method, path, body, **headers)

    def ask_with(self, token: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request with a token, or "" for none."""
        own = {"Authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else json.dumps(body).encode()
        own |= {} if body is None else {"Content-Type": "application/json"}
        reply = self.server.request(method, path, content, own | headers, 60)
        if (method, path) == ("POST", PREDICT) and reply.status != 202:
            self.answers[f"{reply.status // 100}xx"] += 1
        return reply

    def counted(self) -> Counter[str]:
        """Return how many predictions the server says it has answered, by status class."""
        text = self.ask("GET", "/metrics").body.decode()
        found: Counter[str] = Counter()
        for sample in [sample for family in text_string_to_metric_families(text) for sample in family.samples]:
            if sample.name == "modelserve_requests_total" and sample.labels["operation"] == "predict":
                found[sample.labels["status"]] += int(sample.value)
        return found

    def call_soon(self, body: Any, *, name: str) -> None:
        """Call the model on a thread of its own; :meth:`collect` has what became of it."""
        self._calls.append(self._pool.submit(self.ask, "POST", PREDICT, body, name=name))

    def collect(self) -> list[Reply]:
        """Return the answers to all calls that have been sent so."""
        replies = [call.result(60) for call in self._calls]
        self._calls.clear()
        return replies

    @property
    def is_calm(self) -> bool:
        """Whether no call is on its way."""
        return not self._calls

    def add(self, name: str, role: Role) -> None:
        """Add a client; where a server runs, wait until it knows it."""
        self.tokens[name] = self._clients.add(name, role, (), None)
        self.roles[name] = role
        if self._server is not None:
            eventually(lambda: self._knows(name), within_s=BEGIN_S)

    def _knows(self, name: str) -> bool:
        time.sleep(0.15)  # each time that it does not is a failed login
        return self.is_refused("") and self.ask("GET", "/v2/models/", name=name).status == 200

    def revoke(self, name: str) -> None:
        """Revoke a client; where a server runs, see to it that its token ends soon."""
        token = self.tokens.pop(name)
        self._clients.revoke(name)
        since_s = time.monotonic()
        if self._server is not None:
            eventually(lambda: self.is_refused(token), within_s=REVOKED_S)
            self.slowest_end_s = max(self.slowest_end_s, time.monotonic() - since_s)
        self.revoked.append(token)

    def is_refused(self, token: str) -> bool:
        """Tell whether a token is no longer valid; that it was tried too often is an answer too."""
        return self.ask_with(token, "GET", "/v2/models/").status in (401, 429)

    def close(self) -> None:
        """End the server if there is one."""
        self._life.close()
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def opened(packages: Mapping[str, Path], folder: Path) -> Iterator[Service]:
    """Open a data folder for the block; no server runs yet."""
    with contextlib.closing(open_database("", folder / "data", wait_s=30)) as database:
        service = Service(packages, folder, Clients(database))
        with contextlib.closing(service):
            yield service
