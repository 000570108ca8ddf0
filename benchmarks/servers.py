"""Servers as child processes: started in an empty folder, asked once to prove their answer, stopped by process id."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .cases import Case
from .load import BenchmarkError, Request

__all__ = ["CpuTime", "Server", "started"]

# Importing torch on a busy machine takes tens of seconds.
_READY_S = 120.0
_STOP_S = 15.0
_POLL_S = 0.02
_READY = re.compile(r"ready on (http://\S+)")


@dataclass(frozen=True)
class CpuTime:
    """Seconds of CPU that a server's own process and its children have used since they started."""

    front_s: float
    workers_s: float


class Server:
    """A running server and the request that it is loaded with."""

    def __init__(self, case: Case, child: subprocess.Popen[bytes], request: Request, output: Path) -> None:
        self.case = case
        self.process = psutil.Process(child.pid)
        self.request = request
        self._child = child
        self._output = output

    def last_words(self) -> str:
        """Return how the server ended, if it has, and the end of what it printed."""
        code = self._child.poll()
        ended = "is still running" if code is None else f"ended with {code}"
        return f"{self.case.name} {ended}; it printed:\n{_tail(self._output)}"

    def cpu_time(self) -> CpuTime:
        """Return what the server has used so far."""
        return CpuTime(_used(self.process), sum(_used(child) for child in self.workers()))

    def workers(self) -> list[psutil.Process]:
        """Return all processes below the server's own, largest user of CPU first."""
        return sorted(self.process.children(recursive=True), key=_used, reverse=True)

    def check(self) -> None:
        """Send one request and judge the answer.

        Raises:
            BenchmarkError: The status is not 200 or the answer is wrong.
        """
        status, body = _exchange(self.request.url, self.request.body)
        if status != 200 or not self.case.right(_json(body)):
            raise BenchmarkError(f"{self.case.name} gave a wrong answer: {status} {body[:500]!r}")


@contextlib.contextmanager
def started(case: Case) -> Iterator[Server]:
    """Start the case's server, wait until it is ready and right, and stop it at the end.

    Raises:
        BenchmarkError: It ended, took too long, answered wrongly, or left a process behind.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "output"
        with output.open("wb") as sink:
            # A session of its own: Ctrl-C in the terminal must reach the bench alone, which then stops the servers.
            child = subprocess.Popen(
                case.command,
                cwd=folder,
                env=_environment(),
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            url = _ready_url(case, child, output)
            server = Server(case, child, Request(_target(case, url), case.body), output)
            server.check()
            yield server
        finally:
            _stop(case, child)


def _environment() -> dict[str, str]:
    # The caller's own settings of modelserve must not change what is measured.
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELSERVE_")}


def _ready_url(case: Case, child: subprocess.Popen[bytes], output: Path) -> str:
    def look() -> str | None:
        found = _READY.search(output.read_text(errors="replace"))
        if found:
            return found.group(1)
        if child.poll() is not None:
            raise BenchmarkError(f"{case.name} ended with {child.returncode} at its start:\n{_tail(output)}")
        return None

    url = _until(look, _READY_S)
    if url is None:
        raise BenchmarkError(f"{case.name} was not ready after {_READY_S} s:\n{_tail(output)}")
    return url.rstrip("/")


def _until(look: Callable[[], str | None], limit_s: float) -> str | None:
    deadline = time.monotonic() + limit_s
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return found


def _tail(output: Path) -> str:
    return "\n".join(output.read_text(errors="replace").splitlines()[-30:])


def _target(case: Case, url: str) -> str:
    if case.path:
        return url + case.path
    status, body = _exchange(f"{url}/v2/models/")
    if status != 200:
        raise BenchmarkError(f"{case.name} does not list its models: {status} {body[:500]!r}")
    [model] = _json(body)["models"]
    return f"{url}/v2/models/{model['id']}/predict/"


def _exchange(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError as error:
        raise BenchmarkError(f"{url} does not answer: {error}") from error


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise BenchmarkError(f"The answer is not JSON: {body[:500]!r}") from error


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _stop(case: Case, child: subprocess.Popen[bytes]) -> None:
    """Ask, wait, kill; then the same for what it left, which is a fault of its own."""
    family = _children(child.pid)
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    _, left = psutil.wait_procs(family, timeout=2.0)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if left:
        raise BenchmarkError(f"{case.name} left processes behind: {[process.pid for process in left]}")


def _children(pid: int) -> list[psutil.Process]:
    try:
        family: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return family
