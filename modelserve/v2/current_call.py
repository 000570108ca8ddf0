"""Who has called: a model asks while it predicts or trains.

    from modelserve.v2 import current_call

    def predict(self, x):
        log.info("asked by %s", current_call().client)

The worker says before each call which it is. It costs no more than that, for what is told is made when it is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType

from modelserve.messages import Call

__all__ = [
    "UNKNOWN",
    "About",
    "CurrentCall",
    "about",
    "current_call",
    "current_calls",
    "names_of",
    "running",
    "traceparent_of",
]

# What is kept of a call: client, request id, headers, deadline (0 for none), trace context.
About = tuple[str, str, Mapping[str, str], float, str]
UNKNOWN: About = ("", "", MappingProxyType({}), 0.0, "")


@dataclasses.dataclass(frozen=True)
class CurrentCall:
    """What is known of a call besides its arguments.

    ``client`` is the name of the client whose token came with it, "" where none was needed. ``headers`` are those that
    arguments are read from, by their names in lower case. ``deadline`` is the time of ``time.monotonic()`` after which
    nobody waits for the answer, None where somebody always does. ``traceparent`` is the W3C trace context, "" for none.
    """

    client: str = ""
    request_id: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deadline: float | None = None
    traceparent: str = ""


class _Running:
    """The calls that run: in this task, where many run at a time, or ``alone`` in the process.

    Where a worker runs one thing at a time, threads that the model has started see it too.
    """

    def __init__(self) -> None:
        self.alone: Sequence[About] = ()
        self.here: ContextVar[Sequence[About]] = ContextVar("modelserve_calls", default=())


running = _Running()


def about(call: Call) -> About:
    """Return what is kept of a call: its body is not."""
    return (call.client, call.request_id, call.headers, call.deadline, call.traceparent)


def names_of(about: About) -> dict[str, str]:
    """Return the client and the request id of a call, as fields of a record of the log."""
    return {"client": about[0], "request_id": about[1]}


def traceparent_of(about: About) -> str:
    """Return the W3C trace context of a call, "" for none."""
    return about[4]


def current_call() -> CurrentCall:
    """Return the call that the model answers now; an empty one outside of any, as in a test of the model alone.

    It works in ``predict``, in ``train`` and in a generator that ``predict`` returns. A model whose ``predict`` is
    asynchronous finds it in tasks and in ``asyncio.to_thread``, which copy the context, but not in a bare thread.

    Raises:
        RuntimeError: ``predict_batch`` runs for several calls: ``current_calls`` has them.
    """
    calls = current_calls()
    if len(calls) > 1:
        raise RuntimeError(f"predict_batch runs for {len(calls)} calls: current_calls() has one entry for each of them")
    return calls[0] if calls else CurrentCall()


def current_calls() -> list[CurrentCall]:
    """Return what :func:`current_call` does for each call of a batch, in the order that ``predict_batch`` has them."""
    found = running.here.get() or running.alone
    return [
        CurrentCall(client, request_id, MappingProxyType(dict(headers)), deadline or None, traceparent)
        for client, request_id, headers, deadline, traceparent in found
    ]
