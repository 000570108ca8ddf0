"""What workers, the kernel and GPUs are asked when the metrics are read, and how long they are waited for."""

from __future__ import annotations

import asyncio
import threading

import psutil
import pytest

from modelserve.messages import Family, Sample, Scraped
from modelserve.runtime.process import LocalReplica
from modelserve.runtime.scraping import SCRAPE_S, Scraper
from tests.runtime.fakes import FakeReplica
from tests.runtime.story import Story
from tests.runtime.workers import Heard, ask, until


def told(value: float) -> Scraped:
    return Scraped([Family("seen", "counter", "Seen.", "", [Sample("seen_total", {}, value)])])


def seen(it: Story) -> float | None:
    lines = it.metrics.render().decode().splitlines()
    found = [line for line in lines if line.startswith("seen_total")]
    return float(found[0].split()[1]) if found else None


def scraper(it: Story) -> Scraper:
    return Scraper({"m": it.deployment}, it.metrics)


async def test_a_worker_that_answers_in_time_is_told_of() -> None:
    it = Story(replica := FakeReplica())
    await it.deployment.start()
    scrape = asyncio.create_task(scraper(it).scrape())
    await until(lambda: replica.scrapes)
    replica.scrapes[0].set_result(told(3))
    await scrape
    assert seen(it) == 3


async def test_metrics_are_read_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Y26."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    it = Story()
    asking = scraper(it)
    monkeypatch.setattr(threading.Thread, "start", fail)
    await asking.scrape()


async def test_one_that_does_not_is_waited_for_no_longer_and_what_it_says_later_counts() -> None:
    """F05."""
    it = Story(replica := FakeReplica())
    await it.deployment.start()
    asking = scraper(it)
    since = asyncio.get_running_loop().time()
    await asking.scrape()
    assert SCRAPE_S * 0.9 < asyncio.get_running_loop().time() - since < 1
    await asking.scrape()
    assert len(replica.scrapes) == 1, "it is not asked again before it has answered"
    replica.scrapes[0].set_result(told(3))
    await until(lambda: seen(it) == 3)


async def test_one_whose_model_has_no_metrics_is_asked_again_but_not_waited_for() -> None:
    it = Story(replica := FakeReplica())
    await it.deployment.start()
    asking = scraper(it)
    scrape = asyncio.create_task(asking.scrape())
    await until(lambda: replica.scrapes)
    replica.scrapes[0].set_result(Scraped())
    await scrape
    scrape = asyncio.create_task(asking.scrape())
    await until(lambda: len(replica.scrapes) == 2)
    await asyncio.wait_for(scrape, 10)
    replica.scrapes[1].set_result(told(1))  # it has imported the library meanwhile
    await until(lambda: seen(it) == 1)


async def test_those_who_ask_at_the_same_time_share_the_answers() -> None:
    it = Story(replica := FakeReplica())
    await it.deployment.start()
    asking = scraper(it)
    both = asyncio.gather(asking.scrape(), asking.scrape())
    await until(lambda: replica.scrapes)
    replica.scrapes[0].set_result(told(2))
    await both
    assert (len(replica.scrapes), seen(it)) == (1, 2)


async def test_what_a_worker_said_that_has_ended_since_stays_and_what_it_says_then_does_not_count() -> None:
    """N05."""
    it = Story(first := FakeReplica(), second := FakeReplica())
    await it.deployment.start()
    asking = scraper(it)
    scrape = asyncio.create_task(asking.scrape())
    await until(lambda: first.scrapes)
    first.scrapes[0].set_result(told(3))
    await scrape
    await asking.scrape()
    first.die()
    await until(lambda: it.deployment.replicas == [second])
    first.scrapes[1].set_result(told(100))
    scrape = asyncio.create_task(asking.scrape())
    await until(lambda: second.scrapes)
    second.scrapes[0].set_result(told(1))
    await scrape
    assert seen(it) == 4


async def test_a_real_worker_without_the_library_says_so_while_it_runs(replica: LocalReplica, heard: Heard) -> None:
    await replica.start(heard)
    replica.send([ask(1, "sleep", n=300)])
    first, second = replica.scrape(), replica.scrape()
    assert first is second
    assert await asyncio.wait_for(first, 30) == Scraped()
    worker = psutil.Process(replica.pid)
    worker.suspend()
    await until(lambda: worker.status() == psutil.STATUS_STOPPED)  # it answers no more
    late = replica.scrape()
    replica.kill()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(late, 30)
