"""The model that modelserve serves: a digit as a picture or as numbers -> which digit it is.

modelserve makes one ``DigitsTorch`` in each worker process, calls ``warm`` once, then ``predict_batch`` with the calls
that wait. A training is one call of ``train`` in a process of its own. Nothing here knows HTTP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from marshmallow import ValidationError
from marshmallow.validate import OneOf, Range
from modelserve_digits.answers import SCHEMA, answer
from modelserve_digits.course import arguments, lessons_with, teach
from modelserve_digits.keeping import new_name
from modelserve_digits.picture import SIDE, UnreadablePictureError, ink, open_picture, square
from numpy.typing import NDArray

from modelserve.errors import InvalidArguments
from modelserve.v2 import BaseModel, UploadedFile, fields

from . import weights
from .learner import Learner
from .network import HIDDEN, Reader, best_device

__all__ = ["DigitsTorch"]

_JSON, _NPY = "application/json", "application/x-npy"
_MAX_BYTES = 20 * 1024 * 1024
_FULL = 16

Square = NDArray[np.float32]


def _inked(array: Square) -> None:
    if array.min() < 0 or array.max() > _FULL:
        raise ValidationError(f"Give numbers from 0, paper, to {_FULL}, full ink.")


class DigitsTorch(BaseModel):
    """Reads one handwritten digit, on a GPU where its worker has one."""

    max_batch_size = 256

    schema = SCHEMA

    # Both are set by warm, which modelserve calls before the first prediction.
    _reader: Reader
    _weights: str

    def get_metadata(self) -> dict[str, Any]:
        """Return what the model says about itself; version, author, license and url are the package's."""
        return {
            "id": "digits-torch",
            "name": "Handwritten digits, PyTorch",
            "description": "Reads one handwritten digit off a picture or a square of 8 by 8 numbers, with a small "
            "convolutional network on a GPU or on CPUs.",
        }

    def warm(self) -> None:
        """Load the weights, or make the built-in ones, and run what is slow the first time on a GPU."""
        device = best_device()
        on_gpu = device.type == "cuda"
        self._weights, network = weights.current()
        self._reader = Reader(network, device, bf16=on_gpu and torch.cuda.is_bf16_supported())
        # A GPU chooses its kernels by the size of the batch.
        for size in (1, self.max_batch_size):
            self._reader.probabilities(np.zeros((size, SIDE, SIDE), np.float32))

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of ``predict``."""
        return {
            "image": fields.File(
                media_types=("image/png", "image/jpeg"),
                max_bytes=_MAX_BYTES,
                metadata={"description": "A picture of one handwritten digit: PNG or JPEG, of any size."},
            ),
            "square": fields.NDArray(
                dtype="float32",
                shape=(SIDE, SIDE),
                validate=_inked,
                metadata={"description": "In place of an image, 8 rows of 8 numbers: 0 is paper, 16 is full ink."},
            ),
            "top_k": fields.Int(
                load_default=3,
                validate=Range(min=1, max=10),
                metadata={"description": "How many of the likeliest digits to list."},
            ),
            "accept": fields.Str(
                load_default=_JSON,
                validate=OneOf([_JSON, _NPY]),
                metadata={"description": "The answer's media type; as npy it is all ten probabilities, float32."},
            ),
        }

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Return the answer of each call, in order: all squares are read in one pass.

        A call that cannot be read has its error in the place of its answer, so that the others go on.
        """
        given = [_given(call) for call in calls]
        squares = [one for one in given if not isinstance(one, InvalidArguments)]
        rows = iter(self._reader.probabilities(np.stack(squares)) if squares else ())
        return [
            one if isinstance(one, InvalidArguments) else self._answer(call, next(rows))
            for one, call in zip(given, calls, strict=True)
        ]

    def get_train_args(self) -> dict[str, Any]:
        """Return the arguments of ``train``, which are those of the digits example."""
        return arguments(epochs=12, learning_rate=0.002, hidden_size=HIDDEN)

    def train(
        self, epochs: int, learning_rate: float, hidden_size: int, dataset: UploadedFile | None = None
    ) -> dict[str, Any]:
        """Train a network on the bundled digits and those of the dataset; workers that warm from now on serve it.

        Returns:
            ``accuracy`` on the held-out digits, ``loss`` of the last epoch, ``epochs``, and what the new weights are
            called: None where the training was cancelled and the old ones stay.
        """
        torch.manual_seed(0)
        learner = Learner(hidden_size=hidden_size, learning_rate=learning_rate)
        course = teach(learner, lessons_with(dataset), epochs)
        name = new_name() if course.is_whole else None
        if name:
            weights.save(weights.Kept(name, learner.network()), weights.path())
        return course.result(name)

    def _answer(self, call: dict[str, Any], probabilities: NDArray[np.float32]) -> dict[str, Any] | NDArray[np.float32]:
        if call["accept"] == _NPY:
            return probabilities
        return answer(probabilities, call["top_k"], self._weights)


def _given(call: dict[str, Any]) -> Square | InvalidArguments:
    if ("image" in call) == ("square" in call):
        return InvalidArguments({"image": ["Give either an image or a square."]})
    return _read(call["image"]) if "image" in call else call["square"]


def _read(file: UploadedFile) -> Square | InvalidArguments:
    try:
        return square(ink(open_picture(file.filename))).astype(np.float32)
    except UnreadablePictureError as error:
        return InvalidArguments({"image": [str(error)]})
