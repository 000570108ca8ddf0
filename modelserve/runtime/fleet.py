"""All deployments of one server: made from what discovery found, started, found by name, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from types import TracebackType

from modelserve.discovery import ModelRef
from modelserve.errors import NotFound, SettingsError
from modelserve.metrics import Metrics
from modelserve.runtime.deployment import Deployment, Status
from modelserve.runtime.devices import Placement, plan, this_machine
from modelserve.runtime.interface import Backend, WorkerOptions, WorkerSpec
from modelserve.runtime.process import LocalBackend
from modelserve.runtime.slot import Slot
from modelserve.settings import Settings

__all__ = ["Deployment", "Fleet", "Status"]

# Workers get this long to end by themselves when nothing runs on them any more.
WORKER_WAIT_S = 1.0


class Fleet:
    """The deployments of one server, as an async context: entering begins to start them, leaving ends every worker.

    Args:
        refs: The models, whose names are unique.
        settings: How to run them.
        metrics: Where to count; new ones by default.

    Raises:
        SettingsError: On entering, when the device or the temporary folder is not there.
    """

    def __init__(self, refs: Sequence[ModelRef], settings: Settings, metrics: Metrics | None = None) -> None:
        self._refs = refs
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._stack = contextlib.AsyncExitStack()
        self._starting: asyncio.Future[list[None]] | None = None
        self.deployments: dict[str, Deployment] = {}
        self.folder = ""

    async def __aenter__(self) -> Fleet:
        placements = plan(this_machine(), workers=self._settings.workers, device=self._settings.device)
        self.folder = self._make_folder()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        backend = await self._stack.enter_async_context(LocalBackend(self.folder))
        self.deployments = {ref.name: self._deployment(ref, backend, placements) for ref in self._refs}
        self._starting = asyncio.gather(*(deployment.start() for deployment in self.deployments.values()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        await asyncio.gather(*(deployment.stop(WORKER_WAIT_S) for deployment in self.deployments.values()))
        await self._stack.aclose()

    async def started(self) -> None:
        """Wait until every deployment is ready or has failed."""
        assert self._starting is not None, "enter the fleet first"
        await asyncio.shield(self._starting)

    async def drain(self, grace_s: float) -> None:
        """Take no more calls; wait up to ``grace_s`` seconds for those accepted, then answer the rest as failed."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
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

    def _make_folder(self) -> str:
        try:
            return tempfile.mkdtemp(prefix="modelserve-", dir=self._settings.temp_dir or None)
        except OSError as error:
            raise SettingsError(
                f"temp_dir is {self._settings.temp_dir!r}, where no folder can be made: {error.strerror}."
            ) from error

    def _deployment(self, ref: ModelRef, backend: Backend, placements: Sequence[Placement]) -> Deployment:
        settings = self._settings
        options = WorkerOptions(
            settings.unknown_arguments, settings.nan_answers, settings.log_level, settings.log_format
        )
        specs = [WorkerSpec(f"{ref.name}-{number}", ref, place, options) for number, place in enumerate(placements)]
        slots = [Slot(lambda spec=spec: backend.replica(spec)) for spec in specs]  # type: ignore[misc]
        return Deployment(ref.name, slots, max_queue=settings.max_queue, metrics=self._metrics.deployment(ref.name))
