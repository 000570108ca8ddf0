"""Posts the jobs that have ended to their callback_url, in the background, until they are received or given up.

    a job ends -> AsyncStore.take_delivery -> Outward.post: the job object, signed -> 2xx: delivered    410: gone
                        ^                                                          -> else: failed, later again
                        +---------------- pauses of 1 s .. 16 h -------------------+  the eighth: given_up

What is owed is in the store: another start, or another server of the same database, goes on with it. A try that has
no end there, since its server died, is made again, so a receiver may see a message twice; its webhook-id is the job's
uuid.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from modelserve.errors import SettingsError, Unavailable
from modelserve.exact import to_json
from modelserve.jobs.job import Delivery
from modelserve.jobs.thread import AsyncStore
from modelserve.settings import Settings
from modelserve.supervised import Supervisor
from modelserve.web.callbacks import receiver_of
from modelserve.web.outward import Outward, Unanswered
from modelserve.web.signing import signed
from modelserve.web.v2.job_object import show_job

__all__ = ["Callbacks", "Pace", "require_secret"]

logger = logging.getLogger(__name__)

# Tries that are made at the same time, and those to one receiver: others do not wait for one that hangs.
AT_ONCE = 64
OF_ONE_RECEIVER = 8


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long tries take, and how often they are made.

    ``pauses_s`` are those after each try but the last, give or take a fifth: 8 tries within a day. ``lease_s`` is how
    long a try belongs to a server that says no more; it is longer than ``timeout_s``, which one try may take.
    ``look_s`` is how often it is looked for what another server owes, or is due again, and ``close_s`` what tries get
    that are being made when the server stops.
    """

    pauses_s: tuple[float, ...] = (1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 12 * 3600.0)
    timeout_s: float = 10.0
    lease_s: float = 30.0
    look_s: float = 1.0
    close_s: float = 2.0


PACE = Pace()


def require_secret(settings: Settings) -> None:
    """See that callbacks can be signed where there may be any.

    Raises:
        SettingsError: They cannot.
    """
    if settings.callback_hosts and not settings.callback_secret:
        raise SettingsError(
            "callback_hosts is given and callback_secret is not: callbacks are always signed. Set"
            " MODELSERVE_CALLBACK_SECRET to whsec_ and the base64 of 32 random bytes."
        )


class Callbacks:
    """The callbacks of one server, as an async context.

    Args:
        store: Where the jobs are; open for longer than this.
        settings: Which hosts are allowed, and the secret.
        count: Called with the outcome of each try: "delivered", "failed", "gone", "given_up".
        pace: Other than a day in tests.
        supervisor: Keeps them going; one of its own by default.
    """

    def __init__(
        self,
        store: AsyncStore,
        settings: Settings,
        count: Callable[[str], None],
        *,
        pace: Pace = PACE,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._supervisor = supervisor or Supervisor()
        self._store = store
        self._secret = settings.callback_secret
        self._count = count
        self._pace = pace
        self._outward = Outward(settings, pace.timeout_s)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._tries: dict[asyncio.Task[None], str] = {}
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Callbacks:
        self._task = self._supervisor.task("callbacks", self._run)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._tries:
            await asyncio.wait(self._tries, timeout=self._pace.close_s)
        left = list(self._tries)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def wake(self) -> None:
        """A callback may be due; never blocks."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._begin_all()
            except Unavailable:  # the runner of jobs says so in the log
                pass
            except Exception as error:  # the border of a task that must go on
                self._supervisor.failed("callbacks", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pace.look_s)

    async def _begin_all(self) -> None:
        while await self._begin():
            pass

    async def _begin(self) -> bool:
        """Begin the try that is due, once there is a slot for it; tell whether there was one."""
        await self._slots.acquire()
        delivery = None
        try:
            delivery = await self._store.take_delivery(self._pace.lease_s, without=self._busy())
        finally:
            if delivery is None:
                self._slots.release()
        if delivery is None:
            return False
        task = asyncio.create_task(self._try(delivery), name=f"callback {delivery.job.uuid}")
        self._tries[task] = receiver_of(delivery.job.callback_url)
        task.add_done_callback(self._ended)
        return True

    def _busy(self) -> list[str]:
        """Return the receivers to which as many tries are being made as may be."""
        counts = Counter(self._tries.values())
        return [receiver for receiver, count in counts.items() if count >= OF_ONE_RECEIVER]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._tries[task] in self._busy():
            self.wake()  # what is due for it was passed over
        del self._tries[task]
        self._slots.release()

    async def _try(self, delivery: Delivery) -> None:
        try:
            outcome, said = await self._tried(delivery)
            await self._note(delivery, outcome, said)
        except Exception as error:  # the border of a task; it is due again when its lease is over
            self._supervisor.failed("callbacks", error, what="a callback failed in the server", job=delivery.job.uuid)

    async def _tried(self, delivery: Delivery) -> tuple[str, str]:
        """Post once; whatever goes wrong in the server is a try that has failed, and not one without an end."""
        try:
            return await self._post(delivery)
        except Exception:  # the border of a job: others are told on
            logger.exception("a callback failed in the server", extra={"job": delivery.job.uuid})
            return self._failed(delivery), "the server could not make it"

    def _failed(self, delivery: Delivery) -> str:
        return "failed" if delivery.number <= len(self._pace.pauses_s) else "given_up"

    async def _post(self, delivery: Delivery) -> tuple[str, str]:
        """Post once, and return the outcome and what there is to say of a failure."""
        job, body = delivery.job, to_json(show_job(delivery.job))
        headers = {"Content-Type": "application/json", **signed(self._secret, job.uuid, body, time_s=int(time.time()))}
        try:
            status = await self._outward.post(job.callback_url, body, headers)
        except Unanswered as error:
            said = str(error)
        else:
            if 200 <= status < 300:
                return "delivered", ""
            said = f"the answer was {status}"
            if status == HTTPStatus.GONE:
                return "gone", said
        return self._failed(delivery), said

    async def _note(self, delivery: Delivery, outcome: str, said: str) -> None:
        self._count(outcome)
        extra = {"deployment": delivery.job.deployment, "job": delivery.job.uuid}
        if outcome == "failed":
            share = random.uniform(0.8, 1.2)
            pause_s = self._pace.pauses_s[delivery.number - 1] * share
            logger.warning(
                "a callback failed (%d of %d), the next try is in %.0f s: %s",
                delivery.number,
                len(self._pace.pauses_s) + 1,
                pause_s,
                said,
                extra=extra,
            )
            await self._stored(partial(self._store.postpone_delivery, delivery, pause_s))
        else:
            if outcome != "delivered":
                logger.warning("a callback failed and is given up: %s", said, extra=extra)
            await self._stored(partial(self._store.end_delivery, delivery, outcome))

    async def _stored(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write to the store, and try again for as long as the try is this server's."""
        end_s = time.monotonic() + self._pace.lease_s
        while True:
            try:
                return await write()
            except Unavailable:
                if time.monotonic() > end_s:
                    raise
            await asyncio.sleep(self._pace.look_s)
