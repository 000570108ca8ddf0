"""Pools of threads where the system has no thread left: all that they take is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import modelserve
from modelserve.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    with Threads(4) as threads:
        yield threads


@pytest.fixture
def use_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have no further thread started from now on."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(threading.Thread, "start", fail)


def test_without_any_thread_there_is_no_pool(use_up: Callable[[], None]) -> None:
    """Y26."""
    use_up()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Threads(1)


def test_work_is_done_though_none_could_be_started_since_the_pool_was_made(
    threads: Threads, use_up: Callable[[], None]
) -> None:
    """Y26: work that is refused would be done all the same, with descriptors that may be those of other files."""
    use_up()
    assert threads.submit(int, "7").result(20) == 7


def test_a_thread_that_is_there_does_what_another_would_do(threads: Threads, use_up: Callable[[], None]) -> None:
    """Y26."""
    begun, goes_on = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return goes_on.wait(20)

    busy = threads.submit(work)
    assert begun.wait(20)
    use_up()
    further = [threads.submit(int, number) for number in range(8)]
    goes_on.set()
    assert busy.result(20)
    assert [each.result(20) for each in further] == list(range(8))


def test_every_pool_of_the_server_is_of_these() -> None:
    """Y26; tests/test_server.py looks at asyncio's own."""
    package = Path(modelserve.__file__).parent
    assert [path.name for path in package.rglob("*.py") if "ThreadPoolExecutor(" in path.read_text()] == []
