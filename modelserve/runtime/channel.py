"""The server's end of the socket pair to one worker.

    calls --> frames.encode --> [socket pair] --> worker        listener <-- frames.Receiver <-- [socket pair]

A large body is sent from the object that holds it and received into the one that keeps it. Of what is sent in one turn
of the loop, the first frame goes out at once, so that an idle worker starts, and the rest together in one system call.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from modelserve import frames
from modelserve.messages import (
    Answer,
    Answers,
    Calls,
    Cancel,
    Check,
    Checked,
    Description,
    Failed,
    FolderGone,
    More,
    Part,
    Ready,
    Scrape,
    Scraped,
    Stage,
    decode_server_bound,
    sendable,
)
from modelserve.runtime.describing import check_description
from modelserve.runtime.interface import Listener, Misbehaved, Replica, StartFailed

__all__ = ["SOCKET_BUFFER_BYTES", "Channel", "pair"]

logger = logging.getLogger(__name__)

# A body of some megabytes then passes in few system calls; see the table in docs/explanation/workers.md.
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024

# What the part of a training says around what the model returned, or an event's words around its data.
ROOM_BYTES = 1024

# In the order in which a worker comes to them.
STAGES = ("load", "describe", "warm")

Message = Answers | Part | Stage | Ready | Failed | Checked | Scraped | FolderGone


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return ends


class Channel(asyncio.BufferedProtocol):
    """Sends to one worker, and tells a listener what comes from it.

    Args:
        replica: In whose name the listener is told.
        listener: Who is told of answers and parts.
        on_stage: Called with each stage that the worker's start comes to.
        on_closed: Called once the channel has closed, by either side; may be replaced.
        answer_bytes: Most that a body of an answer may be.

    ``on_checked`` is called with the answer to each call that was to be checked, and ``on_scraped`` with what the model
    counts itself; they may be replaced too. So may ``checks_due``, which says how many of the former may come.

    Attributes:
        trouble: What the worker did wrong, where the channel was closed for that, to follow "the worker".
    """

    def __init__(
        self,
        replica: Replica,
        listener: Listener,
        on_stage: Callable[[str], None],
        on_closed: Callable[[], None],
        *,
        answer_bytes: int = 0,
    ) -> None:
        self._replica = replica
        self._listener = listener
        self._on_stage = on_stage
        self._answer_bytes = (answer_bytes or frames.FRAME_LIMIT_BYTES) + ROOM_BYTES
        self._receiver = frames.Receiver(decode_server_bound, self._bounds)
        self._stage = -1
        self._tell: Callable[[Message], None] = self._tell_start
        self._transport: asyncio.Transport | None = None
        self._gathered: list[frames.Body] | None = None  # from the first frame of a turn of the loop to its end
        self._loop = asyncio.get_running_loop()
        self._finished = False
        self.closed = False
        self.trouble = ""
        self.checks_due: Callable[[], int] = _none
        self.on_closed = on_closed
        self.on_checked: Callable[[Answer], None] = _ignore
        self.on_scraped: Callable[[Scraped], None] = _ignore
        self.started: asyncio.Future[Description] = self._loop.create_future()

    def send(self, message: Calls | Cancel | More | Check | Scrape) -> None:
        """Send a message; without a word where the worker is dead already, which may not be known here yet."""
        self.write(frames.encode(message))

    def write(self, buffers: list[frames.Body]) -> None:
        """Send buffers in order, none of which may be changed before it is sent; nothing goes out after ``finish``."""
        if self._finished:
            return
        if self._gathered is not None:
            self._gathered += buffers
        else:
            self._gathered = []
            self._loop.call_soon(self._flush)
            self._pass(buffers)

    def finish(self) -> None:
        """Tell the worker that no more calls come; what it still answers is read."""
        self._flush()
        self._finished = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent: the worker is dead."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receiver.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for message in self._receiver.received(nbytes):
                self._tell(message)
        except frames.FrameError as error:
            self._break(f"sent what cannot be read: {error}")
        except Misbehaved as error:
            self._break(str(error))
        except Exception:  # the border to the worker: what it says must not end anything but itself
            logger.exception("cannot take what worker %s has sent", self._replica.name)
            self._break("sent what the server could not take")

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        on_closed = self.on_closed
        self._let_go()
        on_closed()

    def _let_go(self) -> None:
        """Drop what refers back to us, so that a dead worker's buffers go with it and not with a later collection."""
        self._transport = None
        self._on_stage = self.on_closed = self.on_checked = self.on_scraped = self._tell = _ignore
        self.checks_due = _none
        del self._replica, self._listener, self._receiver

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered:
            self._pass(gathered)

    def _pass(self, buffers: list[frames.Body]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            if len(buffers) == 1:
                self._transport.write(buffers[0])
            else:
                self._transport.writelines(buffers)
        except Exception:  # what of it has gone out nobody knows, so nothing sensible can follow
            logger.exception("cannot write to worker %s", self._replica.name)
            self._break("could not be written to")

    def _break(self, trouble: str) -> None:
        """Close for what the worker did: nothing that it says is taken any more."""
        self.trouble = self.trouble or trouble
        self._tell = _ignore
        self.abort()

    def _bounds(self) -> frames.Bounds:
        """Return what a frame may be now; asked only for those that are large."""
        if self._tell == self._tell_start:
            return frames.Bounds(frames.START_LIMIT_BYTES, 0, 0)
        due = self._listener.due(self._replica) + self.checks_due()
        return frames.Bounds(frames.HEAD_LIMIT_BYTES, due, self._answer_bytes)

    def _tell_start(self, message: Message) -> None:
        """Take what comes before the worker is ready: its stages in their order, and how its start has ended."""
        if isinstance(message, Stage) and message.stage in STAGES[self._stage + 1 :]:
            self._stage = STAGES.index(message.stage)
            self._on_stage(message.stage)
        elif isinstance(message, Ready):
            check_description(message.description)
            self._tell = self._tell_on
            if not self.started.done():  # it may have taken too long
                self.started.set_result(message.description)
        elif isinstance(message, Failed) and message.stage in STAGES:
            self._tell = _ignore
            if not self.started.done():
                told = Failed(message.stage, sendable(message.message), sendable(message.traceback))
                self.started.set_exception(StartFailed(told))
        else:
            raise Misbehaved(f"said {type(message).__name__} before it was ready, when no worker says so")

    def _tell_on(self, message: Message) -> None:
        """Take what comes from a worker that is ready."""
        if type(message) is Answers:
            self._listener.answered(self._replica, message)
        elif type(message) is Part:
            self._listener.part(self._replica, message)
        elif type(message) is Checked:
            self.on_checked(message.answer)
        elif type(message) is Scraped:
            self.on_scraped(message)
        elif type(message) is FolderGone:
            self._listener.folder_gone(self._replica)
        else:
            raise Misbehaved(f"said {type(message).__name__} although it was ready already")


def _none() -> int:
    return 0


def _ignore(*arguments: object) -> None:
    """Take the place of a callback that is not wanted any more."""
