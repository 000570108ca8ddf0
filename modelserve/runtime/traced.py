"""A predictor that makes a span of each call it runs, in the worker, below that of the request in the server.

The model runs with this span as the current one, so that spans which it, or a library of it, makes are below it. In a
batch that is the span of its first call.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from modelserve.messages import Answer, Call
from modelserve.tracing import Span, Tracing, start_tracing
from modelserve.v2.current_call import traceparent_of
from modelserve.v2.predictor import Parsed, Predictor
from modelserve.v2.streaming import Stream
from modelserve.v2.trainings import Trainer

__all__ = ["TracedPredictor", "start_traces"]


class TracedPredictor(Predictor):
    """Runs one model's predictions, and tells how long each took.

    Args:
        args, kwargs: As ``Predictor`` has them.
        tracing: Makes the spans.
        deployment: The deployment's name.
    """

    def __init__(self, *args: Any, tracing: Tracing, deployment: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tracing = tracing
        self._deployment = deployment
        self.trainer = _TracedTrainer(self.trainer, tracing, deployment)

    def run(self, item: Parsed) -> Answer | Stream:
        span = self._begin(item)
        with self._tracing.current(span):
            answer = super().run(item)
        self._end(span, answer)
        return answer

    async def run_async(self, item: Parsed) -> Answer | Stream:
        span = self._begin(item)
        with self._tracing.current(span):
            answer = await super().run_async(item)
        self._end(span, answer)
        return answer

    def run_batch(self, items: list[Parsed]) -> Iterator[Answer]:
        spans = {item.id: self._begin(item, len(items)) for item in items}
        with self._tracing.current(spans[items[0].id]):
            for answer in super().run_batch(items):
                self._end(spans[answer.id], answer)
                yield answer

    def _begin(self, item: Parsed, calls: int = 1) -> Span:
        fields: dict[str, str | int] = {"modelserve.deployment": self._deployment, "modelserve.batch_size": calls}
        return self._tracing.begin("predict", traceparent_of(item.about), fields)

    def _end(self, span: Span, answer: Answer | Stream) -> None:
        if isinstance(answer, Answer) and answer.failure is not None and answer.failure.status >= 500:
            self._tracing.fail(span, answer.failure.code)
        span.end()


class _TracedTrainer(Trainer):
    """The trainer of a predictor, and how long its training took."""

    def __init__(self, trainer: Trainer, tracing: Tracing, deployment: str) -> None:
        vars(self).update(vars(trainer))  # it goes on as that one
        self._tracing = tracing
        self._deployment = deployment
        self._parent = ""

    def parse(self, call: Call) -> dict[str, Any]:
        self._parent = call.traceparent
        return super().parse(call)

    def train(self, arguments: dict[str, Any]) -> bytes:
        span = self._tracing.begin("train", self._parent, {"modelserve.deployment": self._deployment})
        try:
            with self._tracing.current(span):
                return super().train(arguments)
        except BaseException as error:
            self._tracing.fail(span, type(error).__name__)
            raise
        finally:
            span.end()
            self._tracing.flush()  # the process ends soon, whether they are sent by then or not


def start_traces(worker: str) -> Tracing | None:
    """Return what makes this worker's spans; they are sent on when it ends."""
    tracing = start_tracing(os.environ, {"service.instance.id": worker})
    if tracing is not None:
        tracing.serve_all()  # the model is loaded by now
        import atexit

        atexit.register(tracing.close)
    return tracing
