"""Builds the parts of a server, owns their life on one exit stack, and runs it.

settings -> logs -> socket open -> fleet: workers spawned, loaded, warm -> ready
SIGTERM  -> no new calls -> running calls get grace_s -> sockets closed -> workers ended -> files gone
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp.http_parser
from aiohttp import web

from modelserve import logs
from modelserve.discovery import ModelRef, carry
from modelserve.errors import NoModel, PortInUse, SettingsError, StartError
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet, Status
from modelserve.settings import Settings, load_settings
from modelserve.web.app import Parts, build_app

__all__ = ["Server", "run", "serve"]

logger = logging.getLogger(__name__)

# Handlers that are still at it when the grace is over have their answers by then, and only need to write them.
HANDLERS_S = 2.0

# How long a connection is read on after a refusal, so that the client sees the answer before the connection ends.
LINGER_S = 1.0

BACKLOG = 1024

# New objects between two passes of the collector over the young ones. Python's default of 700 is a pass every few
# requests, which cost the server 4 % of its time (perf, benchmarks at 64 connections).
COLLECT_AFTER = 20_000


class Server:
    """A server as an async context: it listens when entered, and all it started has ended when left.

    Args:
        refs: The models to serve.
        settings: How.

    Raises:
        PortInUse: On entering, when the address is taken.
        SettingsError: On entering, when the address, the device or the folder cannot be used.
    """

    def __init__(self, refs: Sequence[ModelRef], settings: Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self.metrics = Metrics()
        self.fleet = Fleet(refs, settings, self.metrics)
        self.url = ""

    async def __aenter__(self) -> Server:
        _require_c_parser()
        async with contextlib.AsyncExitStack() as stack:
            listening = stack.enter_context(_listen(self._settings.host, self._settings.port))
            await stack.enter_async_context(self.fleet)
            runner = web.AppRunner(
                build_app(Parts(self.fleet, self._settings, self.metrics)),
                access_log=None,
                handler_cancellation=True,  # a client that leaves takes its queued call with it
                auto_decompress=False,
                lingering_time=LINGER_S,
                shutdown_timeout=HANDLERS_S,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening, backlog=BACKLOG).start()
            self.url = _url(self._settings, listening)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def started(self) -> dict[str, str]:
        """Wait until every deployment is ready or has failed, and return its status by name."""
        await self.fleet.started()
        return {name: deployment.status.value for name, deployment in self.fleet.deployments.items()}

    async def drain(self) -> None:
        """Refuse new calls and give the running ones their grace."""
        await self.fleet.drain(self._settings.grace_s)


def run(
    refs: Sequence[ModelRef],
    settings: Settings,
    *,
    on_listening: Callable[[str, list[str]], None] = lambda url, names: None,
    on_ready: Callable[[str, dict[str, str]], None] = lambda url, statuses: None,
) -> int:
    """Run a server until SIGTERM or SIGINT and return the exit status; a second signal skips the waiting.

    Args:
        refs: The models to serve.
        settings: How.
        on_listening: Called with the address and the models' names once the socket is open.
        on_ready: Called with the address and each model's status once all have started or failed.

    Raises:
        StartError: The server cannot start, or no model could.
    """
    import uvloop

    def settle(url: str, statuses: dict[str, str]) -> None:
        gc.collect()
        gc.freeze()  # what starting made stays for good: keep the collector from walking it again and again
        gc.set_threshold(COLLECT_AFTER, 20, 20)
        on_ready(url, statuses)

    logs.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stops = asyncio.Queue[None]()
        for number in (signal.SIGTERM, signal.SIGINT):
            runner.get_loop().add_signal_handler(number, stops.put_nowait, None)
        runner.run(_run(refs, settings, stops, on_listening, settle))
    return 0


def serve(model: Any, **settings: Any) -> None:
    """Serve a model from Python until interrupted: ``modelserve.serve(MyModel, port=5000)``.

    The model may be defined anywhere, in a notebook cell too: it is carried to the workers by value. A worker does not
    run the calling program again, so a script needs no ``if __name__ == "__main__":``. Blocks until the server has
    stopped; in a notebook, interrupt the cell.

    Args:
        model: A module, a class (instantiated in each worker) or an object that provides the contract's methods, or
            the name of an installed model.
        settings: Any setting by its name; those not given come from the environment, the file or their default.

    Raises:
        SettingsError: A setting is unknown or wrong.
        StartError: The server cannot start, or the model could not.
    """
    refs, chosen = [carry(model)], load_settings(settings, os.environ)
    if _has_running_loop():
        _run_beside(refs, chosen)
    else:
        run(refs, chosen, on_ready=_say_ready)


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_beside(refs: Sequence[ModelRef], settings: Settings) -> None:
    """Run in a thread, for where this one has an event loop that runs already, as it has in a notebook."""
    import uvloop

    logs.configure(settings.log_level, settings.log_format)
    loop, stops = uvloop.new_event_loop(), asyncio.Queue[None]()

    def run_there() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_run(refs, settings, stops, lambda url, names: None, _say_ready))

    with ThreadPoolExecutor(1, "modelserve") as pool:
        ended = pool.submit(run_there)
        while True:
            try:
                return ended.result()
            except KeyboardInterrupt:
                loop.call_soon_threadsafe(stops.put_nowait, None)


async def _run(
    refs: Sequence[ModelRef],
    settings: Settings,
    stops: asyncio.Queue[None],
    on_listening: Callable[[str, list[str]], None],
    on_ready: Callable[[str, dict[str, str]], None],
) -> None:
    """Serve until ``stops`` has an item; a second one skips the waiting."""
    stop = asyncio.ensure_future(stops.get())
    async with Server(refs, settings) as server:
        on_listening(server.url, list(server.fleet.deployments))
        starting = asyncio.ensure_future(server.started())
        await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _require_models(refs, starting.result(), strict=settings.strict)
            on_ready(server.url, starting.result())
            await stop
        starting.cancel()
        logger.info("stopping; running calls have %g seconds to finish", settings.grace_s)
        again = asyncio.ensure_future(stops.get())
        draining = asyncio.ensure_future(server.drain())
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, again):
            task.cancel()
        await asyncio.wait([draining, again])
    logger.info("stopped")


def _require_models(refs: Sequence[ModelRef], statuses: Mapping[str, str], *, strict: bool) -> None:
    failed = [ref for ref in refs if statuses[ref.name] == Status.FAILED.value]
    if failed and (strict or len(failed) == len(statuses)):
        names = ", ".join(ref.name for ref in failed)
        known = failed[0].name if failed[0].kind == "entry_point" else failed[0].target
        more = "" if failed[0].kind == "pickled" else f", and 'modelserve check {known}' more"
        raise NoModel(f"{names} could not be started: the log above says why{more}.")


def _require_c_parser() -> None:
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise SettingsError(
            "aiohttp runs on its pure-Python HTTP parser, which lets smuggled requests pass: unset "
            "AIOHTTP_NO_EXTENSIONS, or install aiohttp from a wheel."
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # the latter for a name that is no domain name
        why = getattr(error, "strerror", None) or "it is no host name"
        raise SettingsError(f"host is {host!r}, which is no address of this machine: {why}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from error
    return listening


def _cannot_listen(host: str, port: int, error: OSError) -> StartError:
    if error.errno in (98, 48):  # EADDRINUSE on Linux and on BSD
        return PortInUse(f"{host}:{port} is in use already; stop the other program or choose another --port.")
    return SettingsError(f"Cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port.")


def _url(settings: Settings, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{settings.base_path}"


def _say_ready(url: str, statuses: dict[str, str]) -> None:
    logger.info("ready on %s, page at %s/api", url, url)
