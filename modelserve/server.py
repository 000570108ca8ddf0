"""Builds the parts of a server, owns their life on one exit stack, and runs it.

settings -> logs -> socket open -> fleet: workers spawned, loaded, warm -> ready     store of jobs opened meanwhile
SIGTERM  -> no new calls -> running calls get grace_s, trainings train_cancel_s of it, and their ends are written down
         -> sockets closed -> store closed -> workers ended -> files gone
SIGHUP   -> each deployment in turn: new workers beside the old ones -> warm -> calls go to them -> old ones end
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from aiohttp import web

from modelserve import control, logs
from modelserve.access.keeping import keep_roll
from modelserve.access.roll import Roll
from modelserve.buffers import keep_freed_memory
from modelserve.certificate import Certificate, find_certificate
from modelserve.discovery import ModelRef
from modelserve.errors import ModelserveError, NoModel, SettingsError, StoreUnreachable
from modelserve.jobs.data_folder import data_folder
from modelserve.jobs.runner import Runner
from modelserve.jobs.service import keep_jobs
from modelserve.keeping_logs import keep_logs
from modelserve.listening import address_of, are_loopback, listen, require_c_parser, require_clients
from modelserve.logs.kept import KeptLogs
from modelserve.metrics import Metrics
from modelserve.open_files import count_connections, raise_limit
from modelserve.runtime.caches import make_cache_folder
from modelserve.runtime.fleet import Fleet, Status
from modelserve.runtime.hearing import Hearing
from modelserve.settings import Settings
from modelserve.stalls import Stalls
from modelserve.supervised import Supervisor
from modelserve.threads import Threads
from modelserve.tracing import Tracing, start_tracing
from modelserve.web.app import Parts, build_app
from modelserve.web.connection import Patience
from modelserve.web.control import build_control, connections
from modelserve.web.deliveries import Callbacks, require_secret
from modelserve.web.expiry import end_expired
from modelserve.web.front import Front
from modelserve.web.health import Health
from modelserve.web.rooms import Rooms

__all__ = ["Hooks", "Orders", "Server", "run", "serve_until_stopped"]

logger = logging.getLogger(__name__)

# Handlers that are still at it when the grace is over have their answers by then, and only need to write them. Their
# connections are ended then, so that aiohttp, which would wait as long twice more, has nobody to wait for.
HANDLERS_S = 1.5
ENDED_S = 0.1

# They end a program that has no handler for them. A handler and not SIG_IGN, which the workers would inherit.
HARMLESS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE)

# New objects between two passes of the collector over the young ones. Python's default of 700 is a pass every few
# requests, which cost the server 4 % of its time (perf, benchmarks at 64 connections).
COLLECT_AFTER = 20_000


class Server:
    """A server as an async context: it listens when entered, and all it started has ended when left.

    Args:
        refs: The models to serve.
        settings: How.
        supervisor: Runs the server's own threads and tasks; one of its own by default.

    Raises:
        PortInUse: On entering, when the address is taken.
        SettingsError: On entering, when the address, the certificate, the device or the folder cannot be used, when
            too few files may be open, when there may be callbacks and no secret to sign them with, or when others
            could reach it and there are no clients.
        StartError: On entering, with exit code 5, when the store of jobs cannot be used.
    """

    def __init__(self, refs: Sequence[ModelRef], settings: Settings, *, supervisor: Supervisor | None = None) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self.metrics = Metrics(seldon=settings.seldon_metrics)
        for bound in logs.bounds():
            self.metrics.watch_held(bound)
        self._stalls = Stalls()
        self.metrics.watch_stalls(lambda: self._stalls.lost_s)
        self.metrics.watch_tasks(lambda: len(asyncio.all_tasks()))
        self.supervisor = supervisor or Supervisor()
        self.metrics.watch_failures(self.supervisor.failures)
        self._hearing = Hearing(self.supervisor)
        self.fleet = Fleet(
            refs,
            settings,
            self.metrics,
            hearing=self._hearing,
            supervisor=self.supervisor,
            stalls=self._stalls,
            make_cache=lambda: _make_cache(settings),
        )
        self._names = [ref.name for ref in refs]
        self._rooms = Rooms.of(settings, self._names)
        for bound in self._rooms.bounds():
            self.metrics.watch_held(bound)
        self._logs: KeptLogs
        self._tracing: Tracing | None = None
        self.jobs: Runner | None = None
        self.roll = Roll()
        self._certificate: Certificate | None = None
        self._front: Front | None = None
        self.url = ""

    async def __aenter__(self) -> Server:
        require_c_parser()
        require_secret(self._settings)
        self._certificate = find_certificate(self._settings)
        connections = count_connections(self._settings.max_connections)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.supervisor.hooked())
            self._stalls.start()
            stack.callback(self._stalls.stop)
            listening = [stack.enter_context(each) for each in listen(self._settings.host, self._settings.port)]
            self._logs = stack.enter_context(keep_logs(self._settings, self._names, self.supervisor))
            self.metrics.watch_log(lambda: logs.lost_records() + self._logs.not_written + self._hearing.dropped)
            self.metrics.watch_held(self._hearing.bound)
            if self._logs.bound is not None:
                self.metrics.watch_held(self._logs.bound)
            if (tracing := start_tracing(os.environ, {})) is not None:
                stack.push_async_callback(asyncio.to_thread, tracing.close)
            self._tracing = tracing
            self._hearing.start()
            stack.callback(self._hearing.close)
            await stack.enter_async_context(self.fleet)
            self.roll = await stack.enter_async_context(keep_roll(self._settings, self.supervisor))
            require_clients(listening, self._settings, has_clients=not self.roll.is_empty)
            # Only now: a server that is refused must not have begun with what waits in the store.
            self.jobs = await stack.enter_async_context(keep_jobs(self.fleet, self._settings, tracing))
            if self.jobs is not None:
                self.metrics.watch_jobs(self.jobs.counts)
                self.metrics.watch_held(self.jobs.held)
                await self._call_back(stack, self.jobs)
            await self._open_door(stack, listening, connections)
            await self._open_control(stack, listening[0].getsockname()[1])
            self._stack = stack.pop_all()
        return self

    async def _open_door(
        self, stack: contextlib.AsyncExitStack, listening: Sequence[socket.socket], connections: int
    ) -> None:
        """Serve HTTP, or HTTPS where there is a certificate, on sockets that listen."""
        is_local = are_loopback(listening)
        if not is_local and not self._settings.allowed_hosts:
            logger.warning("the server answers to any host name; name its own with --allowed-hosts")
        parts = Parts(self.fleet, self._settings, self.metrics, self.jobs, self.roll, is_local, self._logs)
        app = build_app(dataclasses.replace(parts, tracing=self._tracing, rooms=self._rooms))
        # A client that leaves takes its queued call with it.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=ENDED_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None, "it is set up"
        front = Front(
            runner.server,
            Health(self.fleet, self.metrics, self.roll),
            self._settings.base_path,
            max_connections=connections,
            patience=Patience(self._settings.header_timeout_s, self._settings.body_timeout_s, self._stalls),
            rooms=self._rooms,
            metrics=self.metrics.connections,
            supervisor=self.supervisor,
        )
        stack.push_async_callback(front.close)
        stack.push_async_callback(front.finish, HANDLERS_S)
        self._front = front
        site = await front.listen(listening, None if self._certificate is None else self._certificate.context)
        stack.callback(site.close)
        expiring = self.supervisor.task("expiry", functools.partial(end_expired, self.roll, front.requests))
        stack.callback(expiring.cancel)
        self.url = address_of(listening[0], "http" if self._certificate is None else "https") + self._settings.base_path

    async def _call_back(self, stack: contextlib.AsyncExitStack, jobs: Runner) -> None:
        """Post jobs that have ended, where any host is allowed; what is owed stays owed where none is."""
        if self._settings.callback_hosts:
            callbacks = Callbacks(jobs.store, self._settings, self.metrics.called_back, supervisor=self.supervisor)
            jobs.watch_callbacks((await stack.enter_async_context(callbacks)).wake)

    async def _open_control(self, stack: contextlib.AsyncExitStack, port: int) -> None:
        """Open the operator's door. It is not worth a failed start: where it cannot be, SIGHUP still reloads."""
        try:
            listening = stack.enter_context(control.bound(port))
        except control.ControlError as error:
            logger.warning("%s 'modelserve status' and 'reload' cannot reach this server.", error.message)
            return
        door = build_control(self.fleet, self.url, self.jobs, self._logs)
        runner = web.AppRunner(door, access_log=None, shutdown_timeout=0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None, "it is set up"
        patience = Patience(self._settings.header_timeout_s, self._settings.body_timeout_s)
        connect = connections(runner.server, patience, self._rooms)
        site = await asyncio.get_running_loop().create_unix_server(connect, sock=listening)
        stack.callback(site.close)

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def started(self) -> dict[str, str]:
        """Wait until every deployment is ready or has failed, and return its status by name."""
        await self.fleet.started()
        return {name: deployment.status.value for name, deployment in self.fleet.deployments.items()}

    async def reload(self) -> None:
        """Read the certificate again and reload every deployment in turn; the log says of each how it went."""
        logger.info("reloading")
        if self._certificate is not None:
            self._reload_certificate(self._certificate)
        with contextlib.suppress(ModelserveError):
            await self.fleet.reload()

    def _reload_certificate(self, certificate: Certificate) -> None:
        try:
            certificate.reload()
        except SettingsError as error:
            logger.error("%s The old certificate stays.", error.message)

    async def drain(self) -> None:
        """Refuse new calls and jobs, give the running ones their grace, and end the rest within two seconds more."""
        since, grace_s = time.monotonic(), self._settings.grace_s
        if self._front is not None:
            self._front.end_soon()
        draining = [self.fleet.drain(grace_s)]
        if self.jobs is not None:
            draining.append(self.jobs.drain(grace_s))
        await asyncio.gather(*draining)
        ending = [self.fleet.end(is_late=time.monotonic() - since >= grace_s)]
        if self._front is not None:
            ending.append(self._front.finish(HANDLERS_S))
        await asyncio.gather(*ending)


def _make_cache(settings: Settings) -> str:
    data_dir = None
    with contextlib.suppress(StoreUnreachable):  # a user without a home; whether jobs need one is told elsewhere
        data_dir = data_folder(settings.data_dir)
    return make_cache_folder(data_dir, settings.temp_dir)


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What else happens while a server runs.

    Args:
        on_listening: Called with the address and the models' names once the socket is open.
        on_ready: Called with the address and each model's status once all have started or failed.
        beside: Runs from then on, and is cancelled when the server stops.
    """

    on_listening: Callable[[str, list[str]], None] = lambda url, names: None
    on_ready: Callable[[str, dict[str, str]], None] = lambda url, statuses: None
    beside: Callable[[Fleet], Awaitable[None]] | None = None


def run(refs: Sequence[ModelRef], settings: Settings, hooks: Hooks | None = None) -> int:
    """Run a server until SIGTERM or SIGINT and return the exit status; a second signal skips the waiting.

    SIGHUP reloads every deployment. Other signals that would end a program by default have no effect.

    Args:
        refs: The models to serve.
        settings: How.
        hooks: What else happens.

    Raises:
        StartError: The server cannot start, or no model could.
    """
    import uvloop

    # Whoever started us may ignore how children end, and then so would we, and may have blocked what stops us.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
    logs.configure(settings.log_level, settings.log_format)
    keep_freed_memory()
    raise_limit(settings.max_connections)
    house = Supervisor()
    with logs.aside(house), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop, orders = runner.get_loop(), Orders()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, orders.stops.put_nowait, None)
        loop.add_signal_handler(signal.SIGHUP, orders.reload.set)
        for number in HARMLESS:
            loop.add_signal_handler(number, lambda: None)
        runner.run(serve_until_stopped(refs, settings, orders, _settling(hooks or Hooks()), house))
    return 0


def _settling(hooks: Hooks) -> Hooks:
    """Have the collector pass over what starting made, which stays for good, once all is ready."""

    def on_ready(url: str, statuses: dict[str, str]) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 20)
        hooks.on_ready(url, statuses)

    return dataclasses.replace(hooks, on_ready=on_ready)


class Orders:
    """What the signals have asked for and has not been done yet."""

    def __init__(self) -> None:
        self.stops = asyncio.Queue[None]()
        self.reload = asyncio.Event()  # however often it is asked for meanwhile, one more does


async def serve_until_stopped(
    refs: Sequence[ModelRef], settings: Settings, orders: Orders, hooks: Hooks, supervisor: Supervisor
) -> None:
    """Serve until there is a stop among the orders; a second one skips the waiting."""
    asyncio.get_running_loop().set_default_executor(Threads(name="asyncio"))
    stop = asyncio.ensure_future(orders.stops.get())
    async with Server(refs, settings, supervisor=supervisor) as server:
        hooks.on_listening(server.url, list(server.fleet.deployments))
        starting = asyncio.ensure_future(server.started())
        await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _require_models(refs, server.fleet, strict=settings.strict)
            hooks.on_ready(server.url, starting.result())
            await _serve_until(stop, server, orders, hooks)
        starting.cancel()
        logger.info("stopping; running calls have %g seconds to finish", settings.grace_s)
        again = asyncio.ensure_future(orders.stops.get())
        draining = asyncio.ensure_future(server.drain())
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
        await _cancel([draining, again])
    logger.info("stopped")


async def _serve_until(stop: asyncio.Future[None], server: Server, orders: Orders, hooks: Hooks) -> None:
    """Wait for the first stop, and do meanwhile what runs beside the server."""

    tasks = {server.supervisor.task("reloading", functools.partial(_reload_on, orders, server))}
    if hooks.beside is not None:
        tasks.add(server.supervisor.task("watching sources", functools.partial(hooks.beside, server.fleet)))
    try:
        await asyncio.wait([stop])
    finally:
        await _cancel(tasks)


async def _reload_on(orders: Orders, server: Server) -> None:
    while True:
        await orders.reload.wait()
        orders.reload.clear()
        await server.reload()


async def _cancel(tasks: Iterable[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _require_models(refs: Sequence[ModelRef], fleet: Fleet, *, strict: bool) -> None:
    failed = [ref for ref in refs if fleet.deployments[ref.name].status is Status.FAILED]
    if failed and (strict or len(failed) == len(refs)):
        names = ", ".join(ref.name for ref in failed)
        known = failed[0].name if failed[0].kind == "entry_point" else failed[0].target
        more = "" if failed[0].kind == "pickled" else f", and 'modelserve check {known}' more"
        why = fleet.deployments[failed[0].name].failure
        raise NoModel(
            f"{names} could not be started: the log above says why{more}.", log="" if why is None else why.message
        )
