"""A server that stands still, alone or with its workers, while times run that it gives others. Row Y23."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import psutil

from tests.faults.conftest import Serve
from tests.faults.trainings import is_begun, train
from tests.models.installed import side_log
from tests.running import eventually

LIMIT_S = 2.0
STILL_S = LIMIT_S + 0.5

LIMITS = ("--load-timeout-s", "2", "--warm-timeout-s", "2", "--grace-s", "2", "--train-cancel-s", "2")


@contextlib.contextmanager
def stopped(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """Have processes stand still while the block runs, and for longer than any limit."""
    held, since = list(processes), time.monotonic()
    for process in held:
        process.suspend()
    try:
        yield
        eventually(lambda: time.monotonic() > since + STILL_S)
    finally:
        for process in held:
            process.resume()


def test_what_ends_while_the_server_stands_still_has_ended_in_time(serve: Serve, tmp_path: Path) -> None:
    """Y23: loading and warming, where the workers stand still too; calls and trainings when it is told to stop."""
    log = tmp_path / "side.log"
    times = {"CHAOS_LOG": str(log), "CHAOS_IMPORT_S": "1", "CHAOS_WARM_S": "1"}
    server = serve("chaos", *LIMITS, wait=False, **times)
    for stage in ("import", "warm"):
        eventually(partial(side_log, log, stage), within_s=40)
        with stopped(server.family()):
            pass
    server.wait_ready()
    uuid = train(server, "sleep", n=1.5)
    eventually(lambda: is_begun(log), within_s=40)
    call = server.predict_soon("chaos", {"mode": "sleep", "n": 1.5})
    eventually(lambda: side_log(log, "predict"))
    (itself,) = [process for process in server.family() if process.pid == server.pid]
    itself.terminate()
    eventually(lambda: "stopping; running calls have" in server.log)
    with stopped([itself]):
        eventually(lambda: side_log(log, "predicted"))
    assert call.result(20).status == 200
    assert server.process.wait(20) == 0
    with contextlib.closing(sqlite3.connect(server.data / "modelserve.db")) as database:
        assert database.execute("SELECT status FROM jobs WHERE uuid = ?", [uuid]).fetchall() == [("done",)]
