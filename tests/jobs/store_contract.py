"""What every store of jobs does, whatever database is behind it.

A class inherits the tests and adds one fixture, ``opened``: a function that opens the same database once more, as
another server would. The database may hold the jobs of earlier tests, since each test has a deployment of its own, but
no two tests may use it at the same time: what is purged is purged for all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from modelserve.errors import BadRequest, Conflict, NotFound, QueueFull, TooLarge, TooManyRequests
from modelserve.exact import to_json
from modelserve.jobs import tables
from modelserve.jobs.history import HISTORY_BYTES, METRICS_BYTES, POINTS_LIMIT
from modelserve.jobs.job import ENDED, MOVES, Job, NewJob, Operation, Page, Report, Room, Status, Wanted
from modelserve.jobs.rows import as_row
from modelserve.jobs.store import Store

__all__ = ["StoreTests", "a_job", "an_owner", "take"]

TRAIN, PREDICT = Operation.TRAIN, Operation.PREDICT


# Too short, zero, beyond 64 bits with a sign, other characters, padding, bits that count for nothing.
NO_CURSORS = ["x", "0", "01", "-1", "1.0", " 1", "9" * 19, "\u0661", "\ud800"]


def a_job(deployment: str, **fields: Any) -> NewJob:
    return NewJob(**{"uuid": uuid.uuid4().hex, "deployment": deployment, "operation": TRAIN} | fields)


def an_owner() -> str:
    return uuid.uuid4().hex


def take(store: Store, owner: str, deployment: str, place: str = "") -> Job | None:
    """Take a training of this deployment, as a server with one free slot does."""
    return store.take(owner, {(deployment, TRAIN): 1}, place)


class StoreTests:
    """The tests; ``opened`` comes from the class that inherits them."""

    @pytest.fixture
    def store(self, opened: Callable[[], Store]) -> Store:
        return opened()

    @pytest.fixture
    def name(self) -> str:
        """Return the name of a deployment that no other test has."""
        return f"m-{uuid.uuid4().hex}"

    @pytest.fixture
    def running(self, store: Store, name: str) -> Job:
        """Return a job that its owner has taken."""
        store.add(a_job(name, request=b"request"))
        job = take(store, an_owner(), name)
        assert job is not None
        return job

    # add, get

    def test_a_job_is_stored_as_it_was_given(self, store: Store, name: str) -> None:
        new = a_job(
            name, args={"é": [1.5, None]}, request=b"\0\xff", request_id="r", place="p", callback_url="http://h/"
        )
        added = store.add(new)
        assert added == store.get(new.uuid) == store.get(new.uuid, deployment=name, operation=TRAIN)
        expected = Job(new.uuid, name, TRAIN, Status.QUEUED, added.created, args={"é": [1.5, None]})
        assert added == msgspec.structs.replace(expected, request_id="r", place="p", callback_url="http://h/")

    def test_times_are_of_the_databases_clock_in_utc_and_in_order(self, store: Store, name: str) -> None:
        created = store.add(a_job(name)).created
        taken = take(store, an_owner(), name)
        assert taken
        assert taken.started
        ended = store.move(taken.uuid, Status.DONE)
        assert ended
        assert ended.finished
        assert created.tzinfo is UTC
        assert abs(datetime.now(UTC) - created) < timedelta(seconds=60)
        assert created <= taken.started <= ended.finished

    def test_a_job_of_another_id_deployment_or_operation_is_not_found(self, store: Store, name: str) -> None:
        job = store.add(a_job(name))
        for wrong in (uuid.uuid4().hex, "", "x", "../id", job.uuid.upper() + "0", "\ud800", "\0" * 32):
            with pytest.raises(NotFound):
                store.get(wrong)
        with pytest.raises(NotFound):
            store.get(job.uuid, deployment="another")
        with pytest.raises(NotFound):
            store.get(job.uuid, operation=PREDICT)

    def test_a_repeated_key_gives_the_job_that_is_there(self, store: Store, name: str) -> None:
        """H20."""
        first = store.add(a_job(name, fingerprint="f"), key="k" * 5000)
        again = [store.add(a_job(name, fingerprint="f"), key="k" * 5000).uuid for _ in range(10)]
        assert again == [first.uuid] * 10
        assert len(store.list(name, TRAIN, limit=5).jobs) == 1

    def test_no_more_jobs_wait_than_may(self, store: Store, name: str) -> None:
        """Each operation of each deployment for itself; one that runs or has ended waits no more."""
        first = store.add(a_job(name), key="k", most=2)
        second = store.add(a_job(name), most=2)
        with pytest.raises(QueueFull, match="2 jobs are waiting"):
            store.add(a_job(name), most=2)
        assert store.add(a_job(name), key="k", most=2) == first
        for other in (a_job(name, operation=PREDICT), a_job(f"{name}-other")):
            store.add(other, most=2)
        store.move(second.uuid, Status.CANCELLED)
        store.add(a_job(name), most=2)

    def test_a_key_of_another_request_is_a_conflict(self, store: Store, name: str) -> None:
        store.add(a_job(name, fingerprint="f"), key="k\0\ud800")
        with pytest.raises(Conflict) as caught:
            store.add(a_job(name, fingerprint="g"), key="k\0\ud800")
        assert caught.value.status == 409

    def test_a_key_counts_for_its_deployment_and_operation_only(self, store: Store, name: str) -> None:
        one = store.add(a_job(name), key="k")
        two = store.add(a_job(name, operation=PREDICT), key="k")
        three = store.add(a_job(f"{name}-other"), key="k")
        assert len({one.uuid, two.uuid, three.uuid, store.add(a_job(name)).uuid, store.add(a_job(name)).uuid}) == 5

    def test_a_key_counts_for_its_client_only(self, store: Store, name: str) -> None:
        """K11: nobody is given, or told of, another's job."""
        jobs = [store.add(a_job(name, client=client, fingerprint=client), key="k") for client in ("", "alice", "bob")]
        assert len({job.uuid for job in jobs}) == 3
        assert store.add(a_job(name, client="bob", fingerprint="bob"), key="k") == jobs[2]

    def test_one_id_is_stored_once(self, store: Store, name: str) -> None:
        job = store.add(a_job(name))
        with pytest.raises(IntegrityError):
            store.add(a_job(name, uuid=job.uuid), key="k")
        assert store.get(job.uuid) == job

    # list

    def test_a_list_is_newest_first_in_pages_that_join(self, store: Store, name: str) -> None:
        """H10."""
        uuids = [store.add(a_job(name)).uuid for _ in range(7)]
        store.add(a_job(name, operation=PREDICT))
        pages, cursor = [], ""
        for _ in range(3):
            pages.append(store.list(name, TRAIN, limit=3, cursor=cursor))
            cursor = pages[-1].cursor
        assert [job.uuid for page in pages for job in page.jobs] == uuids[::-1]
        assert [bool(page.cursor) for page in pages] == [True, True, False]

    def test_jobs_of_one_client_are_found_and_listed_alone(self, store: Store, name: str) -> None:
        """K11."""
        nobodys, first, other, second = (
            store.add(a_job(name, client=client)) for client in ("", "alice", "bob", "alice")
        )
        assert [job.client for job in (nobodys, first, other)] == ["", "alice", "bob"]
        pages = [store.list(name, TRAIN, limit=1, client="alice")]
        pages.append(store.list(name, TRAIN, limit=1, client="alice", cursor=pages[0].cursor))
        assert [job.uuid for page in pages for job in page.jobs] == [second.uuid, first.uuid]
        assert pages[1].cursor == ""
        assert len(store.list(name, TRAIN, limit=9).jobs) == 4
        assert store.get(first.uuid, client="alice") == store.get(first.uuid) == first
        for client in ("bob", ""):
            with pytest.raises(NotFound):
                store.get(first.uuid, client=client)

    def test_a_page_that_ends_with_the_last_job_is_the_last(self, store: Store, name: str) -> None:
        store.add(a_job(name))
        assert store.list(name, TRAIN, limit=1).cursor == ""
        assert store.list(f"{name}-other", TRAIN, limit=1) == Page([])

    def test_pages_stay_what_they_were_while_jobs_are_added(self, store: Store, name: str) -> None:
        uuids = [store.add(a_job(name)).uuid for _ in range(4)]
        first = store.list(name, TRAIN, limit=2)
        store.add(a_job(name))
        assert [job.uuid for job in store.list(name, TRAIN, limit=9, cursor=first.cursor).jobs] == [uuids[1], uuids[0]]

    def test_a_list_carries_neither_request_nor_output(self, store: Store, running: Job) -> None:
        """H09."""
        store.move(running.uuid, Status.DONE, output=b'{"a": 1}')
        store.add(a_job(running.deployment, request=b"request"))
        jobs = store.list(running.deployment, TRAIN, limit=9).jobs
        assert [(job.request, job.output) for job in jobs] == [(b"", None)] * 2
        assert jobs[1].output_bytes == 8

    def test_a_list_carries_the_newest_outputs_that_there_is_room_for(self, store: Store, name: str) -> None:
        outputs = [b'"oldest"', b'"' + b"x" * 98 + b'"', b"null", b'"newest"']
        for output in outputs:
            store.add(a_job(name))
            taken = take(store, an_owner(), name)
            assert taken is not None
            store.move(taken.uuid, Status.DONE, output=output)
        store.add(a_job(name))

        def listed(room: int) -> list[Any]:
            return [job.output for job in store.list(name, TRAIN, limit=9, output_room=room).jobs]

        assert listed(0) == [None] * 5
        assert listed(8) == [None, "newest", None, None, None]
        assert listed(20) == [None, "newest", None, None, "oldest"]
        assert listed(112) == [None, "newest", None, "x" * 98, None]
        assert listed(1000) == [None, "newest", None, "x" * 98, "oldest"]

    @pytest.mark.parametrize("cursor", NO_CURSORS)
    def test_a_cursor_that_no_page_gave_is_refused(self, store: Store, name: str, cursor: str) -> None:
        with pytest.raises(BadRequest):
            store.list(name, TRAIN, limit=1, cursor=cursor)

    # take

    def test_the_oldest_job_is_taken_first(self, store: Store, name: str) -> None:
        uuids = [store.add(a_job(name, request=b"request")).uuid for _ in range(3)]
        taken = [take(store, "o", name) for _ in range(4)]
        assert [job.uuid if job else None for job in taken] == [*uuids, None]
        assert taken[0]
        assert (taken[0].status, taken[0].owner, taken[0].attempts) == (Status.RUNNING, "o", 1)
        assert store.request(taken[0]) == b"request"

    def test_only_what_has_a_free_slot_is_taken(self, store: Store, name: str) -> None:
        store.add(a_job(name))
        predict = store.add(a_job(name, operation=PREDICT))
        assert store.take("o", {}, "") is None
        assert store.take("o", {(name, TRAIN): 0, ("other", TRAIN): 1}, "") is None
        taken = store.take("o", {(name, TRAIN): 0, (name, PREDICT): 1}, "")
        assert taken
        assert taken.uuid == predict.uuid

    def test_a_job_whose_files_lie_elsewhere_is_left_to_others(self, store: Store, name: str) -> None:
        """H21."""
        store.add(a_job(name, place="here"))
        assert take(store, "o", name, "there") is None
        assert take(store, "o", name, "here")

    def test_whether_a_job_was_stored_is_told_once_it_is_certain(
        self, store: Store, opened: Callable[[], Store], name: str
    ) -> None:
        """Y4: the transaction of the first try may go on while it is asked."""
        new, other = a_job(name), opened()
        assert not store.has_stored(new)
        assert not store.has_stored(new), "nothing is left of having asked"
        with ThreadPoolExecutor(1) as threads:
            with store.database.writing() as connection:
                connection.execute(insert(tables.jobs).values(**as_row(new, ""), created=tables.Now()))
                asked = threads.submit(other.has_stored, new)
                assert not wait([asked], timeout=0.2).done
            assert asked.result(30)
        store.move(new.uuid, Status.CANCELLED)
        assert other.has_stored(new)

    def test_a_job_is_for_the_model_that_validated_it(self, store: Store, name: str) -> None:
        """Y13: one of which nothing is known may be run by any, and the other way round."""
        for model in ("a:m", "", "b:m"):
            store.add(a_job(name, model=model))
        free = {(name, TRAIN): 1}
        foreign = store.foreign({name: "a:m"})
        assert [job.model for job in foreign] == ["b:m"]
        assert store.foreign({name: ""}) == store.foreign({}) == store.foreign({f"{name}-2": "c:m"}) == []
        taken = [store.take("o", free, "", models={name: "a:m"}) for _ in range(3)]
        assert [job and job.model for job in taken] == ["a:m", "", None]
        left = store.take("o", free, "", models={name: ""})
        assert left
        assert left.model == "b:m"

    # move

    @pytest.mark.parametrize("start", [Status.QUEUED, Status.RUNNING, *sorted(ENDED)])
    @pytest.mark.parametrize("to", [status for status in Status if status is not Status.RUNNING])
    def test_a_job_makes_the_moves_that_are_allowed_and_no_other(
        self, store: Store, name: str, start: Status, to: Status
    ) -> None:
        job = store.add(a_job(name))
        if start is not Status.QUEUED:
            take(store, "o", name)
        if start in ENDED:
            store.move(job.uuid, start)
        before = store.get(job.uuid)
        moved = store.move(job.uuid, to)
        assert before.status is start
        assert (moved is not None) == (to in MOVES[start])
        assert store.get(job.uuid) == (moved or before)

    def test_no_job_begins_to_run_by_a_move(self, store: Store, name: str) -> None:
        job = store.add(a_job(name))
        with pytest.raises(ValueError, match="take"):
            store.move(job.uuid, Status.RUNNING)

    def test_a_job_that_is_not_there_makes_no_move(self, store: Store) -> None:
        assert store.move(uuid.uuid4().hex, Status.DONE) is None

    def test_a_job_of_another_server_makes_no_move(self, store: Store, running: Job) -> None:
        assert store.move(running.uuid, Status.DONE, owner="another") is None
        assert store.move(running.uuid, Status.DONE, owner=running.owner)

    def test_an_end_is_kept_with_its_output_and_message(self, store: Store, running: Job) -> None:
        """H02."""
        store.move(running.uuid, Status.DONE, owner=running.owner, message="fine\0\ud800", output=b'{"a": [1, null]}')
        job = store.get(running.uuid)
        assert (job.status, job.output, job.output_bytes) == (Status.DONE, {"a": [1, None]}, 16)
        assert job.message == "fine\\x00\\ud800"
        assert job.finished

    def test_of_an_output_in_a_file_the_size_is_kept(self, store: Store, running: Job) -> None:
        """H09."""
        job = store.move(running.uuid, Status.DONE, output_bytes=20_000_000)
        assert job
        assert (job.output, job.output_bytes) == (None, 20_000_000)

    def test_what_is_needed_to_run_a_job_goes_when_it_ends(self, store: Store, running: Job) -> None:
        assert store.request(running) == b"request"
        store.move(running.uuid, Status.ERROR)
        assert store.request(running) is None
        kept = select(tables.requests.c.job).join(tables.jobs).where(tables.jobs.c.uuid == running.uuid)
        with store.database.reading() as connection:
            assert connection.execute(kept).all() == []

    def test_a_request_is_read_to_run_its_job_and_for_nothing_else(self, store: Store, name: str) -> None:
        """Y3: it may have many megabytes, and clients ask for the status again and again."""
        added = store.add(a_job(name, request=b"request"), key="k")
        assert store.request(added) is None, "it does not run"
        taken = take(store, "o", name)
        assert taken
        again = store.move(taken.uuid, Status.QUEUED)
        assert again
        assert store.request(taken) is None, "that run is over"
        second = take(store, "o", name)
        assert second
        repeated = store.add(a_job(name), key="k")
        shown = [added, taken, again, second, repeated, store.get(added.uuid), store.move(added.uuid, Status.CANCELLED)]
        assert [job and job.request for job in shown] == [b""] * 7

    def test_a_job_that_is_queued_again_begins_anew(self, store: Store, running: Job) -> None:
        store.report(running.owner, [Report(running.uuid, 0.5, {"loss": 1.0})])
        job = store.move(running.uuid, Status.QUEUED, owner=running.owner)
        assert job
        assert (job.owner, job.started, job.progress, job.metrics, job.attempts) == ("", None, None, {}, 1)
        assert store.history(job.uuid) == []
        again = take(store, "o", running.deployment)
        assert again
        assert (again.attempts, store.request(again)) == (2, b"request")

    def test_a_job_that_was_taken_but_not_begun_has_used_up_no_attempt(self, store: Store, running: Job) -> None:
        """Y5."""
        job = store.move(running.uuid, Status.QUEUED, owner=running.owner, was_begun=False)
        assert job
        assert job.attempts == 0

    def test_a_run_before_the_one_there_is_changes_nothing(self, store: Store, running: Job) -> None:
        """Y5: the server was frozen, its job was given away, and it has taken it again itself."""
        store.move(running.uuid, Status.QUEUED)
        second = take(store, running.owner, running.deployment)
        assert second
        for to in (Status.DONE, Status.QUEUED):
            assert store.move(running.uuid, to, owner=running.owner, attempt=running.attempts) is None
        assert store.get(running.uuid) == second
        assert store.move(running.uuid, Status.DONE, owner=second.owner, attempt=second.attempts)

    def test_a_job_whose_earlier_run_still_ends_is_not_taken(self, store: Store, name: str) -> None:
        """Y5."""
        first, second = store.add(a_job(name)), store.add(a_job(name))
        free = {(name, TRAIN): 1}
        taken = store.take("o", free, "", without=[first.uuid])
        assert taken
        assert taken.uuid == second.uuid
        assert store.take("o", free, "", without=[first.uuid]) is None
        assert store.get(first.uuid).attempts == 0

    # report, history

    def test_reports_keep_the_latest_values_and_a_history(self, store: Store, running: Job) -> None:
        first, second = (
            Report(running.uuid, 0.25, {"loss": 2.0, "lr": 0.1}),
            Report(running.uuid, None, {"loss": 1.0}, 7),
        )
        store.report(running.owner, [first, second, Report(running.uuid, 0.5)])
        store.report(running.owner, [Report(running.uuid, metrics={"accuracy": None})])
        job = store.get(running.uuid)
        assert (job.progress, job.metrics) == (0.5, {"loss": 1.0, "lr": 0.1, "accuracy": None})
        points = store.history(running.uuid)
        assert [(p.step, p.metrics) for p in points] == [
            (1, first.metrics),
            (7, {"loss": 1.0}),
            (8, {"accuracy": None}),
        ]
        assert running.started
        assert all(point.at >= running.started for point in points)

    def test_progress_without_metrics_is_no_point(self, store: Store, running: Job) -> None:
        store.report(running.owner, [Report(running.uuid, 0.25)])
        assert store.get(running.uuid).progress == 0.25
        assert store.history(running.uuid) == []

    def test_a_history_is_by_step_in_whatever_order_it_was_told(self, store: Store, running: Job) -> None:
        store.report(
            running.owner, [Report(running.uuid, metrics={"x": 0.0}, step=step) for step in (5, -1, 10**30, 5)]
        )
        assert [point.step for point in store.history(running.uuid)] == [-1, 5, 5, 2**63 - 1]

    def test_no_step_is_beyond_the_largest_number(self, store: Store, running: Job) -> None:
        store.report(running.owner, [Report(running.uuid, metrics={"x": 0.0}, step=step) for step in (2**63 - 1, None)])
        assert [point.step for point in store.history(running.uuid)] == [2**63 - 1] * 2

    def test_what_is_no_number_is_kept_as_none(self, store: Store, running: Job) -> None:
        store.report(running.owner, [Report(running.uuid, metrics={"loss": float("nan"), "x": float("inf")})])
        assert store.get(running.uuid).metrics == {"loss": None, "x": None}

    def test_reports_of_jobs_that_do_not_run_here_are_dropped(self, store: Store, running: Job) -> None:
        queued = store.add(a_job(running.deployment))
        store.report("another", [Report(running.uuid, 0.5, {"x": 1.0})])
        store.report("", [Report(queued.uuid, 0.5), Report(uuid.uuid4().hex, 0.5)])
        store.report("another", [])
        assert store.get(running.uuid).progress is store.get(queued.uuid).progress is None
        assert store.history(running.uuid) == []

    def test_a_long_history_keeps_its_shape_and_its_newest_point(self, store: Store, running: Job) -> None:
        for start in range(0, POINTS_LIMIT + 500, 500):
            store.report(running.owner, [Report(running.uuid, metrics={"x": 0.0}, step=start + i) for i in range(500)])
        steps = [point.step for point in store.history(running.uuid)]
        assert POINTS_LIMIT / 2 <= len(steps) <= POINTS_LIMIT
        assert steps[0] <= 1
        assert steps[-1] == POINTS_LIMIT + 499
        store.report(running.owner, [Report(running.uuid, metrics={"x": 0.0})] * (2 * POINTS_LIMIT))
        steps = [point.step for point in store.history(running.uuid)]
        assert len(steps) <= POINTS_LIMIT
        assert steps[-1] == 3 * POINTS_LIMIT + 499

    def test_metrics_are_kept_as_far_as_a_record_has_room(self, store: Store, running: Job) -> None:
        store.report(running.owner, [Report(running.uuid, metrics={"loss": 3.0})])
        for start in range(0, 20_000, 5000):
            told: dict[str, float | None] = {f"name-{number}": 1.0 for number in range(start, start + 5000)}
            store.report(running.owner, [Report(running.uuid, metrics={"x" * METRICS_BYTES: 1.0, **told, "loss": 2.0})])
        store.report(running.owner, [Report(running.uuid, metrics={"loss": 1.0})])
        metrics = store.get(running.uuid).metrics
        assert (metrics["loss"], metrics["name-0"]) == (1.0, 1.0)
        assert METRICS_BYTES / 2 < len(to_json(metrics)) <= METRICS_BYTES
        assert max(len(to_json(point.metrics)) for point in store.history(running.uuid)) <= METRICS_BYTES

    def test_a_history_is_bounded_in_bytes_too(self, store: Store, running: Job) -> None:
        large: dict[str, float | None] = {"x" * (METRICS_BYTES - 100): 0.0}
        reports = [
            Report(running.uuid, metrics=large, step=step) for step in range(HISTORY_BYTES // METRICS_BYTES + 50)
        ]
        store.report(running.owner, reports)
        found = store.history(running.uuid)
        assert HISTORY_BYTES / 3 < sum(len(to_json(point.metrics)) for point in found) <= HISTORY_BYTES
        assert found[-1].step == reports[-1].step

    # beat, reap

    def test_a_heartbeat_tells_what_the_server_runs(self, store: Store, running: Job) -> None:
        assert store.servers.beat(running.owner) == {running.uuid: 1}
        assert store.servers.beat(an_owner()) == {}
        store.move(running.uuid, Status.DONE)
        assert store.servers.beat(running.owner) == {}

    def test_each_heartbeat_is_another(self, store: Store, running: Job) -> None:
        """Y6: by a number that grows, whatever the database's clock does."""
        marks = []
        for _ in range(3):
            store.servers.beat(running.owner)
            marks.append(store.servers.others("")[running.owner].mark)
        assert [mark and mark.beats for mark in marks] == [1, 2, 3]

    def test_the_jobs_of_a_server_that_has_gone_are_lost(self, store: Store, running: Job) -> None:
        """H01."""
        store.servers.beat(running.owner)
        (job,) = store.servers.reap(running.owner, is_sure=True)
        assert (job.status, job.message) == (Status.LOST, "The server that ran it has gone.")
        assert job == store.get(running.uuid)
        assert job.finished
        assert store.servers.reap(running.owner, is_sure=True) == []

    def test_a_job_with_retries_left_is_queued_again(self, store: Store, name: str) -> None:
        """H01."""
        store.add(a_job(name, retries=1))
        for expected in (Status.QUEUED, Status.LOST):
            job = take(store, an_owner(), name)
            assert job
            (job,) = store.servers.reap(job.owner, is_sure=True)
            assert job.status is expected

    def test_a_server_that_has_beaten_again_is_not_reaped(self, store: Store, running: Job) -> None:
        """Y6: in the transaction that would, not only before it."""
        store.servers.beat(running.owner)
        mark = store.servers.others("")[running.owner].mark
        store.servers.beat(running.owner)
        assert store.servers.reap(running.owner, unless_beyond=mark) == []
        assert store.servers.reap(running.owner) == [], "nor where none was seen"
        assert store.get(running.uuid).status is Status.RUNNING

    @pytest.mark.parametrize("has_beaten", [True, False])
    def test_a_server_that_has_not_beaten_since_is_reaped(self, store: Store, running: Job, has_beaten: bool) -> None:
        if has_beaten:
            store.servers.beat(running.owner)
        mark = store.servers.others("")[running.owner].mark
        assert (mark is not None) == has_beaten
        (job,) = store.servers.reap(running.owner, unless_beyond=mark)
        assert job.status is Status.LOST

    def test_what_a_server_serves_is_told_to_the_others(self, store: Store) -> None:
        """Y13."""
        one, other = an_owner(), an_owner()
        store.servers.beat(one, '{"m": "a:m"}')
        found = store.servers.others(other)[one]
        assert (found.serves, found.has_jobs) == ('{"m": "a:m"}', False)
        assert one not in store.servers.others(one)

    def test_a_server_is_none_of_the_others(self, store: Store, running: Job) -> None:
        assert running.owner not in store.servers.others(running.owner)
        assert running.owner in store.servers.others("another")

    def test_only_servers_that_were_heard_of_long_ago_are_forgotten(self, store: Store, running: Job) -> None:
        lives, gone = an_owner(), an_owner()
        for owner in (lives, gone, running.owner):
            store.servers.beat(owner)
        old = update(tables.owners).where(tables.owners.c.id.in_([gone, running.owner])).values(beat=1.0)
        with store.database.writing() as connection:
            connection.execute(old)
        store.servers.forget()
        with store.database.reading() as connection:
            found = set(connection.execute(select(tables.owners.c.id)).scalars())
        assert {lives, running.owner} <= found
        assert gone not in found

    # room

    def test_bytes_of_jobs_are_bounded_for_all_and_for_each_client(self, store: Store, name: str) -> None:
        """Y8."""
        taken, me = store.held_bytes(), f"#{name}"
        mine, other = Wanted(name, TRAIN, me), Wanted(name, TRAIN, "another")
        first = store.add(a_job(name, request=b"x" * 60, client=me), room=Room(0, 100))
        with pytest.raises(TooManyRequests):
            store.add(a_job(name, request=b"x" * 60, client=me), room=Room(0, 100))
        with pytest.raises(TooManyRequests):
            store.check_room(Room(0, 100), mine, 41)
        store.check_room(Room(taken + 100, 100), mine, 40)
        with pytest.raises(QueueFull):
            store.check_room(Room(taken + 100, 0), other, 41)
        store.add(a_job(name, request_bytes=60, client="another"), room=Room(0, 100))
        assert store.held_bytes() == taken + 120
        store.move(first.uuid, Status.CANCELLED)
        store.check_room(Room(taken + 100, 100), mine, 40)

    def test_a_job_that_never_finds_room_is_too_large(self, store: Store, name: str) -> None:
        """Y8."""
        for room in (Room(0, 100), Room(100, 0)):
            with pytest.raises(TooLarge):
                store.check_room(room, Wanted(name, TRAIN, "me"), 101)
            with pytest.raises(TooLarge):
                store.add(a_job(name, request=b"x" * 101, client="me"), room=room)

    def test_a_job_that_is_there_needs_no_room_when_it_is_asked_for_again(self, store: Store, name: str) -> None:
        """Y8."""
        room, me = Room(0, 100), f"#{name}"
        there = store.add(a_job(name, request=b"x" * 60, client=me), key="k", room=room)
        wanted = Wanted(name, there.operation, me, "k")
        store.check_room(room, wanted, 60)
        assert store.add(a_job(name, request=b"x" * 60, client=me), key="k", room=room).uuid == there.uuid
        with pytest.raises(TooManyRequests):
            store.check_room(room, msgspec.structs.replace(wanted, key="another"), 60)

    # purge

    def test_old_jobs_go_with_all_that_is_kept_of_them(self, store: Store, running: Job) -> None:
        """H10."""
        store.report(running.owner, [Report(running.uuid, 0.5, {"x": 1.0})])
        store.move(running.uuid, Status.DONE, output=b"1")
        queued = store.add(a_job(running.deployment))
        assert running.uuid not in store.purge(1000.0, 1_000_000)
        removed = store.purge(-1.0, 1_000_000)
        assert running.uuid in removed
        assert queued.uuid not in removed
        assert store.history(running.uuid) == []
        with pytest.raises(NotFound):
            store.get(running.uuid)

    def test_the_oldest_go_where_there_are_too_many(self, store: Store, name: str) -> None:
        """H10, Y2: the first to go is the one that ended first, whenever it was submitted."""
        uuids = [store.add(a_job(name)).uuid for _ in range(5)]
        for ended in (uuids[3], uuids[1], uuids[0], uuids[4]):
            store.move(ended, Status.CANCELLED)
        store.purge(1000.0, 2)
        assert [job.uuid for job in store.list(name, TRAIN, limit=9).jobs] == [uuids[4], uuids[2], uuids[0]]
        store.purge(1000.0, 0)
        assert [job.uuid for job in store.list(name, TRAIN, limit=9).jobs] == [uuids[2]]

    def test_the_order_of_ends_does_not_hang_on_the_clock(self, store: Store, name: str) -> None:
        """Y2: a clock that was set back between two ends makes the second no older than the first."""
        first, second, lost = (store.add(a_job(name)).uuid for _ in range(3))
        store.move(first, Status.CANCELLED)
        store.move(second, Status.CANCELLED)
        owner = an_owner()
        assert take(store, owner, name)
        store.servers.reap(owner, is_sure=True)
        _set_back(store, (second, lost), 5000.0)
        assert {first, second, lost} & set(store.purge(1_000_000.0, 2, min_age_s=-1.0)) == {first}
        assert {second, lost} & set(store.purge(1_000_000.0, 1, min_age_s=-1.0)) == {second}

    def test_jobs_are_counted_by_deployment_and_operation(self, store: Store, name: str) -> None:
        """Y2: predictions push no training out, nor do the jobs of another deployment."""
        training, other = store.add(a_job(name)).uuid, store.add(a_job(f"{name}-2")).uuid
        predictions = [store.add(a_job(name, operation=PREDICT)).uuid for _ in range(4)]
        for one in (training, other, *predictions):
            store.move(one, Status.CANCELLED)
        removed = set(store.purge(1000.0, 2)) & {training, other, *predictions}
        assert removed == set(predictions[:2])
        assert set(store.purge(-1.0, 0, deployments=[name])) == {training, *predictions[2:]}
        assert store.get(other).status is Status.CANCELLED

    def test_no_job_goes_within_a_while_of_its_end(self, store: Store, name: str) -> None:
        """Y2."""
        uuids = {store.add(a_job(name)).uuid for _ in range(3)}
        for one in uuids:
            store.move(one, Status.CANCELLED)
        assert not uuids & set(store.purge(0.0, 0, min_age_s=100.0))
        assert not uuids & set(store.purge(100.0, 0, min_age_s=50.0, now=store.clock() - 1000.0))
        _set_back(store, uuids, 101.0)
        assert uuids <= set(store.purge(1000.0, 0, min_age_s=100.0))

    def test_a_key_is_free_again_once_its_job_has_gone(self, store: Store, name: str) -> None:
        job = store.add(a_job(name, fingerprint="f"), key="k")
        store.move(job.uuid, Status.CANCELLED)
        store.purge(-1.0, 1_000_000)
        assert store.add(a_job(name, fingerprint="g"), key="k").uuid != job.uuid


def _set_back(store: Store, uuids: Iterable[str], by_s: float) -> None:
    """Have jobs ended so much earlier."""
    these = tables.jobs.c.uuid.in_(list(uuids))
    with store.database.writing() as connection:
        connection.execute(update(tables.jobs).where(these).values(finished=tables.jobs.c.finished - by_s))
