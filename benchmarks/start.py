"""How long a start takes, and how much memory stands there afterwards.

The clock runs from the moment the process is made to the first right answer, asked for every few milliseconds. The
memory is PSS: pages that several processes share are divided among them, so the figures of all add up to what is used.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil

from .cases import BARE, Case, adder, bare_case
from .exchange import exchange, free_port
from .figures import Figure
from .load import BenchmarkError, Request
from .servers import Server, launched, started

__all__ = ["memory", "pss_mb", "starts"]

_POLL_S = 0.005
_LIMIT_S = 60.0
_PATH = "/v2/models/adder/predict/"
# So many requests first: what a process needs only once it answers is counted too.
_REQUESTS = 200


def starts(repeats: int, step: Callable[[str], None]) -> list[Figure]:
    """Return seconds from the start to the first answer of the bare handler and of ``x + 1``, medians of ``repeats``.

    Raises:
        BenchmarkError: A server ended or did not answer in time.
    """
    bare = replace(bare_case(BARE, "bare aiohttp", b"{}"), command=(*bare_case("", "", b"").command, "{port}"))
    served = replace(adder(), path=_PATH, command=tuple("{port}" if part == "0" else part for part in adder().command))
    found: dict[str, list[float]] = {BARE: [], served.name: []}
    for _ in range(repeats):
        for case in (bare, served):
            step(f"{case.name}: start")
            found[case.name].append(_start_s(case))
    yardstick, value = median(found[BARE]), median(found[served.name])
    return [
        Figure("start.bare", "Start to first answer: bare aiohttp", yardstick, "s"),
        Figure("start", "Start to first answer: x + 1, beside the bare handler", value, "s", value / yardstick),
    ]


def memory() -> list[Figure]:
    """Return the memory of the server that serves ``x + 1``, of its worker, and of what helps them.

    Raises:
        BenchmarkError: The server does not start or answer.
    """
    with started(adder()) as server:
        for _ in range(_REQUESTS):
            server.check()
        front, (worker, *helpers) = pss_mb(server.process), [pss_mb(one) for one in _workers(server)]
    return [
        Figure("pss.server", "PSS of the server's process", front, "MB", digits=1),
        Figure("pss.worker", "PSS of a worker with x + 1", worker, "MB", digits=1),
        Figure("pss.helpers", f"PSS of {len(helpers)} further process(es)", sum(helpers), "MB", digits=1),
    ]


def pss_mb(process: psutil.Process) -> float:
    """Return the proportional set size of a process in megabytes of 10^6 bytes."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        name, *rest = line.split()
        if name == "Pss:":
            return int(rest[0]) * 1024 / 1e6
    raise BenchmarkError(f"The kernel does not tell the PSS of process {process.pid}.")


def _workers(server: Server) -> list[psutil.Process]:
    found = server.workers()
    if not found:
        raise BenchmarkError(f"{server.case.name} has no worker process.")
    return found


def _start_s(case: Case) -> float:
    port = free_port()
    request = Request(f"http://127.0.0.1:{port}{case.path}", case.body, case.content_type)
    began = time.perf_counter()
    with launched(case, port) as (child, output):
        while not _answers(case, request):
            _check_alive(case, child, output, time.perf_counter() - began)
            time.sleep(_POLL_S)
        return time.perf_counter() - began


def _answers(case: Case, request: Request) -> bool:
    try:
        status, body = exchange(request)
    except BenchmarkError:
        return False
    return status == 200 and case.right(body)


def _check_alive(case: Case, child: subprocess.Popen[bytes], output: Path, waited_s: float) -> None:
    if child.poll() is not None or waited_s > _LIMIT_S:
        printed = output.read_text(errors="replace")[-2000:]
        raise BenchmarkError(f"{case.name} did not answer after {waited_s:.1f} s; it printed:\n{printed}")
