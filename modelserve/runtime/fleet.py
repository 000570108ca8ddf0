"""All deployments of one server: made from what discovery found, started, found by name, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

import msgspec

from modelserve.discovery import ModelRef, again
from modelserve.errors import NotFound, SettingsError, StartError
from modelserve.held import Sum
from modelserve.metrics import Metrics
from modelserve.runtime.budget import Gpus
from modelserve.runtime.cache import Cache, FromCache
from modelserve.runtime.caches import cache_variables
from modelserve.runtime.deployment import Deployment
from modelserve.runtime.devices import Machine, Placement, plan, this_machine
from modelserve.runtime.hearing import Hearing
from modelserve.runtime.interface import Backend, Replica, WorkerOptions, WorkerSpec
from modelserve.runtime.leftovers import run_folder, sweep
from modelserve.runtime.limits import limits_of
from modelserve.runtime.process import LocalBackend
from modelserve.runtime.scraping import Scraper
from modelserve.runtime.slot import MakeReplica, Slot
from modelserve.runtime.status import ReloadFailed, Status
from modelserve.runtime.streams import Streamed, discard
from modelserve.settings import Settings
from modelserve.stalls import Stalls
from modelserve.supervised import Supervisor
from modelserve.text import is_text, shown

__all__ = ["Cache", "Deployment", "Fleet", "FromCache", "ReloadFailed", "Status", "Streamed", "discard"]

# Workers get this long to end by themselves when nothing runs on them any more.
WORKER_WAIT_S = 1.0

# The same where the grace is over: one that is still at a call ends only when it is told to.
LATE_WAIT_S = 0.25


class Fleet:
    """The deployments of one server, as an async context: entering begins to start them, leaving ends every worker.

    ``caches`` has what stands around a deployment, by its name, where that is to keep answers.

    Args:
        refs: The models, whose names are unique.
        settings: How to run them.
        metrics: Where to count; new ones by default.
        hearing: Hears what workers print and log; without it they write to our standard error.
        supervisor: Keeps the threads going that it starts.
        stalls: Tells how long the server stood still.
        make_cache: Makes the folder for what libraries compile, so that it outlives a worker, and returns its path.

    Raises:
        SettingsError: On entering, when the device or the temporary folder is not there.
    """

    def __init__(
        self,
        refs: Sequence[ModelRef],
        settings: Settings,
        metrics: Metrics | None = None,
        *,
        hearing: Hearing | None = None,
        supervisor: Supervisor | None = None,
        stalls: Stalls | None = None,
        make_cache: Callable[[], str] | None = None,
    ) -> None:
        self._refs = {ref.name: ref for ref in refs}
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._hearing = hearing
        self.stalls = stalls or Stalls()
        self.supervisor = supervisor or Supervisor()
        self._stack = contextlib.AsyncExitStack()
        self._starting: asyncio.Future[list[None]] | None = None
        self._machine: Machine
        self._make_cache = make_cache
        self._environment: dict[str, str] = {}
        self._placements: dict[str, list[Placement]] = {}
        self._backend: Backend
        self._gpus = Gpus()
        self._scraper: Scraper
        self.deployments: dict[str, Deployment] = {}
        self.caches: dict[str, Cache] = {}
        self.folder = ""

    async def __aenter__(self) -> Fleet:
        self._machine = this_machine()
        self._placements = {name: self._plan(name, self._settings.of(name).workers) for name in self._refs}
        await asyncio.to_thread(sweep, self._settings.temp_dir)
        self.folder = self._make_folder()
        if self._make_cache is not None:
            self._environment = cache_variables(self._make_cache(), os.environ)
        backend = LocalBackend(self.folder, self._hearing, self.supervisor, self.stalls)
        self._backend = await self._stack.enter_async_context(backend)
        self.deployments = {name: self._deployment(name) for name in self._refs}
        self.caches = {name: self._cache(name) for name in self._refs if self._settings.of(name).cache_size}
        for bound in self._bounds():
            self._metrics.watch_held(bound)
        self._scraper = Scraper(self.deployments, self._metrics)
        self._stack.callback(self._scraper.close)
        self._starting = asyncio.gather(*(deployment.start() for deployment in self.deployments.values()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        await self.end()
        await self._stack.aclose()

    async def end(self, *, is_late: bool = False) -> None:
        """End every worker; where it is late already, those that do not end by themselves get less time for it."""
        wait_s = LATE_WAIT_S if is_late else WORKER_WAIT_S
        await asyncio.gather(*(deployment.stop(wait_s) for deployment in self.deployments.values()))

    async def started(self) -> None:
        """Wait until every deployment is ready or has failed."""
        assert self._starting is not None, "enter the fleet first"
        await asyncio.shield(self._starting)

    async def drain(self, grace_s: float) -> None:
        """Take no more calls; wait up to ``grace_s`` seconds for those accepted, then answer the rest as failed."""
        try:
            with contextlib.suppress(TimeoutError):
                async with self.stalls.timeout(grace_s):
                    await asyncio.gather(*(deployment.drain() for deployment in self.deployments.values()))
        finally:
            for deployment in self.deployments.values():
                deployment.abandon()

    def find(self, name: str) -> Deployment:
        """Return the deployment of that name.

        Raises:
            NotFound: There is none.
        """
        try:
            return self.deployments[name]
        except KeyError:
            raise NotFound("There is no model of that name here; GET /v2/models/ lists those there are.") from None

    def ref(self, name: str) -> ModelRef:
        """Return where the model of a deployment was found."""
        return self._refs[name]

    def is_deepaas(self, name: str) -> bool:
        """Return whether a deployment is of a package that was written for DEEPaaS; one that is not served is not."""
        ref = self._refs.get(name)
        return ref is not None and ref.is_deepaas

    async def scrape(self) -> None:
        """Bring the metrics up to date with what only workers, the kernel and GPUs know; takes 0.1 s at most."""
        await self._scraper.scrape()

    async def reload(self, name: str | None = None) -> None:
        """Replace the workers of one deployment, or of all in turn, by new ones of the code installed now.

        Reloads of one deployment wait for each other. It returns once the old workers have ended.

        Raises:
            NotFound: There is no deployment of that name.
            ReloadFailed: The model is gone or the new workers could not be started; the old ones serve on. Of several
                deployments the others are reloaded first.
        """
        names = list(self.deployments) if name is None else [self.find(name).name]
        failures = [error for name in names if (error := await self._reload(name)) is not None]
        if failures:
            log = "\n".join(error.log for error in failures if error.log)
            raise ReloadFailed(" ".join(error.message for error in failures), log=log)

    def training(self, name: str, number: int, *, log_path: str, artifacts: str) -> Replica:
        """Return a worker that runs one training, not started yet; the caller starts it and stops it.

        It gets the processors and the GPU that one more worker of the deployment would get, at a lower priority, so
        that predictions do not wait for it.

        Args:
            name: The deployment.
            number: Of the trainings of this deployment that run at the same time, from 0.
            log_path: The file for all that it prints and logs, in a folder that is there.
            artifacts: The folder for the files that it keeps.

        Raises:
            NotFound: There is no deployment of that name.
        """
        self.find(name)
        beside = self._settings.of(name).workers + number
        spec = self._spec(self._refs[name], beside, self._plan(name, beside + 1)[beside])
        options = msgspec.structs.replace(spec.options, task="train", log_level=_told(spec.options.log_level))
        own = {"name": f"{name}-train-{number}", "log_path": log_path, "artifacts": artifacts}
        return self._backend.replica(msgspec.structs.replace(spec, options=options, **own))

    async def _reload(self, name: str) -> ReloadFailed | None:
        deployment = self.deployments[name]
        try:
            ref = await self._again(name)
        except StartError as error:
            deployment.note_reload(error.message)
            return ReloadFailed(f"{name} was not reloaded: {error.message}")
        try:
            await deployment.reload(
                [make for _, make in self._places(ref)], functools.partial(self._refs.__setitem__, name, ref)
            )
        except ReloadFailed as error:
            return error
        self._gpus.forgive()  # only now: what waits for it would start the old code
        return None

    async def _again(self, name: str) -> ModelRef:
        is_over = threading.Event()  # a thread cannot be cancelled, and the end of the server would wait for it
        try:
            return await asyncio.to_thread(again, self._refs[name], is_awaited=lambda: not is_over.is_set())
        except RuntimeError as error:  # there is no room for a thread
            raise StartError(f"Its code cannot be looked for now: {error}.") from error
        finally:
            is_over.set()

    def _plan(self, name: str, workers: int) -> list[Placement]:
        settings = self._settings.of(name)
        return plan(
            self._machine,
            workers=workers,
            device=settings.device,
            workers_per_gpu=settings.workers_per_gpu,
        )

    def _bounds(self) -> Iterator[Sum]:
        """Yield what all deployments hold of the bodies of calls, and how much that may be."""
        limits = {name: self._settings.of(name).max_queue_bytes for name in self._refs}
        workers = {name: self._settings.of(name).workers for name in self._refs}
        waiting = sum(limits.values()) if all(limits.values()) else 0
        at_workers = sum(limits[name] * workers[name] for name in limits) if waiting else 0
        held = self.deployments.values
        yield Sum("queued", waiting, lambda: sum(each.queued_bytes for each in held()))
        yield Sum("validating", waiting, lambda: sum(each.validating_bytes for each in held()))
        yield Sum("working", at_workers, lambda: sum(each.working_bytes for each in held()))

    def _make_folder(self) -> str:
        try:
            if not is_text(path := self._settings.temp_dir or tempfile.gettempdir()):
                raise SettingsError(f"The temporary folder {shown(path)} has bytes that are no UTF-8: set TMPDIR.")
            return self._stack.enter_context(run_folder(self._settings.temp_dir))
        except OSError as error:
            raise SettingsError(
                f"temp_dir is {self._settings.temp_dir!r}, where no folder can be made: {error.strerror}."
            ) from error

    def _deployment(self, name: str) -> Deployment:
        slots = [Slot(make, place.gpu) for place, make in self._places(self._refs[name])]
        limits, metrics = limits_of(self._settings.of(name)), self._metrics.deployment(name)
        return Deployment(
            name,
            slots,
            limits=limits,
            metrics=metrics,
            gpus=self._gpus,
            stalls=self.stalls,
            supervisor=self.supervisor,
        )

    def _cache(self, name: str) -> Cache:
        settings, metrics = self._settings.of(name), self._metrics.cache(name)
        return Cache(self.deployments[name], size=settings.cache_size, ttl_s=settings.cache_ttl_s, metrics=metrics)

    def _places(self, ref: ModelRef) -> list[tuple[Placement, MakeReplica]]:
        """Return where each worker of a model runs, and what makes it."""
        placements = self._placements[ref.name]
        return [(place, self._maker(self._spec(ref, number, place))) for number, place in enumerate(placements)]

    def _maker(self, spec: WorkerSpec) -> MakeReplica:
        def make_replica(generation: int) -> Replica:
            named = spec if not generation else msgspec.structs.replace(spec, name=f"{spec.name}.{generation}")
            return self._backend.replica(named)

        return make_replica

    def _spec(self, ref: ModelRef, number: int, place: Placement) -> WorkerSpec:
        settings = self._settings.of(ref.name)
        options = WorkerOptions(
            unknown_arguments=settings.unknown_arguments,
            nan_answers=settings.nan_answers,
            log_level=settings.log_level,
            log_format=settings.log_format,
            max_batch_size=settings.max_batch_size,
            max_concurrency=settings.max_concurrency,
            max_answer_bytes=settings.max_answer_bytes,
            gpu_memory_fraction=settings.gpu_memory_fraction,
        )
        return WorkerSpec(
            f"{ref.name}-{number}",
            ref,
            place,
            options,
            python=settings.python,
            environment={**self._environment, **settings.environment},
            load_timeout_s=settings.load_timeout_s,
            warm_timeout_s=settings.warm_timeout_s,
        )


def _told(log_level: str) -> str:
    """Return the level of a training's own log, which is for those who train: the operator may want to know less."""
    return "info" if log_level in ("warning", "error") else log_level
