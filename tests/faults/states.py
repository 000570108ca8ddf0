"""A service and its clients as a machine of states, for tests of what must hold whatever happens in whatever order.

It calls, trains, cancels, kills workers and servers, starts them again, adds clients and revokes them, all on one data
folder. Its invariants, asked after each step: no job that a client was told of is lost, none ends twice, the server's
counts are those of its clients, a revoked token stays refused. In the end nothing is left behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelserve.access.client import Role
from tests.faults.service import PREDICT, ROOT, WORKERS, Service, opened
from tests.faults.trainings import BEGIN_S, ENDED, TRAIN, processes
from tests.models.installed import side_log
from tests.running import are_gone, eventually

__all__ = ["States"]

ASYNC = {"Prefer": "respond-async"}
STATUSES = {"queued", "running", *ENDED}

# What a call may be answered when its worker, or all of them, were killed.
KILLED = {(500, "worker_died"), (503, "not_ready")}

ENDLESS_S = 4000.0

SLOWEST = "milliseconds until a revoked token was refused, at most"

any_one = st.integers(0, 999)


@dataclasses.dataclass
class Told:
    """A job that a client was told of: ``status`` is the one that was seen last, "" for none yet."""

    path: str
    owner: str
    text: str
    is_endless: bool = False
    status: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it was seen to have ended."""
        return self.status in ENDED


class States(RuleBasedStateMachine):
    """The service, and what its clients have been told of it.

    Args:
        packages: The models.
        base: A folder for the data folders of all walks.
        done: Counts what was done, over all walks.
    """

    def __init__(self, packages: Mapping[str, Path], base: Path, done: Counter[str]) -> None:
        super().__init__()
        folder = base / f"walk-{done['walks']}"
        self._open = contextlib.ExitStack()
        self.service: Service = self._open.enter_context(opened(packages, folder))
        self.done = done
        self.jobs: dict[str, Told] = {}
        self.names = (f"client-{number}" for number in itertools.count())
        self.numbers = itertools.count()
        done["walks"] += 1

    @initialize()
    def start(self) -> None:
        self.service.start()

    def somebody(self, number: int) -> str:
        known = list(self.service.tokens) or [ROOT]
        return known[number % len(known)]

    def some_job(self, number: int) -> tuple[str, Told]:
        return list(self.jobs.items())[number % len(self.jobs)]

    def may_train(self, name: str) -> bool:
        return self.service.roles.get(name, Role.ADMIN) is not Role.CLIENT

    @rule(who=any_one)
    def predict(self, who: int) -> None:
        text = f"call {next(self.numbers)}"
        reply = self.service.ask("POST", PREDICT, {"mode": "ok", "text": text}, name=self.somebody(who))
        self.done[f"predict {reply.status}"] += 1
        if reply.status == 200:
            assert reply.json()["predictions"]["text"] == text
        else:
            assert (reply.status, reply.json()["code"]) in KILLED

    @rule(who=any_one)
    def predict_in_vain(self, who: int) -> None:
        reply = self.service.ask("POST", PREDICT, {"mode": "no such mode"}, name=self.somebody(who))
        assert reply.status in (422, 503), reply.body

    @rule(who=any_one, seconds=st.sampled_from((0.05, 0.5, 2.0)))
    def predict_meanwhile(self, who: int, seconds: float) -> None:
        self.service.call_soon({"mode": "sleep", "n": seconds}, name=self.somebody(who))

    @rule()
    def collect(self) -> None:
        for reply in self.service.collect():
            self.done[f"predict meanwhile {reply.status}"] += 1
            assert reply.status in (200, 401) or (reply.status, reply.json()["code"]) in KILLED

    @rule(who=any_one, mode=st.sampled_from(("ok", "sleep", "heed", "children", "exit3", "raise")))
    def train(self, who: int, mode: str) -> None:
        name, text = self.somebody(who), f"training {next(self.numbers)}"
        body = {"mode": mode, "text": text} | ({"n": ENDLESS_S} if mode == "heed" else {})
        reply = self.service.ask("POST", TRAIN, body, name=name)
        assert reply.status == (200 if self.may_train(name) else 403)
        self.done[f"train {reply.status}"] += 1
        if reply.status == 200:
            self.jobs[reply.json()["uuid"]] = Told(TRAIN, name, text, is_endless=mode == "heed")

    @rule(who=any_one, seconds=st.sampled_from((0.0, 0.5)))
    def predict_in_background(self, who: int, seconds: float) -> None:
        name, text = self.somebody(who), f"background {next(self.numbers)}"
        body = {"mode": "sleep", "n": seconds, "text": text}
        reply = self.service.ask("POST", PREDICT, body, name=name, **ASYNC)
        assert reply.status == 202
        self.jobs[reply.json()["uuid"]] = Told(PREDICT, name, text)

    @precondition(lambda self: self.jobs)
    @rule(which=any_one)
    def cancel(self, which: int) -> None:
        uuid, job = self.some_job(which)
        status = self.service.ask("DELETE", f"{job.path}{uuid}").status
        assert status == 409 or (status == 200 and not job.has_ended)
        self.done[f"cancel {status}"] += 1
        if status == 200:
            job.status = "cancelled"

    @precondition(lambda self: self.jobs)
    @rule(which=any_one, who=any_one)
    def look_at_a_job(self, which: int, who: int) -> None:
        (uuid, job), name = self.some_job(which), self.somebody(who)
        may_see = name == job.owner or self.service.roles.get(name, Role.ADMIN) is Role.ADMIN
        assert self.service.ask("GET", f"{job.path}{uuid}", name=name).status == (200 if may_see else 404)

    @rule(which=any_one)
    def kill_a_worker(self, which: int) -> None:
        workers = eventually(self.service.server.workers, within_s=BEGIN_S)
        self.service.note_processes()
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself at this moment
            workers[which % len(workers)].kill()
            self.done["kills of workers"] += 1

    @rule(meanwhile=st.sampled_from(("nothing", "add", "revoke")))
    def kill_the_server(self, meanwhile: str) -> None:
        self.service.kill()
        self.begin_again(meanwhile)
        self.done["kills of servers"] += 1

    @rule(meanwhile=st.sampled_from(("nothing", "add", "revoke")))
    def stop_the_server(self, meanwhile: str) -> None:
        self.service.stop()
        self.begin_again(meanwhile)
        self.done["stops of servers"] += 1

    def begin_again(self, meanwhile: str) -> None:
        if meanwhile == "add":
            self.add_a_client(Role.DEPLOYER)
        if meanwhile == "revoke" and len(self.service.tokens) > 1:
            self.revoke_a_client(0)
        self.service.start()
        assert all(map(self.service.is_refused, self.service.revoked[-3:]))
        for name in self.service.tokens:
            assert self.service.ask("GET", "/v2/models/", name=name).status == 200

    @rule(role=st.sampled_from(Role))
    def add_a_client(self, role: Role) -> None:
        if ROOT not in self.service.tokens:
            self.service.add(ROOT, Role.ADMIN)
        self.service.add(next(self.names), role)
        self.done["clients"] += 1

    @precondition(lambda self: len(self.service.tokens) > 1)
    @rule(who=any_one)
    def revoke_a_client(self, who: int) -> None:
        names = [name for name in self.service.tokens if name != ROOT]
        self.service.revoke(names[who % len(names)])
        self.done["revoked"] += 1

    @invariant()
    def no_job_is_lost_and_none_ends_twice(self) -> None:
        found = dict(self.listed())
        assert found.keys() >= self.jobs.keys()
        for uuid, job in self.jobs.items():
            assert found[uuid] in STATUSES
            assert found[uuid] == job.status or not job.has_ended, f"{uuid} was {job.status} and is {found[uuid]}"
            job.status = found[uuid]

    def listed(self) -> Iterator[tuple[str, str]]:
        for path in (TRAIN, PREDICT):
            reply = self.service.ask("GET", f"{path}?limit=1000")
            assert reply.status == 200, reply.body
            yield from ((job["uuid"], job["status"]) for job in reply.json())

    @invariant()
    def answers_add_up(self) -> None:
        if self.service.is_calm:
            eventually(lambda: self.service.counted() == self.service.answers)

    @invariant()
    def a_revoked_token_stays_refused(self) -> None:
        self.service.note_processes()
        assert all(map(self.service.is_refused, self.service.revoked[-1:]))

    def teardown(self) -> None:
        with self._open:
            self.collect()
            self.end_all_jobs()
            self.check_what_was_run()
            eventually(lambda: len(self.service.server.family()) == 1 + WORKERS, within_s=BEGIN_S)
            self.service.stop()
            eventually(lambda: are_gone(self.service.processes), within_s=BEGIN_S)
            self.done["jobs"] += len(self.jobs)
            self.done.update(f"in the end {job.status}" for job in self.jobs.values())
            self.done.update(self.service.told)
            self.done[SLOWEST] = max(self.done[SLOWEST], int(self.service.slowest_end_s * 1000))

    def end_all_jobs(self) -> None:
        self.no_job_is_lost_and_none_ends_twice()
        for uuid, job in self.jobs.items():
            if job.is_endless and not job.has_ended:
                self.service.ask("DELETE", f"{TRAIN}{uuid}")
        eventually(self.have_all_ended, within_s=3 * BEGIN_S)

    def have_all_ended(self) -> bool:
        self.no_job_is_lost_and_none_ends_twice()
        return all(job.has_ended for job in self.jobs.values())

    def check_what_was_run(self) -> None:
        """A training is begun twice at most, since it may be begun again once; what is done was run to its end."""
        log = side_log(self.service.side_log)
        begun = Counter(line["text"] for line in log if line["event"] == "train")
        assert not begun or max(begun.values()) <= 2
        ended = {line["text"] for line in log if line["event"] in ("trained", "predicted")}
        assert {job.text for job in self.jobs.values() if job.status == "done"} <= ended
        eventually(lambda: are_gone(processes(self.service.side_log)))
