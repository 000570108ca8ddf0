"""Valid calls, as the batches that ``predict_batch`` is given.

    Parsed calls --> those of one media type and one batch_key, max_batch_size at most --> predict_batch --> Answers

A batch that fails is not lost: its calls are run once more, alone, so that only the one at fault fails. One for which
memory was not enough is run in two halves first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from modelserve.errors import BadAnswer, ModelserveError, OutOfMemory
from modelserve.messages import Answer
from modelserve.v2.current_call import UNKNOWN, About, running
from modelserve.v2.failures import failure_of
from modelserve.v2.guard import Guard
from modelserve.v2.model import provides
from modelserve.v2.returned import Wait, drained

__all__ = ["BAD_BATCH", "Batches", "Parsed"]

BAD_BATCH = "The model did not return one answer for each call of a batch."


class Parsed:
    """A call whose arguments are valid: ``values`` for the model, and the media type its answer is to have.

    With ``needs_stream``, the Accept header names nothing but what only a stream can have.
    """

    __slots__ = ("about", "accept", "deadline", "id", "media_type", "needs_stream", "values")

    def __init__(
        self,
        call_id: int,
        values: dict[str, Any],
        media_type: str,
        accept: str,
        deadline: float,
        about: About = UNKNOWN,
    ) -> None:
        self.id = call_id
        self.values = values
        self.media_type = media_type
        self.accept = accept
        self.deadline = deadline
        self.about = about
        self.needs_stream = False


class Batches:
    """Runs the batches of one model.

    Args:
        model: It has ``predict_batch``, and where it wishes ``batch_key``.
        max_batch_size: Most calls of one batch.
        render: Makes an answer of one returned value, or a failure; never raises.
        guard: What the model raises goes to it.
        wait: Runs a coroutine to its end, for an asynchronous ``predict_batch``.
    """

    def __init__(
        self,
        model: Any,
        max_batch_size: int,
        *,
        render: Callable[[Parsed, Any], Answer],
        guard: Guard,
        wait: Wait,
    ) -> None:
        self._model = model
        self._max_batch_size = max_batch_size
        self._render = render
        self._guard = guard
        self._wait = wait
        self._has_key = provides(model, "batch_key")

    def run(self, items: list[Parsed]) -> Iterator[Answer]:
        """Yield the answers of calls, those of each batch as soon as it is done.

        After a fatal error nothing more is run or answered but a call that was alone.
        """
        groups, failed = self._grouped(items)
        yield from failed
        for group in groups:
            for start in range(0, len(group), self._max_batch_size):
                yield from self._run(group[start : start + self._max_batch_size])

    def _grouped(self, items: list[Parsed]) -> tuple[list[list[Parsed]], list[Answer]]:
        groups: dict[Hashable, list[Parsed]] = {}
        failed: list[Answer] = []
        for item in items:
            try:
                key = self._model.batch_key(dict(item.values)) if self._has_key else None
                groups.setdefault((item.media_type, key), []).append(item)
            except BaseException as error:  # the border to the model; a key that is not hashable comes here too
                failed.append(self._guard.failed(item.id, error))
        return list(groups.values()), failed

    def _run(self, batch: list[Parsed], *, is_half: bool = False) -> Iterator[Answer]:
        if self._guard.is_broken:
            return
        try:
            returned = self._predicted(batch)
            values = list(returned) if isinstance(returned, list | tuple) else None
        except BaseException as error:  # the border to the model
            self._guard.look_at(error)
            if len(batch) == 1:
                yield self._guard.failed(batch[0].id, error)
                return
            parts = self._divided(batch, error, is_half)
        else:
            yield from self._answers(batch, returned, values)
            return
        # Out of the clause above, the error is gone, and with it the memory that its frames held.
        for part in parts:
            yield from self._run(part, is_half=True)

    def _predicted(self, batch: list[Parsed]) -> Any:
        running.alone = [item.about for item in batch]
        # New dicts, for if the model changes them and then raises, each call is run once more.
        calls = [dict(item.values) for item in batch]
        return drained(self._model.predict_batch(calls), self._wait)

    def _divided(self, batch: list[Parsed], error: BaseException, is_half: bool) -> list[list[Parsed]]:
        """Return what to run again of a batch that failed."""
        if not is_half and failure_of(error).code == OutOfMemory.code:
            half = (len(batch) + 1) // 2
            return [batch[:half], batch[half:]]
        return [[item] for item in batch]

    def _answers(self, batch: list[Parsed], returned: Any, values: list[Any] | None) -> Iterator[Answer]:
        if values is None or len(values) != len(batch):  # nobody can say whose answers they are
            wrong = _wrong_batch(len(batch), returned)
            yield from (self._guard.failed(item.id, wrong) for item in batch)
            return
        for item, value in zip(batch, values, strict=True):
            # of one call, a model may say what predict would have raised; isinstance would run code of the value
            if issubclass(type(value), BaseException):
                yield self._guard.failed(item.id, value)
            else:
                yield self._render(item, value)


def _wrong_batch(calls: int, returned: Any) -> ModelserveError:
    count = f"{len(returned)} answers" if isinstance(returned, list | tuple) else f"a {type(returned).__name__}"
    return BadAnswer(BAD_BATCH, log=f"{calls} calls, and predict_batch returned {count}; it must return a list of them")
