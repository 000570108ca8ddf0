"""A real ``modelserve run`` for tests: a subprocess in a session of its own, on port 0, with its own folders.

    with running(["chaos"], visible=packages, folder=tmp_path) as server:
        reply = server.predict("chaos", {"mode": "sleep", "n": 1})

Requests go over ``http.client``, which never repeats one by itself.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psutil

import modelserve

__all__ = ["TREE", "Reply", "Running", "are_gone", "eventually", "import_path", "is_gone", "multipart", "running"]

# Where the package lies that these tests import; whatever they start is to run the same.
TREE = Path(modelserve.__file__).parents[1]

READY = re.compile(r"ready on http://127\.0\.0\.1:(\d+)")

# Starting takes about a second on an idle machine; tests run on busy ones.
START_S = 40

# What a server has logged is read once nothing was added for so long, or after the longest of times.
QUIET_S = 0.03
SETTLE_S = 2.0

T = TypeVar("T")


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def invalid(self) -> Any:
        """Return what a 422 says of arguments, by their names; what every error has stands beside that."""
        told = self.json()
        assert (self.status, told.pop("code"), told.pop("request_id")) == (422, "invalid", self.headers["X-Request-ID"])
        assert told.pop("message") == "The arguments are not valid."
        return told


def import_path(*visible: Path | str) -> str:
    """Return what ``PYTHONPATH`` is to be where these folders are visible too: the tree under test is, in any case."""
    inherited = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([*map(str, visible), str(TREE), *filter(None, [inherited])])


def eventually(check: Callable[[], T], *, within_s: float = 30) -> T:
    """Return the first true value of a check that is asked again and again; fail once the time is over."""
    deadline = time.monotonic() + within_s
    while not (value := check()):
        assert time.monotonic() < deadline, f"still false after {within_s} s: {check}"
        time.sleep(0.02)
    return value


def is_gone(process: psutil.Process) -> bool:
    """Tell whether an orphan has ended, even where the system's first process has not noticed yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def are_gone(family: Iterable[psutil.Process]) -> bool:
    """Tell whether all of them have ended."""
    return all(map(is_gone, family))


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> tuple[bytes, str]:
    """Return (body, content type) of a form with files given as (filename, content, content type)."""
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    for name, (filename, content, kind) in files.items():
        quoted = filename.replace("\\", "\\\\")
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{quoted}"\r\nContent-Type: {kind}\r\n'
        parts.append(head.encode() + b"\r\n" + content + b"\r\n")
    return b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"


class Running:
    """A server that runs, with what a test wants to know of it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, *, is_child: bool = False) -> None:
        self.process = process
        self._is_child = is_child
        self.folder = folder
        self.temp = folder / "tmp"
        self.data = folder / "data"
        self.port = 0
        self._threads = ThreadPoolExecutor(64)

    @property
    def log(self) -> str:
        """What it has logged, once nothing is added any more: a thread writes it, soon behind what is answered."""
        path = self.folder / "stderr"
        size, until = -1, time.monotonic() + SETTLE_S
        while size != (size := path.stat().st_size) and time.monotonic() < until:
            time.sleep(QUIET_S)
        return path.read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    @functools.cached_property
    def pid(self) -> int:
        """The server itself, which is a child of what was started where it is alone in a namespace of processes."""
        if not self._is_child:
            return self.process.pid
        return eventually(psutil.Process(self.process.pid).children)[0].pid

    def wait_ready(self) -> None:
        def port() -> int:
            assert self.process.poll() is None, f"exited with {self.process.returncode}: {self.log}"
            found = READY.search(self.stdout)
            return int(found[1]) if found else 0

        self.port = eventually(port, within_s=START_S)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}, timeout_s: float = 30
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers), response.read())

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, headers=headers)

    def predict(self, model: str, arguments: Any, **headers: str) -> Reply:
        body = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
        path = f"/v2/models/{model}/predict/"
        return self.request("POST", path, body, {"Content-Type": "application/json"} | headers)

    def predict_soon(self, model: str, arguments: Any) -> Future[Reply]:
        """Send a request from a thread of its own."""
        return self._threads.submit(self.predict, model, arguments)

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes: children that lead a session of their own."""
        found = []
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(child.pid) == child.pid:
                    found.append(child)
        return found

    def family(self) -> list[psutil.Process]:
        """Return the server and everything below it."""
        server = psutil.Process(self.pid)
        return [server, *server.children(recursive=True)]

    def descriptors(self) -> int:
        """Count what it has open but for the database: each thread of its store opens that once it is needed."""
        process = psutil.Process(self.pid)
        return process.num_fds() - sum("modelserve.db" in file.path for file in process.open_files())

    def uploads(self) -> list[Path]:
        """Return what lies in the folders of requests."""
        return list(self.temp.glob("modelserve-*/call-*"))

    def terminate(self, *, within_s: float) -> int:
        psutil.Process(self.pid).terminate()
        return self.process.wait(within_s)

    def close(self) -> None:
        """End the server and whatever a failed test has left of it."""
        family = self.family() if self.process.poll() is None else []
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait(10)
        self._threads.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    *,
    folder: Path,
    visible: Sequence[Path] = (),
    env: Mapping[str, str] = {},
    wait: bool = True,
    within: Sequence[str] = (),
) -> Iterator[Running]:
    """Run a server until the block is left.

    Args:
        arguments: What follows ``modelserve run --port 0``.
        folder: Where its output, its temporary files and its jobs go.
        visible: Folders with installed packages, put in front of the path.
        env: Further variables.
        wait: Return only once it is ready.
        within: Words in front of the command: see :func:`tests.faults.confined.confined`.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    own = {
        "PYTHONPATH": import_path(*visible),
        "TMPDIR": str(folder / "tmp"),
        "MODELSERVE_DATA_DIR": str(folder / "data"),
    }
    environment = {**os.environ, **own, **env}
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", "modelserve", "run", "--port", "0", *arguments],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    server = Running(process, folder, is_child="--fork" in within)
    try:
        if wait:
            server.wait_ready()
        yield server
    finally:
        server.close()
