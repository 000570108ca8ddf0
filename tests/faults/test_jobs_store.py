"""A store of jobs that is locked, damaged, newer or taken away, under a server that goes on predicting."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.conftest import Serve
from tests.faults.trainings import BEGIN_S, TRAIN, ask, becomes, is_begun, kept, train
from tests.models.installed import side_log
from tests.running import Running, eventually, multipart

# A statement waits for five seconds for a lock; clients are refused then.
REFUSED_S = 20.0

# Once the lock is released, it works again within a second.
AGAIN_S = 3.0


def database(server: Running) -> Path:
    return server.data / "modelserve.db"


@contextlib.contextmanager
def changing(path: Path, *, timeout_s: float = 30) -> Iterator[sqlite3.Connection]:
    """Open the database as another program does."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=timeout_s)) as file:
        yield file


def refuses(server: Running) -> bool:
    """Tell whether a training is refused for its store, as it should be; predictions are answered meanwhile."""
    asked = server.predict_soon("chaos", {"mode": "ok"})
    reply = ask(server, {"mode": "ok"})
    assert asked.result(REFUSED_S).status == 200
    if reply.status == 200:
        return False
    assert (reply.status, reply.json()["code"], "Retry-After" in reply.headers) == (503, "store_unavailable", True)
    assert "modelserve.db" not in reply.body.decode()
    return True


def test_while_the_store_is_locked_trainings_are_refused_and_what_runs_is_written_down_later(
    serve: Serve, tmp_path: Path
) -> None:
    """H11."""
    log = tmp_path / "side.log"
    server = serve("chaos", CHAOS_LOG=str(log))
    uuid = train(server, "heed", n=1)
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    with changing(database(server)) as file:
        file.execute("BEGIN EXCLUSIVE")
        since_s = time.monotonic()
        assert refuses(server)
        assert time.monotonic() - since_s < REFUSED_S
        eventually(lambda: side_log(log, "trained"), within_s=BEGIN_S)
        file.rollback()
    eventually(lambda: not refuses(server), within_s=AGAIN_S)
    assert becomes(server, uuid, "done")["result"]["output"] == {"heeded": False}
    assert str(database(server)) in server.log


@contextlib.contextmanager
def stopped(server: Running) -> Iterator[None]:
    """Keep the server from reading and writing anything."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def damage(server: Running) -> bytes:
    """Write over the first pages, once all that was written is in the file; return what the file then is."""
    path = database(server)

    def is_damaged() -> bool:
        with stopped(server), changing(path, timeout_s=0.1) as file:
            try:
                file.execute("CREATE TABLE IF NOT EXISTS another (x)")
                file.execute("INSERT INTO another VALUES (1)")  # so that the server reads the first page anew
            except sqlite3.OperationalError:  # it was stopped while it wrote
                return False
            (is_busy, _, _) = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                with path.open("r+b") as raw:
                    raw.seek(100)
                    raw.write(b"\xff" * 4000)
            return not is_busy

    eventually(is_damaged)
    return path.read_bytes()


def test_a_store_that_is_damaged_refuses_trainings_and_the_next_start_says_where_it_is(
    serve: Serve, tmp_path: Path
) -> None:
    """H13, H15: what is damaged, or newer than the server, is left as it is."""
    server = serve("chaos")
    becomes(server, train(server, "ok"), "done")
    before = damage(server)
    assert refuses(server)
    assert server.get(TRAIN).json()["code"] == "store_unavailable"
    assert (server.terminate(within_s=40), database(server).read_bytes()) == (0, before)
    assert str(database(server)) in server.log
    assert "Traceback" not in server.log
    assert_no_start(serve, database(server), "damaged")
    database(server).unlink()
    with changing(database(server)) as file:
        file.execute("CREATE TABLE alembic_version (version_num TEXT)")
        file.execute("INSERT INTO alembic_version VALUES ('9999')")
    assert_no_start(serve, database(server), "newer")


def assert_no_start(serve: Serve, path: Path, word: str) -> None:
    before = path.read_bytes()
    server = serve("chaos", wait=False)
    assert server.process.wait(40) == 5
    assert path.read_bytes() == before
    assert str(path) in server.log
    assert word in server.log
    assert "Traceback" not in server.log


def test_a_data_folder_that_is_taken_away_ends_no_prediction_and_no_job_is_taken_that_would_be_lost(
    serve: Serve, tmp_path: Path
) -> None:
    log = tmp_path / "side.log"
    server = serve("chaos", CHAOS_LOG=str(log))
    uuid = train(server, "heed", n=400)
    eventually(lambda: is_begun(log), within_s=BEGIN_S)
    workers = server.workers()
    shutil.rmtree(server.data)
    assert refuses(server)
    for method, path in (("GET", TRAIN), ("GET", TRAIN + uuid), ("DELETE", TRAIN + uuid)):
        assert server.request(method, path).json()["code"] == "store_unavailable"
    form, kind = multipart({"mode": "upload"}, {"file": ("a.txt", b"abc", "text/plain")})
    assert server.request("POST", TRAIN, form, {"Content-Type": kind}).status == 503
    eventually(lambda: "removed or replaced" in server.log)
    assert server.workers() == workers, "neither a prediction nor a training has ended for it"
    assert kept(server) == []
    eventually(lambda: not server.uploads())
    assert "Traceback" not in server.log
