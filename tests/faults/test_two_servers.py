"""Several servers that share a PostgreSQL, of which one is killed in the middle of its work."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from modelserve.jobs.heartbeat import STALE_S
from modelserve.jobs.job import ENDED, Job, Status
from modelserve.jobs.store import Store
from tests.faults.trainings import BEGIN_S, TRAIN, ask, shown, train
from tests.models.installed import side_log
from tests.postgres import Cluster
from tests.running import Running, are_gone, eventually, running

PREDICT = "/v2/models/chaos/predict/"
ASYNC = {"Prefer": "respond-async"}

# A server hears within five seconds what another has written. On a busy machine it takes three times that.
BEAT_S = 15.0

# Its death is known after twenty, and each of its short jobs takes a second or so on a busy machine.
END_S = 90.0

# Servers that have not been heard of since the outage began.
UNHEARD = f"SELECT id FROM owners WHERE beat < extract(epoch from clock_timestamp()) - {STALE_S}"


class Member(NamedTuple):
    """One server, and what it is called as the owner of jobs."""

    server: Running
    id: str

    def owns(self, jobs: Sequence[Job]) -> list[str]:
        """Return which of the jobs run on this server."""
        return [job.uuid for job in jobs if job.owner == self.id]


class Ring:
    """Servers on one database, with one side log.

    Args:
        store: The database, opened by the test.
        url: Its address.
        folder: Of the test.
        package: The folder with the chaos model.
    """

    def __init__(self, store: Store, url: str, folder: Path, package: Path) -> None:
        self.store = store
        self.database = url.rpartition("/")[2]
        self.log = folder / "side.log"
        self.members: list[Member] = []
        self._env = {"MODELSERVE_DATABASE": url, "CHAOS_LOG": str(self.log)}
        self._folder = folder
        self._package = package
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def start(self, count: int, *arguments: str, data: str = "") -> list[Member]:
        """Start so many servers, each with a data folder of its own unless there is one for all, and return them."""
        for number in range(count):
            folder = self._folder / f"server-{number}"
            env = self._env | ({"MODELSERVE_DATA_DIR": data} if data else {})
            own = ["chaos", "--train-cancel-s", "0.5", *arguments]
            started = running(own, folder=folder, visible=[self._package], env=env)
            before = self._owners()
            server = self._stack.enter_context(started)
            (id,) = self._owners() - before
            self.members.append(Member(server, id))
        return self.members

    def jobs(self, uuids: Sequence[str]) -> list[Job]:
        """Return these jobs as they are stored now."""
        return [self.store.get(uuid) for uuid in uuids]

    def have_ended(self, uuids: Sequence[str]) -> bool:
        """Tell whether all of these jobs have."""
        return all(job.status in ENDED for job in self.jobs(uuids))

    def runs(self) -> Counter[str]:
        """Return how often the model was asked for a job of each text."""
        return Counter(line["text"] for line in side_log(self.log) if line["event"] in ("train", "predict"))

    def told_of(self, uuid: str) -> int:
        """Return how often a server has said that this job was reaped."""
        lines = itertools.chain(*(member.server.log.splitlines() for member in self.members))
        return sum("has gone" in line and uuid in line for line in lines)

    def _owners(self) -> set[str]:
        return {path.stem for path in self._folder.glob("**/servers/*.lock")}


@pytest.fixture
def ring(postgres: Cluster, packages: dict[str, Path], tmp_path: Path) -> Iterator[Ring]:
    url = postgres.database()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(Store.open(url, tmp_path / "test")))
        yield stack.enter_context(contextlib.closing(Ring(store, url, tmp_path, packages["chaos"])))


def submit(servers: Sequence[Running], trainings: int, predictions: int, text: str) -> dict[str, str]:
    """Ask the servers in turn for short jobs, and return the text of each by its id."""
    found = {}
    for number, server in zip(range(trainings), itertools.cycle(servers)):
        found[train(server, "ok", text=f"{text}-train-{number}")] = f"{text}-train-{number}"
    for number, server in zip(range(predictions), itertools.cycle(servers)):
        name = f"{text}-predict-{number}"
        reply = ask(server, {"mode": "ok", "text": name}, PREDICT, ASYNC)
        assert reply.status == 202, reply.body
        found[reply.json()["uuid"]] = name
    return found


def fill(ring: Ring, slots: int) -> list[Job]:
    """Have every slot of every server run a training that takes long, and return them."""
    count = slots * len(ring.members)
    uuids = [train(ring.members[0].server, "sleep", n=1000, text=f"long-{number}") for number in range(count)]
    eventually(lambda: ring.runs().total() == count, within_s=BEGIN_S)
    jobs = ring.jobs(uuids)
    assert Counter(job.owner for job in jobs) == {member.id: slots for member in ring.members}
    return jobs


def cancel_elsewhere(ring: Ring, uuids: Sequence[str], runner: Member, asked: Member) -> None:
    """Cancel trainings through a server that does not run them; they end where they run."""
    left = len(runner.server.workers()) - len(uuids)
    for uuid in uuids:
        assert asked.server.request("DELETE", f"{TRAIN}{uuid}").status == 200
        assert shown(runner.server, uuid)["status"] == "cancelled"
    eventually(lambda: len(runner.server.workers()) == left, within_s=BEAT_S)


def check_one_is_killed(ring: Ring, trainings: int, predictions: int, slots: int) -> None:
    """Kill the first server while all work at many jobs, and check what becomes of each."""
    first, *others = ring.members
    long = fill(ring, slots)
    (kept, *freed) = first.owns(long)
    cancel_elsewhere(ring, freed, first, others[0])
    for other in others:
        cancel_elsewhere(ring, other.owns(long), other, first)
    began = ring.runs().total()
    texts = submit([member.server for member in ring.members], trainings // 2, predictions // 2, "before")
    eventually(lambda: ring.runs().total() >= began + len(texts) // 2, within_s=END_S)
    family = [psutil.Process(process.pid) for process in first.server.family()]
    first.server.process.kill()
    texts |= submit([member.server for member in others], trainings // 2, predictions // 2, "after")
    eventually(lambda: ring.have_ended([kept, *texts]), within_s=END_S + trainings)
    eventually(lambda: are_gone(family))
    check_each(ring, [kept, *texts], texts, first)


def check_each(ring: Ring, uuids: Sequence[str], texts: dict[str, str], killed: Member) -> None:
    """Check that each job is done and was run once, or that it was lost with its server, and reaped once."""
    runs, jobs = ring.runs(), ring.jobs(uuids)
    lost = [job for job in jobs if job.status is Status.LOST]
    assert {job.status for job in jobs} == {Status.DONE, Status.LOST}
    assert {job.owner for job in lost} == {killed.id}
    assert [ring.told_of(job.uuid) for job in lost] == [1] * len(lost)
    assert {runs[text] for uuid, text in texts.items() if uuid not in {job.uuid for job in lost}} == {1}
    assert max(runs.values()) == 1
    assert {job.attempts for job in jobs} == {1}


@pytest.mark.timeout(300)
def test_of_two_servers_each_job_is_run_by_one_and_a_killed_ones_are_reaped_once(ring: Ring, tmp_path: Path) -> None:
    """H18: with one data folder, so that its death is known at once."""
    ring.start(2, data=str(tmp_path / "data"))
    check_one_is_killed(ring, trainings=4, predictions=36, slots=1)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("data", ["own", "shared"])
def test_of_three_servers_each_of_many_jobs_is_run_by_one_and_a_killed_ones_are_reaped_once(
    ring: Ring, tmp_path: Path, data: str
) -> None:
    """H18: also with data folders of their own, so that its death is known by its heartbeat."""
    ring.start(3, "--train-workers", "2", data=str(tmp_path / "data") if data == "shared" else "")
    check_one_is_killed(ring, trainings=200, predictions=100, slots=2)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_an_outage_makes_no_server_take_another_for_dead(ring: Ring, postgres: Cluster) -> None:
    """H16, H18: it lasts longer than a heartbeat counts."""
    ring.start(2)
    jobs = fill(ring, 1)
    steady = time.monotonic() + STALE_S + BEAT_S  # so long, that each would know of the other's death
    eventually(lambda: time.monotonic() > steady, within_s=END_S)
    postgres.crash()
    end = time.monotonic() + 2 * STALE_S
    try:
        eventually(lambda: time.monotonic() > end, within_s=END_S)
    finally:
        postgres.start()
    eventually(lambda: not postgres.execute(UNHEARD, database=ring.database), within_s=BEAT_S)
    heard = time.monotonic() + STALE_S
    eventually(lambda: time.monotonic() > heard, within_s=END_S)
    assert [(job.status, job.attempts) for job in ring.jobs([job.uuid for job in jobs])] == [(Status.RUNNING, 1)] * 2
