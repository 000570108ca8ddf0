"""The child's main: pin, load, describe, warm, say Ready, then answer calls until the server closes the channel.

    channel --Calls--> Predictor --Answers--> channel

It runs in a process of its own, started by ``process.py``. It is the only file of the runtime that runs the contract,
and it imports neither aiohttp nor the command line. Nothing it sends is pickled.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
from multiprocess.connection import Connection

from modelserve import discovery, logs
from modelserve.messages import (
    Answer,
    Answers,
    Calls,
    Failed,
    FrameReader,
    Ready,
    decode_worker_bound,
    encode,
    sendable,
)
from modelserve.runtime import lifeline
from modelserve.runtime.interface import WorkerSpec

__all__ = ["Boot", "main"]

logger = logging.getLogger(__name__)

# As much as one recv takes; below the size from which malloc asks the kernel for fresh pages each time (128 KiB).
RECEIVE_BYTES = 65536

# Answers that are ready wait this long for the next of the same frame, so that fast calls share system calls.
GATHER_NS = 1_000_000

# The kernel's out-of-memory killer takes a worker long before the server; from -1000 to 1000, see proc(5).
OOM_SCORE_ADJ = 500


class Boot(msgspec.Struct, frozen=True):
    """What a worker is started with, besides its pipes. ``scratch`` is the folder for its temporary files."""

    spec: WorkerSpec
    scratch: str


class _StartError(Exception):
    """Carries the stage in which starting failed; the cause says why."""


def main(channel: socket.socket, life: Connection, begun: Any, boot: Boot) -> None:
    """Run a worker to its end. Returns when the server closes the channel, or when the model cannot start.

    Args:
        channel: The worker's end of the socket pair.
        life: The worker's end of the lifeline.
        begun: A shared 64-bit number, in which the worker counts the calls it has begun to run.
        boot: What else it is started with.
    """
    lifeline.hold(life.fileno())
    _settle_in(boot)
    try:
        predictor, description = _start_model(boot)
    except _StartError as error:
        channel.sendall(encode(_failed(str(error), error.__cause__)))
        raise SystemExit(1) from None
    gc.collect()
    gc.freeze()  # what loading made stays for good: keep the collector from walking it again and again
    channel.sendall(encode(Ready(description)))
    _answer_calls(channel, predictor, begun)


def _settle_in(boot: Boot) -> None:
    """Become what the plan says before any library of the model is loaded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then stops us
    os.dup2(2, 1)  # standard output belongs to the server
    faulthandler.enable()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(OOM_SCORE_ADJ))
    placement = boot.spec.placement
    with contextlib.suppress(OSError):  # a container may forbid it; the thread counts still hold
        os.sched_setaffinity(0, placement.cpus)
    os.environ.update(placement.missing_from(os.environ), TMPDIR=boot.scratch)
    logs.configure(boot.spec.options.log_level, boot.spec.options.log_format, worker=boot.spec.name)


def _start_model(boot: Boot) -> tuple[Any, Any]:
    with _stage("load"):
        model = discovery.load(boot.spec.ref)
    with _stage("describe"):
        # Imported after the model, so that a broken installation shows as the model's failure and not as a mute death.
        from modelserve.v2.predictor import Predictor

        predictor = Predictor(model, boot.spec.options.unknown_arguments, boot.spec.options.nan_answers, boot.scratch)
        description = predictor.describe(boot.spec.ref.name, boot.spec.ref.distribution)
    with _stage("warm"):
        predictor.warm()
    return predictor, description


@contextlib.contextmanager
def _stage(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # sys.exit in a model's import is its failure, not our end
        raise _StartError(name) from error


def _failed(stage: str, cause: BaseException | None) -> Failed:
    text = "".join(traceback.format_exception(cause))
    last = traceback.format_exception_only(cause)[-1].strip()
    return Failed(stage, sendable(last), sendable(text))


def _answer_calls(channel: socket.socket, predictor: Any, begun: Any) -> None:
    def begin(count: int) -> None:
        begun.value += count

    reader = FrameReader()
    answers: list[Answer] = []
    while data := channel.recv(RECEIVE_BYTES):
        since = time.monotonic_ns()
        for payload in reader.feed(data):
            calls: Calls = decode_worker_bound(payload)
            for answer in predictor.answers(calls.calls, begin):
                answers.append(answer)
                now = time.monotonic_ns()
                if now - since > GATHER_NS:
                    channel.sendall(encode(Answers(answers, now - since)))
                    answers, since = [], now
        if answers:
            channel.sendall(encode(Answers(answers, time.monotonic_ns() - since)))
            answers = []
