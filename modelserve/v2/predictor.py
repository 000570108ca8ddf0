"""A loaded model as the worker runs it: calls in, answers out.

    Call -> ArgumentParser -> model.predict or predict_batch -> Renderer -> Answer

Everything that can be built once is built in the constructor. Answering never raises: whatever goes wrong with a call
becomes its own answer, as a status, a code, a sentence for the client and a text for the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from modelserve.errors import BadAnswer, ModelserveError, NotImplementedByModel
from modelserve.messages import Answer, Call, Description
from modelserve.v2.answers import Renderer
from modelserve.v2.arguments import ArgumentParser, Arguments, UnknownRule
from modelserve.v2.describe import describe
from modelserve.v2.failures import failure_of
from modelserve.v2.model import attribute, provides
from modelserve.v2.plain import NanRule

__all__ = ["Predictor"]

BAD_BATCH = "The model did not return one answer for each call of a batch."


class _Parsed(NamedTuple):
    id: int
    arguments: Arguments


class Predictor:
    """Runs one model's predictions in this process.

    Args:
        model: What the entry point names: a module or an object that provides the contract's methods.
        unknown_arguments: "error" or "ignore".
        nan_answers: "error" or "null".
        scratch: The worker's own temporary folder; files the model answers with from there are deleted once sent.

    Raises:
        Exception: Whatever ``get_predict_args``, ``get_train_args`` or building the schemas raises.
    """

    def __init__(
        self, model: Any, unknown_arguments: str = "error", nan_answers: str = "error", scratch: str = ""
    ) -> None:
        self._model = model
        self._unknown = cast(UnknownRule, unknown_arguments)
        self._batches = provides(model, "predict_batch")
        self._predicts = self._batches or provides(model, "predict")
        self._parser = self._make_parser("get_predict_args")
        self._train_parser = self._make_parser("get_train_args") if provides(model, "get_train_args") else None
        self._renderer = Renderer(
            attribute(model, "schema", None),
            media_types=self._parser.media_types,
            nan=cast(NanRule, nan_answers),
            scratch=scratch,
        )

    def describe(self, name: str, distribution: Mapping[str, str]) -> Description:
        """Return what the server needs to know of the model; calls its ``get_metadata``."""
        return describe(
            self._model,
            name=name,
            distribution=distribution,
            parser=self._parser if self._predicts else None,
            train_parser=self._train_parser,
            renderer_schema=self._renderer.schema,
        )

    def warm(self) -> None:
        """Run the model's ``warm``, if it has one."""
        if provides(self._model, "warm"):
            self._model.warm()

    def answers(self, calls: list[Call], begin: Callable[[int], object] = lambda count: None) -> Iterator[Answer]:
        """Yield one answer for each call. A model that batches gets all the valid calls together.

        Args:
            calls: The calls; those of a model that does not batch are run and answered in this order.
            begin: Called with how many of the calls, in order, are run next, before they are.
        """
        if not self._predicts:
            error = NotImplementedByModel("This model does not provide predict.")
            return (_failed(call.id, error) for call in calls)
        if self._batches:
            begin(len(calls))
            return self._answer_together(calls)
        return self._answer_in_turn(calls, begin)

    def _make_parser(self, method: str) -> ArgumentParser:
        declared = getattr(self._model, method)() if provides(self._model, method) else None
        return ArgumentParser({} if declared is None else declared, unknown=self._unknown)

    def _answer_in_turn(self, calls: list[Call], begin: Callable[[int], object]) -> Iterator[Answer]:
        for call in calls:
            begin(1)
            yield self._answer_one(call)

    def _answer_one(self, call: Call) -> Answer:
        try:
            arguments = self._parser.parse(call)
            value = self._model.predict(**arguments.values)
            return self._renderer.render(call.id, value, arguments.media_type)
        except BaseException as error:  # the border to the model: SystemExit and KeyboardInterrupt are its errors too
            return _failed(call.id, error)

    def _answer_together(self, calls: list[Call]) -> Iterator[Answer]:
        valid: list[_Parsed] = []
        for call in calls:
            parsed = self._parse(call)
            if isinstance(parsed, Answer):
                yield parsed
            else:
                valid.append(parsed)
        if valid:
            yield from self._run_batch(valid)

    def _parse(self, call: Call) -> _Parsed | Answer:
        try:
            return _Parsed(call.id, self._parser.parse(call))
        except BaseException as error:  # a field of the model's own may raise anything
            return _failed(call.id, error)

    def _run_batch(self, batch: list[_Parsed]) -> Iterable[Answer]:
        try:
            # New dicts, for if the model changes them and then raises, each call is run once more.
            returned = self._model.predict_batch([dict(item.arguments.values) for item in batch])
            values = list(returned) if isinstance(returned, list | tuple) else None
        except BaseException as error:  # the border to the model
            return self._run_singly(batch) if len(batch) > 1 else [_failed(batch[0].id, error)]
        if values is None or len(values) != len(batch):  # nobody can say whose answers they are
            wrong = _wrong_batch(len(batch), returned)
            return [_failed(item.id, wrong) for item in batch]
        return [self._render(item, value) for item, value in zip(batch, values, strict=True)]

    def _run_singly(self, batch: list[_Parsed]) -> Iterator[Answer]:
        """Find the call that spoilt a batch: each is run once more, alone."""
        for item in batch:
            yield from self._run_batch([item])

    def _render(self, item: _Parsed, value: Any) -> Answer:
        if isinstance(value, BaseException):  # the model says of one call of a batch what predict would have raised
            return _failed(item.id, value)
        try:
            return self._renderer.render(item.id, value, item.arguments.media_type)
        except BaseException as error:  # the value is the model's: its methods may raise anything
            return _failed(item.id, error)


def _failed(call_id: int, error: BaseException) -> Answer:
    return Answer(call_id, failure=failure_of(error))


def _wrong_batch(calls: int, returned: Any) -> ModelserveError:
    count = f"{len(returned)} answers" if isinstance(returned, list | tuple) else f"a {type(returned).__name__}"
    return BadAnswer(BAD_BATCH, log=f"{calls} calls, and predict_batch returned {count}; it must return a list of them")
