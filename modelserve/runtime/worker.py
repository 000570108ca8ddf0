"""The child's main: pin, load, describe, warm, say Ready, then answer calls until the server closes the channel.

    channel --Calls--> Turns or Together, with a Predictor --Answers, Parts--> channel
    channel --a Call--> Training, with its Trainer --Parts--> channel          where the task is to train; never warm

It runs in a process of its own, started by ``process.py``. Only it, and the loops it starts, run the contract; it
imports neither aiohttp nor the command line. Nothing it sends is pickled.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modelserve import installed, loading, logs
from modelserve.frames import START_LIMIT_BYTES, encode
from modelserve.messages import Description, Failed, Ready, Stage, sendable
from modelserve.runtime import gpu, lifeline, priority
from modelserve.runtime.boot import Boot, Counter
from modelserve.runtime.interface import DEVICE_EXIT
from modelserve.runtime.outlet import Outlet, end_forked
from modelserve.runtime.prints import print_anyway
from modelserve.runtime.scratch import Scratch
from modelserve.tracebacks import author_summary, author_traceback
from modelserve.tracing import is_wanted

if TYPE_CHECKING:
    from modelserve.runtime.turns import Begun
    from modelserve.v2.predictor import Predictor

__all__ = ["main"]

logger = logging.getLogger(__name__)

# The kernel's out-of-memory killer takes a worker long before the server; from -1000 to 1000, see proc(5).
OOM_SCORE_ADJ = 500

# A training goes before them, since it can be run again without a client that waits.
TRAINING_OOM_SCORE_ADJ = 800


class _StartError(Exception):
    """Carries the stage in which starting failed; the cause says why."""


def main(channel: socket.socket, life: int, begun: Counter, boot: Boot) -> None:
    """Run a worker to its end. Returns when the server closes the channel, or when the model cannot start.

    Args:
        channel: The worker's end of the socket pair.
        life: The descriptor of the worker's end of the lifeline.
        begun: A shared number, in which the worker counts the calls it has begun to run.
        boot: What else it is started with.
    """
    lifeline.hold(life)
    _settle_in(boot)
    outlet = Outlet(channel)
    os.register_at_fork(after_in_child=functools.partial(_leave, outlet, begun, life))
    ours = os.getpid()
    try:
        _run(channel, outlet, begun, boot)
    finally:
        if os.getpid() != ours:
            end_forked()


def _run(channel: socket.socket, outlet: Outlet, begun: Counter, boot: Boot) -> None:
    loop, scratch = _LateLoop(), Scratch(boot.scratch, outlet)
    try:
        predictor, description = _start_model(boot, outlet, loop, scratch)
    except _StartError as error:
        outlet.send(_failed(str(error), error.__cause__ or error))
        raise SystemExit(1) from None
    gc.collect()
    gc.freeze()  # what loading made stays for good: keep the collector from walking it again and again
    outlet.send(Ready(description))
    if boot.spec.options.task == "train":
        _train(channel, predictor, outlet, begun, boot)
    else:
        _answer_calls(channel, predictor, outlet, loop, begun=begun, scratch=scratch)
    if predictor.is_broken:
        _leave_device()


class _LateLoop:
    """The event loop of an asynchronous model; asyncio is imported for no other."""

    def __init__(self) -> None:
        self._loop: Any = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        from modelserve.runtime.together import Loop

        self._loop = self._loop or Loop()
        return self._loop.run(coroutine)


def _settle_in(boot: Boot) -> None:
    """Become what the plan says before any library of the model is loaded."""
    # Ctrl-C is for the server, which then stops us. Not SIG_IGN, which all that the model starts would inherit.
    signal.signal(signal.SIGINT, _unheard)
    os.register_at_fork(after_in_child=_hear_again)
    # Nor what the server was started with, which is a matter of who started it.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(2, 1)  # standard output belongs to the server
    print_anyway()
    faulthandler.enable()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(TRAINING_OOM_SCORE_ADJ if boot.spec.options.task == "train" else OOM_SCORE_ADJ))
    os.environ.update(boot.spec.environment)
    placement = boot.spec.placement
    with contextlib.suppress(OSError):  # a container may forbid it; the thread counts still hold
        os.sched_setaffinity(0, placement.cpus)
    os.environ.update(placement.missing_from(os.environ), TMPDIR=boot.scratch)
    options = boot.spec.options
    logs.configure(options.log_level, options.log_format, worker=boot.spec.name, mark=boot.log_mark, about=_whose)


def _unheard(number: int, frame: object) -> None:
    """Take a signal that is for others."""


def _hear_again() -> None:
    """Let a child that the model has forked be interrupted as any program is."""
    if signal.getsignal(signal.SIGINT) is _unheard:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(outlet: Outlet, begun: Counter, life: int) -> None:
    """Close what is ours in a child that the model has forked: the call that it came from is its parent's."""
    outlet.leave()
    begun.close()
    with contextlib.suppress(OSError):
        os.close(life)


def _whose() -> Mapping[str, str]:
    """Return whose call runs here, for the records of the log; nothing where none does, or several do at once."""
    from modelserve.v2.current_call import names_of, running

    calls = running.here.get() or running.alone
    return names_of(calls[0]) if len(calls) == 1 else {}


def _start_model(boot: Boot, outlet: Outlet, loop: _LateLoop, scratch: Scratch) -> tuple[Predictor, Description]:
    fraction = boot.spec.options.gpu_memory_fraction
    with _stage("load", outlet):
        model = loading.load(boot.spec.ref)
        scratch.settle()
        gpu.limit_memory(fraction)
    with _stage("describe", outlet):
        predictor = _make_predictor(model, boot, loop)
        description = predictor.describe(boot.spec.ref.name, boot.spec.ref.distribution)
        if boot.spec.ref.is_deepaas:
            description = model.completed(description)
        encode(Ready(description), START_LIMIT_BYTES)  # what cannot be sent is a fault of the description
    if boot.spec.options.task == "train":
        return predictor, description
    with _stage("warm", outlet):
        predictor.warm()
        gpu.limit_memory(fraction)
    return predictor, description


def _make_predictor(model: Any, boot: Boot, loop: _LateLoop) -> Predictor:
    # Imported after the model, so that a broken installation shows as the model's failure and not as a mute death.
    from modelserve.v2.predictor import Predictor, PredictorOptions

    chosen = boot.spec.options
    options = PredictorOptions(
        unknown_arguments=_unknown_rule(boot),
        is_deepaas=boot.spec.ref.is_deepaas,
        nan_answers=chosen.nan_answers,
        scratch=boot.scratch,
        max_batch_size=chosen.max_batch_size,
        max_concurrency=chosen.max_concurrency,
        max_answer_bytes=chosen.max_answer_bytes,
    )
    if is_wanted(os.environ):
        from modelserve.runtime.traced import TracedPredictor, start_traces

        if (traces := start_traces(boot.spec.name)) is not None:
            return TracedPredictor(model, options, wait=loop.run, tracing=traces, deployment=boot.spec.ref.name)
    return Predictor(model, options, wait=loop.run)


def _unknown_rule(boot: Boot) -> str:
    chosen = boot.spec.options.unknown_arguments
    return chosen if chosen != "auto" else "ignore" if boot.spec.ref.is_deepaas else "error"


@contextlib.contextmanager
def _stage(name: str, outlet: Outlet) -> Iterator[None]:
    outlet.send(Stage(name))
    try:
        yield
    except BaseException as error:  # sys.exit in a model's import is its failure, not our end
        raise _StartError(name) from _explained(error)


def _explained(error: BaseException) -> BaseException:
    if (better := installed.explained(error)) is not error:
        return better
    with contextlib.suppress(Exception):  # what is imported here may be what is broken
        from modelserve.v2.old_keywords import explained

        return explained(error)
    return error


def _failed(stage: str, cause: BaseException) -> Failed:
    return Failed(stage, sendable(author_summary(cause)), sendable(author_traceback(cause)))


def _answer_calls(
    channel: socket.socket, predictor: Predictor, outlet: Outlet, loop: _LateLoop, *, begun: Begun, scratch: Scratch
) -> None:
    from modelserve.runtime.intake import Intake
    from modelserve.runtime.turns import Turns

    if predictor.is_async:
        from modelserve.runtime.together import Together

        loop.run(Together(channel, predictor, outlet, begun=begun, scratch=scratch).run())
        return
    intake = Intake(channel, predictor.parse, outlet)
    intake.start()
    Turns(predictor, intake, outlet, begun=begun, scratch=scratch).run()


def _train(channel: socket.socket, predictor: Predictor, outlet: Outlet, begun: Begun, boot: Boot) -> None:
    from modelserve.runtime.training import Training

    priority.lower()  # not before: a model that loads is soon done, and a client may wait to see its training begin
    Training(channel, predictor.trainer, outlet, begun=begun, artifacts=boot.spec.artifacts).run()


def _leave_device() -> None:
    """End at once: what libraries do at exit would call a GPU that answers no more."""
    logger.error("the GPU answers every further call with an error; the worker ends")
    logging.shutdown()
    sys.stderr.flush()
    os._exit(DEVICE_EXIT)
