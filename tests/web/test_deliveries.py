"""Jobs that end are posted to their callback until they are received, or given up."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from modelserve.errors import SettingsError, StoreUnavailable
from modelserve.jobs.job import Delivery, Job, Status
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore
from modelserve.settings import Settings
from modelserve.web.deliveries import AT_ONCE, OF_ONE_RECEIVER, Callbacks, Pace, require_secret
from modelserve.web.v2.job_object import show_job
from tests.jobs.store_contract import a_job, an_owner, take
from tests.web.receiver import HANG, SECRET, Receiver, receiving

# A day, for those who cannot wait.
QUICK = Pace(pauses_s=(0.01, 0.02), timeout_s=20.0, look_s=0.02, close_s=0.1)

WITHIN_S = 30.0


class House:
    """A store and servers that only call back.

    Args:
        folder: Of the store.
        stack: Where all of it is closed.
    """

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.store = self._opened()
        self.outcomes: Counter[str] = Counter()

    def _opened(self) -> Store:
        store = Store.open("", self._folder)
        self._stack.callback(store.close)
        return store

    async def start(
        self, *hosts: str, pace: Pace = QUICK, kind: Callable[[Store], AsyncStore] = AsyncStore
    ) -> Callbacks:
        store = kind(Store.open("", self._folder))
        self._stack.push_async_callback(store.close)
        settings = Settings(callback_hosts=",".join(hosts), callback_secret=SECRET)
        callbacks = Callbacks(store, settings, lambda outcome: self.outcomes.update([outcome]), pace=pace)
        return await self._stack.enter_async_context(callbacks)

    def end(self, url: str) -> Job:
        """Have a job end."""
        self.store.add(a_job("m", callback_url=url))
        running = take(self.store, an_owner(), "m")
        assert running
        ended = self.store.move(running.uuid, Status.DONE, output=b'{"y": 1.0}')
        assert ended
        return ended

    def is_owed(self) -> bool:
        """Tell whether a callback is not over."""
        with self.store.database.reading() as connection:
            return bool(connection.exec_driver_sql("SELECT count(*) FROM callbacks WHERE due IS NOT NULL").scalar())

    async def settled(self) -> None:
        await until(lambda: not self.is_owed())


async def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not check():
        assert time.monotonic() < deadline, f"still false: {check}"
        await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with contextlib.AsyncExitStack() as stack:
        yield House(tmp_path, stack)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


async def test_the_job_object_is_posted_signed_and_once(house: House, receiver: Receiver) -> None:
    callbacks = await house.start(receiver.host)
    job = house.end(receiver.url)
    callbacks.wake()
    await house.settled()
    (message,) = receiver.messages
    assert message.body == orjson.dumps(show_job(job))
    assert message.verified()["result"]["output"] == {"y": 1.0}
    assert message.headers["webhook-id"] == job.uuid
    assert message.headers["Content-Type"] == "application/json"
    assert message.path == "/done?token=geheim"
    assert house.outcomes == {"delivered": 1}


async def test_what_is_not_taken_is_tried_again_with_the_same_id_and_then_given_up(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelserve")
    with receiving(503, 302, 404) as receiver:
        job = house.end(receiver.url)
        await house.start(receiver.host)
        await house.settled()
        assert [message.headers["webhook-id"] for message in receiver.messages] == [job.uuid] * 3
        assert len(receiver.verified()) == 3
    assert house.outcomes == {"failed": 2, "given_up": 1}
    said = [record for record in caplog.records if record.name == "modelserve.web.deliveries"]
    assert [record.levelname for record in said] == ["WARNING"] * 3
    assert "(1 of 3), the next try is in 0 s: the answer was 503" in said[0].getMessage()
    assert "given up: the answer was 404" in said[2].getMessage()
    assert {record.__dict__["job"] for record in said} == {job.uuid}
    assert "geheim" not in caplog.text
    assert SECRET not in caplog.text


async def test_a_receiver_that_has_gone_for_good_is_not_asked_again(house: House) -> None:
    with receiving(410) as receiver:
        house.end(receiver.url)
        await house.start(receiver.host)
        await house.settled()
        assert len(receiver.messages) == 1
    assert house.outcomes == {"gone": 1}


async def test_a_receiver_that_hangs_does_not_keep_others_waiting_and_is_asked_again(
    house: House, receiver: Receiver
) -> None:
    with receiving(HANG) as hanging:
        first, second = house.end(hanging.url), house.end(receiver.url)
        await house.start(hanging.host, receiver.host, pace=dataclasses.replace(QUICK, timeout_s=2.0))
        await until(lambda: len(receiver.messages) == 1)
        assert receiver.verified()[0]["uuid"] == second.uuid
        assert len(hanging.messages) <= 1
        await house.settled()
        assert [job["uuid"] for job in hanging.verified()] == [first.uuid] * 2
    assert house.outcomes["delivered"] == 2
    assert house.outcomes["failed"] >= 1


async def test_however_much_is_due_for_one_that_hangs_others_are_told(house: House, receiver: Receiver) -> None:
    """H22."""
    with receiving(*[HANG] * (AT_ONCE + 10)) as hanging:
        for _ in range(AT_ONCE + 10):
            house.end(f"http://{hanging.host}/")
        job = house.end(receiver.url)
        await house.start(hanging.host, receiver.host)
        await until(lambda: len(receiver.messages) == 1)
        assert receiver.verified()[0]["uuid"] == job.uuid
        assert len(hanging.messages) <= OF_ONE_RECEIVER


async def test_more_than_can_be_tried_at_once_wait_for_their_turn(house: House, receiver: Receiver) -> None:
    jobs = {house.end(receiver.url).uuid for _ in range(AT_ONCE + 4)}
    await house.start(receiver.host)
    await house.settled()
    assert {job["uuid"] for job in receiver.verified()} == jobs
    assert house.outcomes == {"delivered": AT_ONCE + 4}


async def test_two_servers_post_each_job_once(house: House, receiver: Receiver) -> None:
    """H18: the servers share a database."""
    jobs = [house.end(receiver.url).uuid for _ in range(20)]
    for _ in range(2):
        await house.start(receiver.host)
    await house.settled()
    assert Counter(job["uuid"] for job in receiver.verified()) == Counter(jobs)


async def test_a_try_whose_server_has_died_is_made_again(house: House, receiver: Receiver) -> None:
    job = house.end(receiver.url)
    assert house.store.deliveries.take(0.3)
    await house.start(receiver.host)
    await house.settled()
    assert [each["uuid"] for each in receiver.verified()] == [job.uuid]


async def test_a_host_that_is_not_allowed_any_more_is_not_posted_to(
    house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    house.end(receiver.url)
    await house.start("hooks.example.org")
    await house.settled()
    assert not receiver.messages
    assert house.outcomes == {"failed": 2, "given_up": 1}
    assert "the setting callback_hosts does not allow it any more" in caplog.text


async def test_a_stop_does_not_wait_for_a_receiver_that_hangs_and_the_next_start_goes_on(house: House) -> None:
    with receiving(HANG) as receiver:
        job = house.end(receiver.url)
        callbacks = await house.start(receiver.host, pace=dataclasses.replace(QUICK, lease_s=1.0))
        await until(lambda: len(receiver.messages) == 1)
        begin = time.monotonic()
        await callbacks.__aexit__()
        assert time.monotonic() - begin < 10
        await house.start(receiver.host)
        await house.settled()
        assert [each["uuid"] for each in receiver.verified()][-1] == job.uuid
    assert house.outcomes["delivered"]


class Failing(AsyncStore):
    """A store that fails at first: each method in each way once."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._failures: dict[str, list[Exception]] = {
            name: [StoreUnavailable("locked"), RuntimeError("broken")] for name in ("take", "end")
        }

    async def take_delivery(self, lease_s: float, *, without: Collection[str] = ()) -> Delivery | None:
        self._fail("take")
        return await super().take_delivery(lease_s, without=without)

    async def end_delivery(self, delivery: Delivery, outcome: str) -> None:
        self._fail("end")
        await super().end_delivery(delivery, outcome)

    def _fail(self, name: str) -> None:
        if self._failures[name]:
            raise self._failures[name].pop(0)


async def test_where_the_store_fails_a_callback_is_late_or_comes_twice_but_comes(
    house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    house.end(receiver.url)
    await house.start(receiver.host, pace=dataclasses.replace(QUICK, lease_s=0.5), kind=Failing)
    await house.settled()
    assert len(receiver.verified()) >= 2
    assert [vars(record)["part"] for record in caplog.records if "part" in vars(record)] == ["callbacks"] * 2
    assert "a callback failed in the server" in caplog.text


class Locked(AsyncStore):
    """A store in which nothing can be written any more."""

    async def end_delivery(self, delivery: Delivery, outcome: str) -> None:
        raise StoreUnavailable("locked")


async def test_what_cannot_be_noted_is_left_to_the_next_try(
    house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    house.end(receiver.url)
    await house.start(receiver.host, pace=dataclasses.replace(QUICK, lease_s=0.2), kind=Locked)
    await until(lambda: "a callback failed in the server" in caplog.text)
    assert receiver.messages
    assert house.is_owed()


def test_the_tries_are_eight_within_a_day() -> None:
    pace = Pace()
    assert len(pace.pauses_s) + 1 == 8
    assert 12 * 3600 < sum(pace.pauses_s) * 1.2 < 24 * 3600
    assert pace.pauses_s[0] == 1.0
    assert pace.timeout_s < pace.lease_s / 2


def test_without_a_secret_no_host_may_be_allowed() -> None:
    with pytest.raises(SettingsError) as caught:
        require_secret(Settings(callback_hosts="hooks.example.org"))
    assert caught.value.exit_code == 2
    assert "MODELSERVE_CALLBACK_SECRET" in caught.value.message
    require_secret(Settings(callback_hosts="hooks.example.org", callback_secret=base64.b64encode(bytes(24)).decode()))
    require_secret(Settings())
