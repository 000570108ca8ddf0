"""Of two servers on a PostgreSQL, with data folders of their own, one is frozen for longer than a heartbeat counts."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserve.jobs.heartbeat import STALE_S
from modelserve.jobs.job import Status
from modelserve.jobs.store import Store
from tests.faults.test_two_servers import END_S, Member, Ring
from tests.faults.trainings import BEGIN_S, TRAIN, kept, train
from tests.models.installed import side_log
from tests.postgres import Cluster
from tests.running import eventually, multipart


@pytest.fixture
def ring(postgres: Cluster, packages: dict[str, Path], tmp_path: Path) -> Iterator[Ring]:
    url = postgres.database()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(Store.open(url, tmp_path / "test")))
        yield stack.enter_context(contextlib.closing(Ring(store, url, tmp_path, packages["chaos"])))


@contextlib.contextmanager
def frozen(member: Member) -> Iterator[None]:
    """Keep a server's process from doing anything; its workers go on."""
    os.kill(member.server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(member.server.process.pid, signal.SIGCONT)


def begun(ring: Ring, text: str) -> int:
    """Return how often a training of this text was begun."""
    return sum(line["text"] == text for line in side_log(ring.log, "train"))


@pytest.mark.timeout(300)
def test_a_server_that_comes_back_runs_its_training_again_with_its_files_and_takes_nobody_for_dead(ring: Ring) -> None:
    """Y5, Y6: the other one reaps its jobs meanwhile, which uses up one attempt of each; its own job goes on."""
    first, second = ring.start(2, "--train-retries", "2", "--train-workers", "2")
    form, kind = multipart({"mode": "upload", "text": "files", "n": "400"}, {"file": ("a.txt", b"abc", "text/plain")})
    reply = first.server.request("POST", TRAIN, form, {"Content-Type": kind})
    assert reply.status == 200, reply.body
    uuid = reply.json()["uuid"]
    eventually(lambda: begun(ring, "files"), within_s=BEGIN_S)
    others = [train(second.server, "sleep", n=1000, text=f"other-{number}") for number in range(3)]
    eventually(lambda: len(second.owns(ring.jobs(others))) == 2, within_s=BEGIN_S)
    own = second.owns(ring.jobs(others))
    with frozen(first):
        eventually(lambda: ring.store.get(uuid).status is Status.QUEUED, within_s=STALE_S + END_S)
    eventually(lambda: begun(ring, "files") == 2, within_s=END_S)
    eventually(lambda: ring.store.get(uuid).status is Status.RUNNING, within_s=END_S)
    assert kept(first.server), "its files are there"
    reads = len(side_log(ring.log, "read"))
    eventually(lambda: len(side_log(ring.log, "read")) > reads, within_s=BEGIN_S)
    assert ring.store.get(uuid).attempts == 2
    assert {job.status for job in ring.jobs(own)} == {Status.RUNNING}, "who was frozen has taken nobody for dead"
    assert first.server.request("DELETE", TRAIN + uuid).status == 200
    assert "Traceback" not in first.server.log + second.server.log
