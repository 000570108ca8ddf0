"""What must hold during and after any fault: AFTERMATH in the list of faults this project is tested against.

with aftermath(server, "chaos-batch", workers=1):
    ...  # the fault
# checked here, where nothing was raised
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from prometheus_client.parser import text_string_to_metric_families

from modelserve.web.files import LOOKING_THREADS, REMOVING_THREADS, SENDING_THREADS
from tests.faults.told import counted
from tests.running import Running, eventually

__all__ = ["MORE_BYTES", "aftermath", "is_well"]

MIB = 1024 * 1024

# The server is asked whether it is alive this often, and answers within a second; a busy machine gets three.
ASK_S = 0.2
ALIVE_S = 3.0

# What the server grows by at most: descriptors, threads (with those that remove uploads, besides those of asyncio's
# pool that writes them), tasks of its loop (a connection has one until the server has seen that it is closed), memory.
MORE_DESCRIPTORS = 3
MORE_THREADS = 2 + REMOVING_THREADS
MORE_TASKS = 1
MORE_BYTES = 20 * MIB

# As many as asyncio's pool has at most; see concurrent.futures.ThreadPoolExecutor.
POOL_THREADS = min(32, (os.cpu_count() or 1) + 4)

# Those that read and look for the files of jobs begin when they are needed, and stay.
FILE_THREADS = SENDING_THREADS + LOOKING_THREADS

# What asyncio and aiohttp log of an error that nobody in the server expected.
UNEXPECTED = ("Error handling request", "never retrieved", "Exception in callback", "Unhandled exception")

_FAULT = re.compile(r"^\S+ (?:WARNING|ERROR|CRITICAL) .* request_id=(\S+)", re.MULTILINE)


class Size(NamedTuple):
    """What a server has, to be compared."""

    descriptors: int
    threads: int
    tasks: int
    rss: int
    files: frozenset[Path]

    @staticmethod
    def of(server: Running) -> Size:
        process = psutil.Process(server.pid)
        files = frozenset(path for path in server.temp.rglob("*") if path.is_file())
        threads = process.num_threads()
        tasks = int(counted(server, "modelserve_tasks"))
        return Size(server.descriptors(), threads, tasks, process.memory_info().rss, files)


@contextlib.contextmanager
def aftermath(
    server: Running,
    model: str = "chaos",
    *,
    workers: int = 1,
    more_bytes: int = MORE_BYTES,
    jobs: bool = False,
    models: int = 1,
) -> Iterator[None]:
    """Watch a server while the block runs, and check what must hold when it is left.

    Args:
        server: It runs and is ready.
        model: One that serves again when the fault is over.
        workers: How many worker processes the server has then.
        more_bytes: How much the server's memory may have grown.
        jobs: Whether it runs jobs, whose files are dealt with on the threads of asyncio's pool.
        models: How many deployments it has, each with its metrics.
    """
    more_threads = MORE_THREADS + (POOL_THREADS + FILE_THREADS if jobs else 0)
    before = Size.of(server)
    with _asked_all_the_time(server):
        yield
        eventually(lambda: is_well(server, model), within_s=20)
    eventually(lambda: len(server.workers()) == workers and _is_complete(server, 1 + workers))
    eventually(lambda: counted(server, "modelserve_jobs", operation="train", status="running") == _trainings(server))
    eventually(lambda: not Size.of(server).files - before.files)
    eventually(lambda: not _unneeded(server))
    eventually(lambda: Size.of(server).descriptors <= before.descriptors + MORE_DESCRIPTORS)
    eventually(lambda: Size.of(server).threads <= before.threads + more_threads)
    eventually(lambda: Size.of(server).tasks <= before.tasks + MORE_TASKS)
    eventually(lambda: Size.of(server).rss <= before.rss + more_bytes)
    _check_what_it_tells(server, most_series=300 + 200 * models)


def is_well(server: Running, model: str) -> bool:
    """Tell whether a call that asks for nothing bad is answered."""
    calm: Mapping[str, Any] = {} if "stream" in model else {"mode": "ok"}
    return server.predict(model, {"x": 1} if model == "plain" else calm).status == 200


def _is_complete(server: Running, processes: int) -> bool:
    """Tell whether the server's family has so many members, none of them dead and not yet buried."""
    family = server.family()
    try:
        return len(family) == processes and all(member.status() != psutil.STATUS_ZOMBIE for member in family)
    except psutil.NoSuchProcess:
        return False


def _trainings(server: Running) -> int:
    """Return how many processes the server has that train."""
    found = 0
    for process in server.workers():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends while it is looked at; a zombie is one of these too
            found += any("-train-" in word for word in process.cmdline())
    return found


def _unneeded(server: Running) -> list[Path]:
    """Return the folders of files that came with requests for jobs, where there is no job that needs one."""
    kept = list(server.data.glob("jobs/*/uploads"))
    return kept if kept and not counted(server, "modelserve_jobs") else []


@contextlib.contextmanager
def _asked_all_the_time(server: Running) -> Iterator[None]:
    """Ask the server whether it is alive again and again; assert that it always said so, and soon."""
    is_over, slowest, failures = threading.Event(), 0.0, list[str]()

    def ask() -> None:
        nonlocal slowest
        while not is_over.wait(ASK_S):
            since = time.monotonic()
            try:
                status = server.request("GET", "/healthz", timeout_s=10).status
            except (OSError, HTTPException) as error:
                failures.append(repr(error))
            else:
                failures.extend([] if status == 200 else [str(status)])
            slowest = max(slowest, time.monotonic() - since)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        is_over.set()
        asking.join()
    assert not failures, "it was not alive all the time"
    assert slowest < ALIVE_S


def _check_what_it_tells(server: Running, most_series: int) -> None:
    metrics = server.get("/metrics").body.decode()
    assert list(text_string_to_metric_families(metrics)), "the metrics can be parsed"
    assert len(re.findall(r"^modelserve_", metrics, re.MULTILINE)) < most_series, "the number of series is bounded"
    assert "hunter2" not in metrics
    assert not [words for words in UNEXPECTED if words in server.log]
    told = Counter(_FAULT.findall(server.log))
    assert not [request_id for request_id, times in told.items() if times > 1], "a fault is told of once"
