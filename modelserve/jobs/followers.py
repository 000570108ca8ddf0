"""Tells those who follow a job of each change: the store is read once for all of them.

changed(uuid), or a second has passed -> Store.get -> every follower of that job
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from modelserve.errors import NotFound
from modelserve.jobs.job import ENDED, Job
from modelserve.jobs.outage import Outage
from modelserve.jobs.thread import AsyncStore
from modelserve.supervised import Supervisor

__all__ = ["Followers"]

logger = logging.getLogger(__name__)

# A job that another server runs is looked at this often.
LOOK_S = 1.0

# A job is read no more often than this, however often it changes.
PAUSE_S = 0.1


class _Topic:
    """One job that is followed; ``is_over`` says that nothing more will come."""

    def __init__(self, job: Job) -> None:
        self.latest = job
        self.is_over = False
        self.followers = 0
        self.stir = asyncio.Event()
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.watch: asyncio.Task[None]

    def tell(self, job: Job | None) -> None:
        """Give all followers the job as it is now, None where it is there no more."""
        if job is not None and job == self.latest:
            return
        self.latest = job or self.latest
        self.is_over = job is None or job.status in ENDED
        self.news.set_result(None)
        self.news = asyncio.get_running_loop().create_future()


class Followers:
    """All that is followed.

    Args:
        store: Where the jobs are.
        outage: Is told how reading went.
        supervisor: Is told what failed; one of its own by default.
    """

    def __init__(self, store: AsyncStore, outage: Outage, supervisor: Supervisor | None = None) -> None:
        self._supervisor = supervisor or Supervisor()
        self._supervisor.expect("following jobs")
        self._store = store
        self._outage = outage
        self._topics: dict[str, _Topic] = {}

    def changed(self, uuid: str) -> None:
        """A job may have changed; never blocks."""
        if uuid in self._topics:
            self._topics[uuid].stir.set()

    async def follow(self, job: Job) -> AsyncGenerator[Job, None]:
        """Yield the job, and again each time it has changed; the last is an ended one, unless it has been removed."""
        if job.status in ENDED:
            yield job
            return
        topic, seen = self._join(job), None
        try:
            while True:
                news = topic.news
                if topic.latest is not seen:
                    yield (seen := topic.latest)
                if topic.is_over and topic.latest is seen:
                    return
                if topic.news is news:
                    await asyncio.shield(news)
        finally:
            await self._leave(job.uuid, topic)

    def _join(self, job: Job) -> _Topic:
        topic = self._topics.get(job.uuid)
        if topic is None:
            topic = self._topics[job.uuid] = _Topic(job)
            topic.stir.set()  # what was given may be old
            topic.watch = asyncio.create_task(self._watch(topic))
        topic.followers += 1
        return topic

    async def _leave(self, uuid: str, topic: _Topic) -> None:
        topic.followers -= 1
        if not topic.followers:
            if self._topics.get(uuid) is topic:
                del self._topics[uuid]
            topic.watch.cancel()
            await asyncio.gather(topic.watch, return_exceptions=True)

    async def close(self) -> None:
        """Tell every follower how its job stands now, and that this is the last they are told."""
        for topic in list(self._topics.values()):
            topic.watch.cancel()
            await asyncio.gather(topic.watch, return_exceptions=True)
            with self._outage.noticed():
                topic.tell(await self._read(topic.latest.uuid))
            topic.tell(None)

    async def _watch(self, topic: _Topic) -> None:
        try:
            while not topic.is_over:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(topic.stir.wait(), LOOK_S)
                topic.stir.clear()
                with self._outage.noticed():
                    topic.tell(await self._read(topic.latest.uuid))
                await asyncio.sleep(PAUSE_S)
        except Exception as error:  # the border of a task: nobody is to wait for ever for what does not come
            self._supervisor.failed("following jobs", error, what="a job cannot be followed", job=topic.latest.uuid)
            topic.tell(None)
        self._topics.pop(topic.latest.uuid, None)

    async def _read(self, uuid: str) -> Job | None:
        try:
            return await self._store.get(uuid)
        except NotFound:
            return None
