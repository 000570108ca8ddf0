"""A cache around a deployment: identical calls share an answer, and one running computation.

    call -> key -> kept? the answer, at once
                   running? wait for the same answer
                   else Deployment.call -> the answer, kept where it is whole, of status 200 and not too large

It stands where the deployment would, chosen once at the start, so a deployment without a cache knows nothing of it.
Calls with a deadline of their own pass by, and so do those of a model that streams. A file or a stream belongs to one
caller: whoever waited for the same then runs its own call, and further ones of that key do not wait at all.

A reload empties it: the deployment counts its reloads, and what began before the last is neither kept nor joined.
"""

from __future__ import annotations

import asyncio

from modelserve.errors import QueueFull
from modelserve.messages import Answer, Call, Description
from modelserve.metrics import CacheMetrics
from modelserve.runtime.cache_key import is_quick, key_of
from modelserve.runtime.interface import Renewable
from modelserve.runtime.kept import Kept
from modelserve.runtime.queue import size_of
from modelserve.runtime.sharing import Caller, FromCache, Run, failed
from modelserve.runtime.streams import discard

__all__ = ["Cache", "FromCache"]

# Bodies of callers that wait for another's answer are in no queue; past this, a call takes its place in the queue.
MAX_WAITING_BYTES = 64 * 1024 * 1024

# A call of so few bytes is read even while the queue is full, for its answer may be kept.
SMALL_BYTES = 64 * 1024


class Cache:
    """Answers calls as the deployment does, and no call twice.

    Args:
        deployment: What computes.
        size: Most answers to keep.
        ttl_s: How long one is kept, 0 for no limit.
        metrics: Where hits and misses are counted.
    """

    def __init__(self, deployment: Renewable, *, size: int, ttl_s: float, metrics: CacheMetrics) -> None:
        self.deployment = deployment
        self._metrics = metrics
        self._kept = Kept(size, ttl_s)
        self._running: dict[bytes, Run] = {}
        self._waiting_bytes = 0
        self._reloads = deployment.reloads
        metrics.watch(lambda: self.entries)

    @property
    def entries(self) -> int:
        """How many answers are kept."""
        self._renew()
        return len(self._kept)

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.deployment.name

    @property
    def description(self) -> Description | None:
        """The model's description."""
        return self.deployment.description

    def check_room(self, size: int) -> None:
        """Check as the deployment does, but for a full queue, which is no matter for an answer that is kept."""
        try:
            self.deployment.check_room(size)
        except QueueFull:
            if size > SMALL_BYTES or not (self._kept or self._running):
                raise

    def call(self, call: Call) -> asyncio.Future[Answer]:
        """Return the future of a call's answer, as the deployment does; :class:`FromCache` if the model does not run.

        Raises:
            Unavailable: As the deployment.
        """
        description = self.deployment.description
        if call.deadline or call.operation or (description is not None and description.streams):
            return self.deployment.call(call)
        if is_quick(call):
            try:
                return self._find(key_of(call), call)
            except OSError:  # its files are gone, and the model says so better
                return self.deployment.call(call)
        return asyncio.ensure_future(self._find_later(call))

    async def _find_later(self, call: Call) -> Answer:
        """Hash a large call on a thread."""
        try:
            key = await asyncio.to_thread(key_of, call)
        except (OSError, RuntimeError):  # its files are gone, or there is no room for a thread
            return await self.deployment.call(call)
        future = self._find(key, call)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                discard(future.result())
            raise

    def _find(self, key: bytes, call: Call) -> asyncio.Future[Answer]:
        self._renew()
        loop = asyncio.get_running_loop()
        kept = self._kept.get(key, loop.time())
        if kept is not None and kept.answer is not None:
            self._metrics.hits.inc()
            future: asyncio.Future[Answer] = loop.create_future()
            future.set_result(FromCache.of(kept.answer, loop.time() - kept.since))
            return future
        run = self._running.get(key)
        if kept is not None or (run is not None and self._waiting_bytes + size_of(call) > MAX_WAITING_BYTES):
            self._metrics.misses.inc()
            return self.deployment.call(call)
        return self._lead(key, call) if run is None else self._follow(run, call)

    def _lead(self, key: bytes, call: Call) -> Caller:
        reloads = self._reloads

        def ended(run: Run, answer: Answer | None) -> None:
            if self._running.get(key) is run:
                del self._running[key]
            if answer is not None:
                self._answer(run, answer, key if reloads == self.deployment.reloads else None)

        run = Run(self.deployment, call, ended)
        run.start()
        self._metrics.misses.inc()
        self._running[key] = run
        return _join(run, call)

    def _follow(self, run: Run, call: Call) -> Caller:
        caller, size = _join(run, call), size_of(call)
        self._waiting_bytes += size

        def waits_no_more(_: asyncio.Future[Answer]) -> None:
            self._waiting_bytes -= size

        caller.add_done_callback(waits_no_more)
        return caller

    def _answer(self, run: Run, answer: Answer, key: bytes | None) -> None:
        """Give an answer to all that wait for it, and keep it under the key, if there is one."""
        is_whole = answer.file is None and not answer.stream
        if key is not None and answer.failure is None:
            self._kept.put(key, answer if is_whole else None, asyncio.get_running_loop().time())
        if is_whole:
            self._metrics.hits.inc(run.give(answer))
            return
        owner, others = run.take()
        if owner is None:
            discard(answer)
        else:
            owner.set_result(answer)
        for caller in others:
            self._run_alone(caller)

    def _run_alone(self, caller: Caller) -> None:
        self._metrics.misses.inc()
        run = Run(self.deployment, caller.call, self._ended_alone)
        run.join(caller)
        try:
            run.start()
        except Exception as error:
            run.give(failed(error))

    def _ended_alone(self, run: Run, answer: Answer | None) -> None:
        if answer is not None:
            self._answer(run, answer, None)

    def _renew(self) -> None:
        """Forget all that is of before the last reload; who waits for it goes on waiting."""
        if self._reloads != self.deployment.reloads:
            self._reloads = self.deployment.reloads
            self._kept.clear()
            self._running.clear()


def _join(run: Run, call: Call) -> Caller:
    caller = Caller()
    caller.call = call
    run.join(caller)
    return caller
