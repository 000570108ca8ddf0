"""A loaded model's trainings: arguments validated and told, and what ``train`` returns as JSON.

    Call -> parse -> keyword arguments -> train -> output, JSON in UTF-8
         -> validate -> Answer with the arguments as JSON, or its failure

``validate`` runs in an ordinary worker, before the job is stored; ``train`` in the process of the training, which reads
the same call once more. Nothing here knows of jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from modelserve.errors import BadAnswer, NotImplementedByModel, TooLarge
from modelserve.messages import Answer, Call, Failure
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.failures import MODEL_ERROR, failure_of
from modelserve.v2.files import UploadedFile
from modelserve.v2.plain import dump, tell
from modelserve.v2.returned import Wait, drained

__all__ = ["TRAIN_ERROR", "Trainer", "tell_arguments"]

TRAIN_ERROR = "The model raised an exception while it trained; the job's log has its text."

_JSON = "application/json"

logger = logging.getLogger(__name__)


class Trainer:
    """Runs one model's trainings.

    Args:
        model: What has ``train``.
        parser: Reads its arguments; None where the model does not train.
        max_bytes: Most that the arguments or the output may be as JSON.
        wait: Runs a coroutine to its end, for an asynchronous ``train``.
    """

    def __init__(self, model: Any, parser: ArgumentParser | None, *, max_bytes: int, wait: Wait) -> None:
        self._model = model
        self._parser = parser
        self._max_bytes = max_bytes
        self._wait = wait

    def validate(self, call: Call) -> Answer:
        """Return the validated arguments as JSON by their Python names, a file as the client named it; never raises.

        What JSON cannot say is told by its text. NaN and infinity are null.
        """
        try:
            return tell_arguments(call, self.parse(call), self._max_bytes)
        except BaseException as error:  # a field of the model's own may raise anything
            return Answer(call.id, failure=failure_of(error))

    def parse(self, call: Call) -> dict[str, Any]:
        """Return the keyword arguments of a training.

        Raises:
            NotImplementedByModel: The model has no ``train``.
            Exception: As :meth:`ArgumentParser.parse`. The Accept header speaks of the job, so it is read only where an
                argument is declared to be that header.
        """
        if self._parser is None:
            raise NotImplementedByModel("This model does not provide train.")
        if not self._parser.reads_accept:
            call.accept = ""
        return self._parser.parse(call).values

    def train(self, arguments: dict[str, Any]) -> bytes:
        """Run ``train`` to its end and return its output as JSON, where what is missing is null.

        What JSON cannot say is told by its text: the work is done, and nobody wants it lost over a word.

        Raises:
            BadAnswer: What it returned is over ``max_bytes``.
            BaseException: What ``train`` raised.
        """
        value = drained(self._model.train(**arguments), self._wait)
        try:
            output = dump(value, "null")
        except Exception as error:  # the value is the model's: its methods may raise anything
            logger.warning("what train returned is kept by its text where JSON cannot say it: %s", error)
            output = tell(value)
        if len(output) > self._max_bytes:
            log = f"it is {len(output)} bytes, and max_answer_bytes is {self._max_bytes}; keep it in progress.artifacts"
            raise BadAnswer("What the training returned is larger than this service keeps.", log=log)
        return output

    def failure_of(self, error: BaseException) -> Failure:
        """Return what a client and the log may know of what :meth:`train` raised."""
        failure = failure_of(error)
        return msgspec.structs.replace(failure, message=TRAIN_ERROR) if failure.message == MODEL_ERROR else failure


def tell_arguments(call: Call, values: Mapping[str, Any], max_bytes: int) -> Answer:
    """Return validated arguments as an answer in JSON: see :meth:`Trainer.validate`.

    Raises:
        TooLarge: They are over ``max_bytes``.
    """
    body = tell({name: _named(value) for name, value in values.items()})
    if len(body) > max_bytes:
        raise TooLarge(f"The arguments of a job may be {max_bytes} bytes as JSON; give a file.")
    return Answer(call.id, _JSON, body)


def _named(value: Any) -> Any:
    """Return a file, or a list of files, by what the client called them; a path of ours is nobody's business."""
    if isinstance(value, list):
        return [_named(each) for each in value] if any(isinstance(each, UploadedFile) for each in value) else value
    return value.original_filename if isinstance(value, UploadedFile) else value
