"""Servers as child processes: started in an empty folder, asked once to prove their answer, stopped by process id."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from .cases import Case
from .exchange import exchange, free_port, get
from .load import BenchmarkError, Request

__all__ = ["CpuTime", "LeftBehind", "Server", "launched", "started", "used_s"]

# Importing torch on a busy machine takes tens of seconds.
_READY_S = 120.0
_STOP_S = 15.0
_POLL_S = 0.02
_PROBE_S = 2.0
_READY = re.compile(r"ready on (http://\S+)")
_ROOT = Path(__file__).resolve().parent.parent


class LeftBehind(BenchmarkError):
    """A server left processes behind when it was told to end."""


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
        return CpuTime(used_s(self.process), sum(used_s(child) for child in self.workers()))

    def workers(self) -> list[psutil.Process]:
        """Return all processes below the server's own, largest user of CPU first."""
        return sorted(self.process.children(recursive=True), key=used_s, reverse=True)

    def check(self) -> None:
        """Send one request and judge the answer.

        Raises:
            BenchmarkError: The status is not 200 or the answer is wrong.
        """
        status, body = exchange(self.request)
        if status != 200 or not self.case.right(body):
            raise BenchmarkError(f"{self.case.name} gave a wrong answer: {status} {body[:500]!r}")


@contextlib.contextmanager
def started(case: Case) -> Iterator[Server]:
    """Start the case's server, wait until it is ready and right, and stop it at the end.

    Raises:
        BenchmarkError: It ended, took too long, answered wrongly, or left a process behind.
    """
    port = free_port()
    with launched(case, port) as (child, output):
        url = _ready_url(case, child, output, port)
        server = Server(case, child, Request(_target(case, url), case.body, case.content_type), output)
        server.check()
        yield server


@contextlib.contextmanager
def launched(case: Case, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start the case's process in an empty folder and stop it at the end; yield it and the file of its output.

    Raises:
        LeftBehind: It left processes behind; they have been killed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / "output"
        with output.open("wb") as sink:
            # A session of its own: Ctrl-C in the terminal must reach the bench alone, which then stops the servers.
            child = subprocess.Popen(
                [part.replace("{port}", str(port)) for part in case.command],
                cwd=folder,
                env=_environment(case, folder),
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            yield child, output
        except BaseException:
            _stop(child)  # what went wrong before is what is told
            raise
        if left := _stop(child):
            raise LeftBehind(f"{case.name} left processes behind: {[process.pid for process in left]}")


def used_s(process: psutil.Process) -> float:
    """Return the seconds of CPU a process has used, 0.0 for one that has ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _environment(case: Case, folder: str) -> dict[str, str]:
    # The caller's own settings of modelserve must not change what is measured.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MODELSERVE_")}
    # The models that are measured import each other from this package; nothing is kept behind the run.
    own = {"PYTHONPATH": str(_ROOT), "MODELSERVE_DATA_DIR": str(Path(folder) / "data")}
    return inherited | own | dict(case.environment)


def _ready_url(case: Case, child: subprocess.Popen[bytes], output: Path, port: int) -> str:
    told = any("{port}" in part for part in case.command)

    def look() -> str | None:
        found = _answering(case, f"http://127.0.0.1:{port}") if told else _printed(output)
        if found is None and child.poll() is not None:
            raise BenchmarkError(f"{case.name} ended with {child.returncode} at its start:\n{_tail(output)}")
        return found

    url = _until(look, _READY_S)
    if url is None:
        raise BenchmarkError(f"{case.name} was not ready after {_READY_S} s:\n{_tail(output)}")
    return url.rstrip("/")


def _printed(output: Path) -> str | None:
    found = _READY.search(output.read_text(errors="replace"))
    return found.group(1) if found else None


def _answering(case: Case, url: str) -> str | None:
    """Return the URL once it answers 200; until then a server refuses, answers an error or keeps silent."""
    try:
        status, _ = exchange(Request(url + case.path, case.body, case.content_type), _PROBE_S)
    except BenchmarkError:
        return None
    return url if status == 200 else None


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
    status, body = get(f"{url}/v2/models/")
    if status != 200:
        raise BenchmarkError(f"{case.name} does not list its models: {status} {body[:500]!r}")
    try:
        [model] = json.loads(body)["models"]
    except (ValueError, LookupError, TypeError) as error:
        raise BenchmarkError(f"{case.name} lists its models in a way we do not read: {body[:500]!r}") from error
    return f"{url}/v2/models/{model['id']}/predict/"


def _stop(child: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Ask, wait, kill; then the same for what it left, which is a fault of its own and is returned."""
    family = _children(child.pid)
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    left: list[psutil.Process]
    _, left = psutil.wait_procs(family, timeout=2.0)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return left


def _children(pid: int) -> list[psutil.Process]:
    try:
        family: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return family
