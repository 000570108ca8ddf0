"""A loaded model as the worker runs it: calls in, answers out.

    Call -> parse -> Parsed -> run, run_async or run_batch -> Renderer -> Answer, or the Stream of a generator

Everything that can be built once is built in the constructor. Answering never raises: whatever goes wrong with a call
becomes its own answer, as a status, a code, a sentence for the client and a text for the log. Which call runs when is
the worker's matter; ``parse`` may run on another thread than the rest.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import msgspec

from modelserve.errors import BadAnswer, ContractError, NotAcceptable, NotImplementedByModel
from modelserve.frames import FRAME_LIMIT_BYTES
from modelserve.messages import Answer, Call, Description
from modelserve.v2.agreement import check_agreement, check_batching, check_methods
from modelserve.v2.answers import Renderer
from modelserve.v2.arguments import ArgumentParser, UnknownRule
from modelserve.v2.batches import BAD_BATCH, Batches, Parsed
from modelserve.v2.current_call import about, running
from modelserve.v2.describe import describe
from modelserve.v2.failures import failure_of
from modelserve.v2.guard import Guard
from modelserve.v2.model import attribute, batch_size, concurrency, is_async, is_stream, provides
from modelserve.v2.plain import NanRule
from modelserve.v2.returned import PLAIN_TYPES, Wait, drained, items_of, items_on_loop, settled
from modelserve.v2.streaming import Stream, Streams
from modelserve.v2.trainings import Trainer, tell_arguments
from modelserve.v2.verdicts import warn_of_verdicts

__all__ = ["BAD_BATCH", "Parsed", "Predictor", "PredictorOptions"]

logger = logging.getLogger(__name__)

# What besides its body an answer's frame may hold.
_FRAME_ROOM_BYTES = 1 << 20


@dataclass(frozen=True)
class PredictorOptions:
    """How a model is run.

    ``unknown_arguments`` is "error" or "ignore", ``nan_answers`` "error" or "null". With ``is_deepaas``, as
    DEEPaaS does it, an Accept header that nothing fits is answered with the default, and an argument that is given
    elsewhere than where it is read is left out. ``scratch`` is the worker's own
    temporary folder: files the model answers with from there are deleted once sent. Of the others 0 is what the model
    says, for ``max_answer_bytes`` no limit but that of a frame.
    """

    unknown_arguments: str = "error"
    is_deepaas: bool = False
    nan_answers: str = "error"
    scratch: str = ""
    max_batch_size: int = 0
    max_concurrency: int = 0
    max_answer_bytes: int = 0


def _cannot_wait(coroutine: Any) -> Any:
    coroutine.close()
    raise ContractError("This model is asynchronous, and here is no event loop to run it.")


class Predictor:
    """Runs one model's predictions in this process.

    Args:
        model: What the entry point names: a module or an object that provides the contract's methods.
        options: How it is run.
        wait: Runs a coroutine to its end, for whatever of the model is asynchronous; ``predict`` where it hides that.

    Attributes:
        batches: Whether calls go to :meth:`run_batch`.
        is_async: Whether calls go to :meth:`run_async`; else one goes to :meth:`run` at a time.
        max_concurrency: How many calls may run at the same time, 1 unless ``is_async``.
        trainer: Runs the model's trainings, in a process of their own.
        trains: Whether it has any.

    Raises:
        Exception: Whatever ``get_predict_args``, ``get_train_args`` or building the schemas raises.
    """

    def __init__(
        self,
        model: Any,
        options: PredictorOptions = PredictorOptions(),
        *,
        wait: Wait = _cannot_wait,
    ) -> None:
        self._model = model
        self._options = options
        self._wait = wait
        self._guard = Guard()
        if not options.is_deepaas:
            check_methods(model)
        self.batches = provides(model, "predict_batch")
        self.is_async = is_async(model)
        self.max_concurrency = concurrency(model, options.max_concurrency)
        self._max_batch_size = batch_size(model, options.max_batch_size)
        self._predicts = self.batches or provides(model, "predict")
        self._parser = self._make_parser("get_predict_args")
        self.trains = provides(model, "train")
        declares = self.trains or provides(model, "get_train_args")
        self._train_parser = self._make_parser("get_train_args") if declares else None
        self._max_bytes = options.max_answer_bytes or FRAME_LIMIT_BYTES - _FRAME_ROOM_BYTES
        parser = self._train_parser if self.trains else None
        self.trainer = Trainer(model, parser, max_bytes=self._max_bytes, wait=wait)
        self._renderer = self._make_renderer()
        self._streams = Streams(
            self._renderer,
            self._parser.media_types,
            cast(NanRule, options.nan_answers),
            max_bytes=self._max_bytes,
            guard=self._guard,
        )
        self._is_stream = is_stream(model)
        self._batcher = Batches(model, self._max_batch_size, render=self._render, guard=self._guard, wait=wait)

    @property
    def is_broken(self) -> bool:
        """Whether the model's GPU answers no more calls of this process."""
        return self._guard.is_broken

    def describe(self, name: str, distribution: Mapping[str, str]) -> Description:
        """Return what the server needs to know of the model; calls its ``get_metadata``.

        Raises:
            ContractError: Its functions do not take what it declares, or what it says of itself breaks the contract.
        """
        self._check()
        description = describe(
            self._model,
            name=name,
            distribution=distribution,
            parser=self._parser if self._predicts else None,
            train_parser=self._train_parser,
            renderer_schema=self._renderer.schema,
            nan_is_null=self._options.nan_answers == "null",
        )
        limits = {"max_batch_size": self._max_batch_size, "max_concurrency": self.max_concurrency}
        return msgspec.structs.replace(description, **limits)

    def _check(self) -> None:
        """Find what would fail in each call, and warn of what would fail in some."""
        is_lenient = self._options.is_deepaas
        if self._predicts:
            warn_of_verdicts(self._parser.schema, "argument of predict")
            if self.batches:
                check_batching(self._model)
            else:
                check_agreement(self._model, "predict", self._parser, is_lenient=is_lenient)
        if self._train_parser is not None:
            warn_of_verdicts(self._train_parser.schema, "argument of train")
            if self.trains:
                check_agreement(self._model, "train", self._train_parser, is_lenient=is_lenient)
        if self._renderer.schema is not None:
            warn_of_verdicts(self._renderer.schema, "field of the answer")
        if not self._predicts and not self.trains:
            logger.warning("the model provides neither predict, predict_batch nor train: every call will be refused")

    def warm(self) -> None:
        """Run the model's ``warm``, if it has one."""
        if provides(self._model, "warm"):
            drained(self._model.warm(), self._wait)
        self._renderer.keep_files()

    def parse(self, call: Call) -> Parsed | Answer:
        """Return the call with its arguments validated, or the failure that answers it.

        A call of the operation "train" or "check" is answered at once, with the arguments of ``train`` or ``predict``
        as JSON: see :class:`Trainer`.
        """
        if call.operation == "train":
            return self.trainer.validate(call)
        accept, needs_stream = call.accept, False
        try:
            if not self._predicts:
                raise NotImplementedByModel("This model does not provide predict.")
            if self._is_stream:
                needs_stream = not self._options.is_deepaas and self._streams.are_all_that_fits(accept)
                call.accept = self._streams.left_to_the_model(accept)
            try:
                arguments = self._parser.parse(call)
            except NotAcceptable:  # but perhaps what predict returns will be a stream
                if self._is_stream or self.batches or not self._streams.are_all_that_fits(accept):
                    raise
                call.accept, needs_stream = "", True
                arguments = self._parser.parse(call)
            if call.operation:
                return tell_arguments(call, arguments.values, self._max_bytes)
            parsed = Parsed(call.id, arguments.values, arguments.media_type, accept, call.deadline, about(call))
            parsed.needs_stream = needs_stream
            return parsed
        except BaseException as error:  # a field of the model's own may raise anything
            return Answer(call.id, failure=failure_of(error))

    def run(self, item: Parsed) -> Answer | Stream:
        """Predict one call. Of a stream, the first item is awaited: what it raises before is an ordinary failure."""
        running.alone = (item.about,)
        try:
            value = self._model.predict(**item.values)
            if type(value) not in PLAIN_TYPES:
                value = settled(value, self._wait)
                if (items := items_of(value, self._wait)) is not None:
                    return self._streams.of(item, items, list(islice(items, 1)))
            return self._rendered(item, value)
        except BaseException as error:  # the border to the model: SystemExit and KeyboardInterrupt are its errors too
            return self._guard.failed(item.id, error)

    async def run_async(self, item: Parsed) -> Answer | Stream:
        """Predict one call with an asynchronous ``predict``. That its task is cancelled is a failure like any other."""
        running.here.set((item.about,))
        try:
            value = self._model.predict(**item.values)
            while inspect.isawaitable(value):
                value = await value
            if type(value) not in PLAIN_TYPES and (items := items_on_loop(value)) is not None:
                return self._streams.of(item, items, await _first_of(items))
            return self._rendered(item, value)
        except BaseException as error:  # as in run
            return self._guard.failed(item.id, error)

    def run_batch(self, items: list[Parsed]) -> Iterator[Answer]:
        """Yield the answers of calls that are run in as few batches as they may share."""
        return self._batcher.run(items)

    def _make_parser(self, method: str) -> ArgumentParser:
        declared = settled(getattr(self._model, method)(), self._wait) if provides(self._model, method) else None
        unknown = cast(UnknownRule, self._options.unknown_arguments)
        declared = {} if declared is None else declared
        old = self._options.is_deepaas
        takes_any = old or method == "get_train_args"  # what a training answers with is a job
        return ArgumentParser(declared, unknown=unknown, takes_any_accept=takes_any, drops_misplaced=old)

    def _make_renderer(self) -> Renderer:
        nan = cast(NanRule, self._options.nan_answers)
        schema = attribute(self._model, "schema", None)
        return Renderer(schema, media_types=self._parser.media_types, nan=nan, scratch=self._options.scratch)

    def _render(self, item: Parsed, value: Any) -> Answer:
        try:
            return self._rendered(item, settled(value, self._wait))
        except BaseException as error:  # the value is the model's: its methods may raise anything
            return self._guard.failed(item.id, error)

    def _rendered(self, item: Parsed, value: Any) -> Answer:
        if item.needs_stream:
            raise self._streams.refusal()
        answer = self._renderer.render(item.id, value, item.media_type)
        if len(answer.body) > self._max_bytes:
            log = f"it is {len(answer.body)} bytes, and max_answer_bytes is {self._max_bytes}; answer with a file"
            raise BadAnswer("The model's answer is larger than this service sends.", log=log)
        return answer


async def _first_of(items: Any) -> list[Any]:
    try:
        return [await anext(items)]
    except StopAsyncIteration:
        return []
