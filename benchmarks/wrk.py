"""Load by wrk (Debian package ``wrk``), pinned to CPUs of its own with one thread each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .load import BenchmarkError, Outcome, Request

__all__ = ["Wrk", "parse"]

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "RESULT "
_ERRORS = ("connect", "read", "write", "status", "timeout")
# A request that takes longer has failed; the 2 s that wrk has of itself are over when a profiler holds a process.
_TIMEOUT_S = 10
# Longer than wrk needs to stop after its duration.
_SLACK_S = 20


class Wrk:
    """Runs the wrk found at ``program`` on ``cpus``."""

    def __init__(self, program: str, cpus: Sequence[int]) -> None:
        self._program = program
        self._cpus = tuple(cpus)

    @classmethod
    def found(cls, cpus: Sequence[int]) -> Wrk | None:
        """Return the wrk of the PATH, or None where there is none."""
        program = shutil.which("wrk")
        return cls(program, cpus) if program else None

    @property
    def name(self) -> str:
        """What ``wrk -v`` says of itself."""
        shown = subprocess.run([self._program, "-v"], capture_output=True, text=True, check=False)
        first = (shown.stdout or shown.stderr).partition("\n")[0]
        return first.partition(" [")[0] or "wrk"

    def run(self, request: Request, *, connections: int, duration_s: int) -> Outcome:
        """Load the server and return what it did."""
        with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
            body.write(request.body)
            body.flush()
            command = [*self._command(connections, duration_s), request.url, "--", body.name, request.content_type]
            return parse(self._output(command, timeout_s=duration_s + _SLACK_S))

    def _command(self, connections: int, duration_s: int) -> list[str]:
        threads = min(len(self._cpus), connections)
        load = [f"-t{threads}", f"-c{connections}", f"-d{duration_s}s", "--timeout", f"{_TIMEOUT_S}s"]
        return [self._program, *load, "-s", str(_SCRIPT)]

    def _output(self, command: list[str], *, timeout_s: float) -> str:
        try:
            with _pinned(self._cpus):
                ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"wrk did not end within {timeout_s} s.") from error
        if ended.returncode:
            raise BenchmarkError(f"wrk ended with {ended.returncode}: {(ended.stderr or ended.stdout).strip()}")
        return ended.stdout


@contextlib.contextmanager
def _pinned(cpus: Iterable[int]) -> Iterator[None]:
    # A child inherits the affinity of the thread that starts it. A preexec_fn would do too, but not beside threads.
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parse(output: str) -> Outcome:
    """Return the outcome that ``wrk.lua`` printed.

    Raises:
        BenchmarkError: There is no line of results in the output.
    """
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise BenchmarkError(f"wrk printed no result: {output.strip()[-500:]!r}")
    found = json.loads(lines[-1].removeprefix(_MARK))
    return Outcome(
        requests=found["requests"],
        duration_s=found["duration_us"] / 1e6,
        p50_ms=found["p50_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
        errors=sum(found[kind] for kind in _ERRORS),
    )
