"""Asks workers, the kernel and the GPUs what the server does not know by itself, each time the metrics are read.

    GET /metrics -> Scraper.scrape: Replica.scrape -> Scraped -> Metrics.models
                                    /proc and NVML, on a thread -> Metrics.machine

Nobody is waited for longer than ``SCRAPE_S``: of who has not answered by then the last answer stands, and what comes
later is kept for the next time. A worker whose model has no metrics is asked each time, but not waited for again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from modelserve.messages import Scraped
from modelserve.metrics import Metrics
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.interface import Replica
from modelserve.runtime.memory import rss_bytes
from modelserve.runtime.nvml import GpuWatch
from modelserve.threads import Threads

__all__ = ["SCRAPE_S", "Scraper"]

# An answer takes some milliseconds, unless the model keeps Python to itself. The metrics are to be there within 100 ms
# whatever the models do.
SCRAPE_S = 0.06


class Scraper:
    """Brings the metrics of one server up to date.

    Args:
        deployments: Whose workers are asked.
        metrics: Where the answers go.
    """

    def __init__(self, deployments: Mapping[str, Deployment], metrics: Metrics) -> None:
        self._deployments = deployments
        self._metrics = metrics
        self._asked: dict[Replica, asyncio.Future[Scraped]] = {}
        self._silent: set[Replica] = set()  # those whose models have no metrics, as far as is known
        self._gpus = GpuWatch()
        self._thread = Threads(1, "metrics")
        self._weighing: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None

    async def scrape(self) -> None:
        """Ask all. Who comes while that goes on gets the same answers."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._scrape())
        await asyncio.shield(self._running)

    def close(self) -> None:
        """Ask no more; what is under way is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._gpus.close()

    async def _scrape(self) -> None:
        awaited: list[asyncio.Future[Any]] = [self._weigh(), *self._ask()]
        await asyncio.wait(awaited, timeout=SCRAPE_S)

    def _ask(self) -> list[asyncio.Future[Scraped]]:
        """Ask every worker, and return the answers that are worth waiting for."""
        awaited, asked = [], set[Replica]()
        for name, deployment in self._deployments.items():
            replicas = deployment.replicas
            self._metrics.models.keep_only(name, set(replicas))
            asked.update(replicas)
            awaited += [self._ask_one(deployment, replica) for replica in replicas]
        self._silent &= asked
        return [future for replica, future in awaited if replica not in self._silent]

    def _ask_one(self, deployment: Deployment, replica: Replica) -> tuple[Replica, asyncio.Future[Scraped]]:
        future = self._asked.get(replica)
        if future is None:  # else it has not answered the last time, and is not to be flooded
            future = self._asked[replica] = replica.scrape()
            future.add_done_callback(lambda future: self._heard(deployment, replica, future))
        return replica, future

    def _heard(self, deployment: Deployment, replica: Replica, future: asyncio.Future[Scraped]) -> None:
        del self._asked[replica]
        if future.cancelled() or replica not in deployment.replicas:
            return
        scraped = future.result()
        if scraped.families:
            self._silent.discard(replica)
        else:
            self._silent.add(replica)
        self._metrics.models.add(deployment.name, replica, replica.name, scraped.families, dropped=scraped.dropped)

    def _weigh(self) -> asyncio.Future[None]:
        if self._weighing is None or self._weighing.done():
            workers, gpus = dict[tuple[str, str], int](), set[str]()
            for name, deployment in self._deployments.items():
                workers.update({(name, worker): pid for worker, pid in deployment.workers.items()})
                gpus |= deployment.gpus
            self._weighing = asyncio.get_running_loop().run_in_executor(self._thread, self._read, workers, gpus)
        return self._weighing

    def _read(self, workers: Mapping[tuple[str, str], int], gpus: set[str]) -> None:
        """Read the memory of processes and GPUs; runs on the thread."""
        self._metrics.machine.workers = {worker: rss_bytes(pid) for worker, pid in workers.items()}
        with contextlib.suppress(Exception):  # GPUs that do not answer must not cost the rest
            self._metrics.machine.gpus = self._gpus.read(gpus) if gpus else {}
