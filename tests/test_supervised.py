"""A thread or a task of the server that fails is told of, counted and started again."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time

import pytest

from modelserve import supervised
from modelserve.supervised import UNHANDLED, Supervisor


class Work:
    """Fails so many times, then goes on until it is told to end."""

    def __init__(self, error: BaseException, failures: int = 1) -> None:
        self._error = error
        self._left = failures
        self.works = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        """Fail, or work."""
        self._left -= 1
        if self._left >= 0:
            raise self._error
        self.works.set()
        self.over.wait()

    async def run_async(self) -> None:
        """Fail, or work."""
        self._left -= 1
        if self._left >= 0:
            raise self._error
        self.works.set()
        await asyncio.sleep(3600)


@pytest.mark.parametrize("error", [ValueError("a fault"), SystemExit(0), MemoryError(), KeyboardInterrupt()], ids=repr)
def test_a_thread_that_fails_is_told_of_counted_and_started_again(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, work = Supervisor(), Work(error, 2)
    thread = supervisor.thread("a part", work.run)
    thread.start()
    assert work.works.wait(20)
    assert supervisor.failures() == {UNHANDLED: 0, "a part": 2}
    records = [record for record in caplog.records if vars(record).get("part") == "a part"]
    assert [record.levelno for record in records] == [logging.ERROR] * 2
    assert all(record.exc_info is not None and record.exc_info[1] is error for record in records)
    work.over.set()
    assert thread.close(20)


def test_a_thread_that_was_closed_is_not_started_again() -> None:
    supervisor, work = Supervisor(), Work(ValueError("a fault"), sys.maxsize)
    thread = supervisor.thread("a part", work.run)
    thread.start()
    assert thread.close(20)
    count = supervisor.failures()["a part"]
    assert threading.active_count() == len(threading.enumerate())
    assert supervisor.failures()["a part"] == count


def test_closing_tells_whether_the_work_has_ended() -> None:
    work = Work(ValueError("a fault"), 0)
    thread = Supervisor().thread("a part", work.run)
    thread.start()
    assert not thread.close(0.01)
    work.over.set()
    assert thread.close(20)


async def test_a_task_that_fails_is_told_of_counted_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, work = Supervisor(), Work(ValueError("a fault"), 2)
    task = supervisor.task("a part", work.run_async)
    async with asyncio.timeout(20):
        while not work.works.is_set():
            await asyncio.sleep(0.01)
    assert supervisor.failures()["a part"] == 2
    assert "a fault" in caplog.text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_returns_is_over() -> None:
    ran = []

    async def work() -> None:
        ran.append(1)

    await Supervisor().task("a part", work)
    assert ran == [1]


def test_a_part_that_never_failed_is_counted_with_zero() -> None:
    """What appears only with its first failure has no increase that an alert could see."""
    supervisor = Supervisor()
    supervisor.thread("a part", lambda: None)
    assert supervisor.failures() == {UNHANDLED: 0, "a part": 0}


def test_pauses_grow_to_a_limit_and_are_short_again_for_what_ran_well(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    pauses = supervised._Pauses()
    waited = []
    for _ in range(9):
        waited.append(pauses.next_s())
        now_s += waited[-1]
    assert waited == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    now_s += 60
    assert pauses.next_s() == 0.1


class Unraisable:
    """An object whose end fails."""

    def __del__(self) -> None:
        raise ValueError("in a finalizer")


async def test_what_nobody_handled_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("in a thread")

    supervisor, loop = Supervisor(), asyncio.get_running_loop()
    with supervisor.hooked():
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        Unraisable()
        gc.collect()
        task = loop.create_task(_fail())
        await asyncio.wait([task])
        del task
        gc.collect()
    assert supervisor.failures() == {UNHANDLED: 4}
    for text in ("division by zero", "in a thread", "in a finalizer", "never retrieved"):
        assert text in caplog.text


async def _fail() -> None:
    raise ValueError("in a task")


def test_what_was_there_before_hears_of_it_again_afterwards() -> None:
    async def check() -> None:
        before = (asyncio.get_running_loop().get_exception_handler(), threading.excepthook, sys.unraisablehook)
        with Supervisor().hooked():
            assert threading.excepthook is not before[1]
        loop = asyncio.get_running_loop()
        assert (loop.get_exception_handler(), threading.excepthook, sys.unraisablehook) == before

    asyncio.run(check())
