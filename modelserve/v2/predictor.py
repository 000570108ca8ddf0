"""A loaded model as the worker runs it: calls in, answers out.

    Call -> ArgumentParser -> model.predict or predict_batch -> Renderer -> Answer

Everything that can be built once is built in the constructor. Answering never raises: whatever goes wrong with a call
becomes its own answer, as a status, a code, a sentence for the client and a text for the log.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from modelserve.errors import BadAnswer, InvalidArguments, ModelserveError, NotImplementedByModel
from modelserve.messages import Answer, Call, Description, Failure, sendable
from modelserve.v2.answers import Renderer
from modelserve.v2.arguments import ArgumentParser, Arguments
from modelserve.v2.describe import describe
from modelserve.v2.model import provides

__all__ = ["Predictor"]

MODEL_ERROR = "The model raised an exception while it handled this request."
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

    def __init__(self, model: Any, unknown_arguments: Any = "error", nan_answers: Any = "error", scratch: str = ""):
        self._model = model
        self._batches = provides(model, "predict_batch")
        self._predicts = self._batches or provides(model, "predict")
        self._parser = self._make_parser("get_predict_args", unknown_arguments)
        self._train_parser = (
            self._make_parser("get_train_args", unknown_arguments) if provides(model, "get_train_args") else None
        )
        self._renderer = Renderer(
            getattr(model, "schema", None), media_types=self._parser.media_types, nan=nan_answers, scratch=scratch
        )

    def describe(self, name: str, distribution: Mapping[str, str]) -> Description:
        """Return what the server needs to know of the model; calls its ``get_metadata``."""
        description = describe(
            self._model,
            name=name,
            distribution=distribution,
            parser=self._parser if self._predicts else None,
            train_parser=self._train_parser,
            renderer_schema=self._renderer.schema,
        )
        return msgspec.structs.replace(description, headers=list(self._parser.headers))

    def warm(self) -> None:
        """Run the model's ``warm``, if it has one."""
        if provides(self._model, "warm"):
            self._model.warm()

    def answers(self, calls: list[Call]) -> Iterator[Answer]:
        """Yield one answer for each call, in any order. A model that batches gets all the valid calls together."""
        if not self._predicts:
            error = NotImplementedByModel("This model does not provide predict.")
            yield from (_failure(call.id, error) for call in calls)
        elif self._batches:
            yield from self._answer_together(calls)
        else:
            predict = self._model.predict
            for call in calls:
                yield self._answer_one(call, predict)

    def _make_parser(self, method: str, unknown_arguments: Any) -> ArgumentParser:
        declared = getattr(self._model, method)() if provides(self._model, method) else {}
        return ArgumentParser({} if declared is None else declared, unknown=unknown_arguments)

    def _answer_one(self, call: Call, predict: Any) -> Answer:
        try:
            arguments = self._parser.parse(call)
            return self._renderer.render(call.id, predict(**arguments.values), arguments.media_type)
        except BaseException as error:  # the border to the model: SystemExit and KeyboardInterrupt are its errors too
            return _failure(call.id, error)

    def _answer_together(self, calls: list[Call]) -> Iterator[Answer]:
        valid: list[_Parsed] = []
        for call in calls:
            try:
                valid.append(_Parsed(call.id, self._parser.parse(call)))
            except BaseException as error:  # a field of the model's own may raise anything
                yield _failure(call.id, error)
        if valid:
            yield from self._run_batch(valid)

    def _run_batch(self, batch: list[_Parsed]) -> Iterable[Answer]:
        try:
            values = self._model.predict_batch([item.arguments.values for item in batch])
            if not isinstance(values, list | tuple) or len(values) != len(batch):
                raise BadAnswer(BAD_BATCH, log=f"{len(batch)} calls, predict_batch returned {_shape(values)}")
        except BadAnswer as error:  # nobody can say whose answers they are
            return [_failure(item.id, error) for item in batch]
        except BaseException as error:  # the border to the model
            if len(batch) == 1:
                return [_failure(batch[0].id, error)]
            return self._run_singly(batch)
        return [self._render(item, value) for item, value in zip(batch, values, strict=True)]

    def _run_singly(self, batch: list[_Parsed]) -> Iterator[Answer]:
        """Find the call that spoilt a batch: each is run once more, alone."""
        for item in batch:
            yield from self._run_batch([item])

    def _render(self, item: _Parsed, value: Any) -> Answer:
        if isinstance(value, Exception):  # the model says of one call of a batch what predict would have raised
            return _failure(item.id, value)
        try:
            return self._renderer.render(item.id, value, item.arguments.media_type)
        except BaseException as error:  # the value is the model's: its methods may raise anything
            return _failure(item.id, error)


def _failure(call_id: int, error: BaseException) -> Answer:
    if isinstance(error, ModelserveError):
        fields = _sendable_fields(error.fields) if isinstance(error, InvalidArguments) else None
        failure = Failure(error.status, error.code, sendable(str(error.message)), fields, sendable(error.log))
        return Answer(call_id, failure=failure)
    status, reason = _aiohttp_status(error)
    if status:
        return Answer(call_id, failure=Failure(status, "model_error", sendable(reason)))
    return Answer(call_id, failure=Failure(500, "model_error", MODEL_ERROR, log=sendable(_traceback(error))))


def _sendable_fields(fields: Any) -> Any:
    """Return messages by field as plain data: a validator of the model's own may put anything into them."""
    if isinstance(fields, Mapping):
        return {sendable(str(name)): _sendable_fields(value) for name, value in fields.items()}
    if isinstance(fields, list | tuple):
        return [_sendable_fields(value) for value in fields]
    return sendable(str(fields))


def _aiohttp_status(error: BaseException) -> tuple[int, str]:
    """Return status and text of an ``aiohttp.web`` exception, (0, "") for any other; aiohttp is not loaded for it."""
    if not any(kind.__module__ == "aiohttp.web_exceptions" for kind in type(error).__mro__):
        return 0, ""
    status = getattr(error, "status", 500)
    text = getattr(error, "text", None) or str(getattr(error, "reason", ""))
    return (status, text) if 400 <= status <= 599 else (500, MODEL_ERROR)


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # an exception whose own __str__ raises: name its class, which cannot
        return f"{type(error).__module__}.{type(error).__qualname__} (its text cannot be shown)"


def _shape(values: Any) -> str:
    return f"{len(values)} answers" if isinstance(values, list | tuple) else f"a {type(values).__name__}"
