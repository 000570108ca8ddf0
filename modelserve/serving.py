"""A server that a Python program starts: ``serve`` until it is stopped, ``running`` for as long as a block.

serve    in the main thread      as the command line does, with its signals
         in another              until Ctrl-C, or until the program ends where that thread is a daemon
running  in a thread of its own  ready at the beginning of the block, gone behind its end

Where an event loop runs in the calling thread, as in a notebook, ``serve`` takes a thread of its own as well.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelserve import logs
from modelserve.discovery import ModelRef, carry
from modelserve.errors import NoModel, StartError
from modelserve.removal import remove_tree
from modelserve.server import Hooks, Orders, run, serve_until_stopped
from modelserve.settings import Settings, load_settings
from modelserve.supervised import Supervisor

__all__ = ["RunningServer", "running", "serve"]

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunningServer:
    """A server that is ready.

    ``url`` is its address, with the port that it has and the base path, such as ``http://127.0.0.1:34567``; ``name`` is
    that of the model's deployment, as in ``/v2/models/NAME/predict/``.
    """

    url: str
    name: str


def serve(model: Any, **settings: Any) -> None:
    """Serve a model from Python until interrupted: ``modelserve.serve(MyModel, port=5000)``.

    The model may be defined anywhere, in a notebook cell too: it is carried to the workers by value. A worker does not
    run the calling program again, so a script needs no ``if __name__ == "__main__":``. Blocks until the server has
    stopped; in a notebook, interrupt the cell. Called in a thread, it serves until Ctrl-C, or until the program ends
    where the thread is a daemon.

    Args:
        model: A module, a class (instantiated in each worker) or an object that provides the contract's methods, or
            the name of an installed model.
        settings: Any setting by its name; those not given come from the environment, the file or their default.

    Raises:
        SettingsError: A setting is unknown or wrong.
        StartError: The server cannot start, or the model could not.
    """
    refs, chosen = [carry(model)], load_settings(settings, os.environ)
    has_loop, is_main = _has_running_loop(), threading.current_thread() is threading.main_thread()
    if is_main and not has_loop:
        run(refs, chosen, Hooks(on_ready=_say_ready))
        return
    logs.configure(chosen.log_level, chosen.log_format)
    supervisor = Supervisor()
    server = _Beside(refs, chosen, supervisor)
    if not is_main:
        server.end_with_program(is_daemon=threading.current_thread().daemon)
    with logs.aside(supervisor):
        server.start() if has_loop else server.run()
        server.wait()
    server.result()


@contextlib.contextmanager
def running(model: Any, **settings: Any) -> Iterator[RunningServer]:
    """Serve a model while a block runs, in a thread beside it: ``with modelserve.running(MyModel) as server:``.

    The server is ready when the block begins, and has ended with its workers when the block is left. It takes a free
    port, and keeps jobs in a folder that goes with it, where nothing says otherwise. Several may run at once.

    Args:
        model: As for ``serve``.
        settings: As for ``serve``.

    Yields:
        What says where it is.

    Raises:
        SettingsError: A setting is unknown or wrong.
        StartError: The server cannot start, or the model could not; the message says why.
    """
    refs = [carry(model)]
    with _data_folder() as data_dir:
        own = {"port": 0, "data_dir": data_dir, "log_level": "warning"}
        chosen = load_settings(settings, os.environ, defaults=own)
        with logs.borrowed(chosen.log_level, chosen.log_format):
            server = _Beside(refs, chosen, Supervisor())
            server.end_with_program(is_daemon=True)
            server.start()
            try:
                yield server.ready()
            finally:
                server.stop()
                if server.wait():
                    raise KeyboardInterrupt
            server.result()


@contextlib.contextmanager
def _data_folder() -> Iterator[str]:
    """Make a folder that is removed at the end of the block, but not by a child that the program has forked."""
    folder, ours = tempfile.mkdtemp(prefix="modelserve-data-"), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == ours:
            with contextlib.suppress(OSError):
                remove_tree(folder)


class _Beside:
    """One server with an event loop of its own, in whatever thread calls :meth:`run`.

    A child that the program has forked has the object, but neither the thread nor the server: there, nothing happens.
    """

    def __init__(self, refs: Sequence[ModelRef], settings: Settings, supervisor: Supervisor) -> None:
        import uvloop

        self._refs = refs
        self._settings = settings
        self._supervisor = supervisor
        self._process = os.getpid()
        self._loop = uvloop.new_event_loop()
        self._orders = Orders()
        self._ready: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def start(self) -> None:
        """Run it in a thread of its own."""
        threading.Thread(target=self.run, name="modelserve", daemon=True).start()

    def run(self) -> None:
        """Serve until it is stopped. How that went is in :meth:`result`."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                hooks = Hooks(on_ready=self._note_ready)
                runner.run(serve_until_stopped(self._refs, self._settings, self._orders, hooks, self._supervisor))
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def ready(self) -> RunningServer:
        """Wait until it is ready.

        Raises:
            StartError: It cannot start, or its model could not.
        """
        either: list[concurrent.futures.Future[Any]] = [self._ready, self._ended]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if not self._ready.done():
            self.result()
        return RunningServer(self._ready.result(), self._refs[0].name)

    def stop(self) -> None:
        """Have it stop; the second time without waiting for what runs. Nothing happens where it has ended."""
        if not self._is_ours():
            return
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._orders.stops.put_nowait, None)

    def wait(self) -> bool:
        """Wait until it has ended, and tell whether Ctrl-C came meanwhile, which stops it."""
        is_interrupted = False
        while self._is_ours() and not self._ended.done():
            try:
                concurrent.futures.wait([self._ended])
            except KeyboardInterrupt:
                is_interrupted = True
                self.stop()
        return is_interrupted

    def result(self) -> None:
        """Return once it has ended.

        Raises:
            StartError: It could not start, or its model could not.
        """
        if not self._is_ours():
            return
        try:
            self._ended.result()
        except NoModel as error:
            origin, _, sentence = error.log.partition(": ")
            why = sentence if origin.startswith("modelserve.errors.") else error.log  # a sentence of ours says it all
            raise NoModel(f"{self._refs[0].name} could not be started: {why}" if why else error.message) from None

    def _is_ours(self) -> bool:
        return os.getpid() == self._process

    def end_with_program(self, *, is_daemon: bool) -> None:
        """Have the program wait for it at its end, or stop it then, while the server can still work.

        Python's pools of threads take nothing more once the program ends, which they learn in this same way:
        https://github.com/python/cpython/blob/3.11/Lib/concurrent/futures/thread.py. A server needs them.

        Raises:
            StartError: The program ends already.
        """
        found = weakref.ref(self)

        def end() -> None:
            server = found()
            if server is not None:
                if is_daemon or getattr(sys, "last_type", None) is KeyboardInterrupt:
                    server.stop()
                server.wait()

        try:
            threading._register_atexit(end)  # type: ignore[attr-defined]
        except RuntimeError as error:
            raise StartError("The program ends: its main thread must run on, as with thread.join().") from error

    def _note_ready(self, url: str, statuses: Mapping[str, str]) -> None:
        _say_ready(url, statuses)
        self._ready.set_result(url)


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _say_ready(url: str, statuses: Mapping[str, str]) -> None:
    logger.info("ready on %s, page at %s/api", url, url)
