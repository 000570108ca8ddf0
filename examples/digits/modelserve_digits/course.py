"""The way of a training, whatever learns: epoch after epoch, until the last one or until the client cancels.

Learner, Lessons --teach--> Course, and confusion.png among the job's artifacts

Each epoch is reported to modelserve, and a line of it goes to the job's log.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from marshmallow import ValidationError
from marshmallow.validate import Range
from numpy.typing import NDArray

from modelserve.v2 import UploadedFile, fields, progress

from .classifier import held_out_pictures
from .confusion import confusion, draw_confusion
from .lessons import Lessons, UnreadableDatasetError, read_dataset

__all__ = ["Course", "Learner", "arguments", "lessons_with", "teach"]

logger = logging.getLogger(__name__)

_MAX_BYTES = 20 * 1024 * 1024


class Learner(Protocol):
    """What can be taught."""

    def learn(self, squares: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Look once at each of ``(n, 8, 8)`` squares of 0..16, and return the mean loss on the way."""
        ...

    def probabilities(self, squares: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return ``(n, 10)`` probabilities for ``(n, 8, 8)`` squares of 0..16."""
        ...


@dataclass(frozen=True)
class Course:
    """How a training went: loss of the last epoch, accuracy on the held-out digits, and how many epochs there were.

    ``is_whole`` is False where it was cancelled; what was learnt is then to be forgotten.
    """

    accuracy: float
    loss: float
    epochs: int
    is_whole: bool

    def result(self, weights: str | None) -> dict[str, Any]:
        """Return what the job says when it has ended, given what the new weights are called."""
        return {"accuracy": self.accuracy, "loss": self.loss, "epochs": self.epochs, "weights": weights}


def arguments(*, epochs: int, learning_rate: float, hidden_size: int) -> dict[str, Any]:
    """Return the arguments of a ``train``, with these values for what the client leaves out."""
    return {
        "epochs": fields.Int(
            load_default=epochs,
            validate=Range(min=1, max=1000),
            metadata={"description": "How often each digit is looked at."},
        ),
        "learning_rate": fields.Float(
            load_default=learning_rate,
            validate=Range(min=0, max=0.1, min_inclusive=False),
            metadata={"description": "How far a step of the optimiser goes."},
        ),
        "hidden_size": fields.Int(
            load_default=hidden_size,
            validate=Range(min=4, max=1024),
            metadata={"description": "How many units the hidden layer has."},
        ),
        "dataset": fields.File(
            max_bytes=_MAX_BYTES,
            validate=_is_dataset,
            metadata={
                "description": "Digits to learn besides the bundled ones, as npz: `images` of (n, 8, 8), 0 paper to "
                "16 ink, and `labels` of (n,)."
            },
        ),
    }


def lessons_with(dataset: UploadedFile | None) -> Lessons:
    """Return the lessons of a training, with the digits that the client sent, if any."""
    return Lessons(read_dataset(dataset.filename) if dataset else None)


def teach(learner: Learner, lessons: Lessons, epochs: int) -> Course:
    """Teach for some epochs, fewer where the client cancels, and draw what was learnt.

    Raises:
        FloatingPointError: The loss is no number any more.
    """
    squares, labels = held_out_pictures()
    epoch, loss, read = 0, math.nan, labels
    while epoch < epochs and (epoch == 0 or not progress.cancelled):
        epoch += 1
        loss = _finite(learner.learn(*lessons.next()))
        read = learner.probabilities(squares).argmax(axis=1)
        accuracy = float(np.mean(read == labels))
        progress.log(step=epoch, loss=loss, accuracy=accuracy)
        progress(epoch / epochs)
        logger.info("epoch %s of %s: loss %.4f, accuracy %.4f", epoch, epochs, loss, accuracy)
    (progress.artifacts / "confusion.png").write_bytes(draw_confusion(confusion(labels, read)))
    return Course(round(float(np.mean(read == labels)), 4), round(loss, 4), epoch, not progress.cancelled)


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise FloatingPointError("The loss is no number any more: a smaller learning_rate may help.")
    return loss


def _is_dataset(file: UploadedFile) -> None:
    try:
        read_dataset(file.filename)
    except UnreadableDatasetError as error:
        raise ValidationError(str(error)) from error
