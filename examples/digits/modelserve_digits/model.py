"""The model that modelserve serves: a picture of one handwritten digit -> which digit it is.

modelserve makes one ``Digits`` in each worker process, calls ``warm`` once, then ``predict_batch`` with the calls
that wait. A training is one call of ``train`` in a process of its own. Nothing here knows HTTP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from marshmallow.validate import OneOf, Range
from numpy.typing import NDArray
from PIL import Image

from modelserve.errors import InvalidArguments
from modelserve.v2 import BaseModel, UploadedFile, fields

from . import weights
from .answers import SCHEMA, answer
from .chart import draw_chart
from .classifier import LABELS, Classifier, fit
from .course import arguments, lessons_with, teach
from .keeping import BUILT_IN, new_name
from .network import Learner
from .picture import UnreadablePictureError, ink, open_picture, square

__all__ = ["Digits"]

_JSON, _PNG = "application/json", "image/png"
_MAX_BYTES = 20 * 1024 * 1024


class Digits(BaseModel):
    """Reads one handwritten digit off a picture of any size."""

    max_batch_size = 32

    schema = SCHEMA

    # Both are set by warm, which modelserve calls before the first prediction.
    _classifier: Classifier
    _weights: str

    def get_metadata(self) -> dict[str, Any]:
        """Return what the model says about itself; version, author, license and url are the package's."""
        return {
            "id": "digits",
            "name": "Handwritten digits",
            "description": "Reads one handwritten digit off a PNG or JPEG picture of any size, dark on light or "
            "light on dark. Learnt from scikit-learn's bundled digits.",
        }

    def warm(self) -> None:
        """Load the weights of the last training; where there are none, fit the built-in ones in about a second."""
        kept = weights.load(weights.path())
        self._classifier, self._weights = (kept.network, kept.name) if kept else (fit(), BUILT_IN)

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of ``predict``."""
        return {
            "image": fields.File(
                required=True,
                media_types=(_PNG, "image/jpeg"),
                max_bytes=_MAX_BYTES,
                metadata={"description": "A picture of one handwritten digit: PNG or JPEG, of any size."},
            ),
            "top_k": fields.Int(
                load_default=3,
                validate=Range(min=1, max=len(LABELS)),
                metadata={"description": "How many of the likeliest digits to list."},
            ),
            "accept": fields.Str(
                load_default=_JSON,
                validate=OneOf([_JSON, _PNG]),
                metadata={"description": "The answer's media type; as a PNG it is a bar chart of all probabilities."},
            ),
        }

    def predict(self, image: UploadedFile, top_k: int, accept: str) -> dict[str, Any] | bytes:
        """Return the likeliest digits, or the PNG of their chart.

        Raises:
            InvalidArguments: The file is no picture that can be read, or a blank one.
        """
        return self.predict_batch([{"image": image, "top_k": top_k, "accept": accept}])[0]

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[dict[str, Any] | bytes]:
        """Return the answer of each call, in order; the pictures are classified together.

        Raises:
            InvalidArguments: One of the files is no picture that can be read; modelserve then asks call by call.
        """
        pictures = [_read(call["image"]) for call in calls]
        squares = np.stack([seen for _, seen in pictures])
        rows = self._classifier.predict_proba(squares.reshape(len(calls), -1))
        return [
            draw_chart(row, picture, seen) if call["accept"] == _PNG else self._answer(row, call)
            for call, row, (picture, seen) in zip(calls, rows, pictures, strict=True)
        ]

    def get_train_args(self) -> dict[str, Any]:
        """Return the arguments of ``train``."""
        return arguments(epochs=30, learning_rate=0.003, hidden_size=128)

    def train(
        self, epochs: int, learning_rate: float, hidden_size: int, dataset: UploadedFile | None = None
    ) -> dict[str, Any]:
        """Train a network on the bundled digits and those of the dataset; workers that warm from now on serve it.

        Returns:
            ``accuracy`` on the held-out digits, ``loss`` of the last epoch, ``epochs``, and what the new weights are
            called: None where the training was cancelled and the old ones stay.
        """
        learner = Learner(hidden_size=hidden_size, learning_rate=learning_rate)
        course = teach(learner, lessons_with(dataset), epochs)
        name = new_name() if course.is_whole else None
        if name:
            weights.save(weights.Kept(name, learner.network()), weights.path())
        return course.result(name)

    def _answer(self, probabilities: NDArray[np.float64], call: dict[str, Any]) -> dict[str, Any]:
        return answer(probabilities, call["top_k"], self._weights)


def _read(file: UploadedFile) -> tuple[Image.Image, NDArray[np.float64]]:
    try:
        picture = open_picture(file.filename)
        return picture, square(ink(picture))
    except UnreadablePictureError as error:
        raise InvalidArguments({"image": [str(error)]}) from error
