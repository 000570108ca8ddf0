"""How a training goes, whatever learns: what it reports, where it stops, what it leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelserve_digits.confusion import confusion, draw_confusion
from modelserve_digits.course import lessons_with, teach
from modelserve_digits.lessons import Lessons
from numpy.typing import NDArray
from PIL import Image

from modelserve.v2 import progress


class Client:
    """Who follows a training, and cancels it after some epochs."""

    def __init__(self, folder: Path, patience: int = 1000) -> None:
        self.artifacts = str(folder)
        self.fractions: list[float | None] = []
        self.steps: list[tuple[int | None, dict[str, float]]] = []
        self._patience = patience

    def progressed(self, fraction: float | None, metrics: dict[str, float]) -> None:
        self.fractions.append(fraction)

    def logged(self, step: int | None, metrics: dict[str, float]) -> None:
        self.steps.append((step, metrics))

    def is_cancelled(self) -> bool:
        return len(self.fractions) >= self._patience


class Parrot:
    """Reads every digit as a 3; its loss is what it is given."""

    def __init__(self, *losses: float) -> None:
        self._losses = iter(losses)

    def learn(self, squares: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        return next(self._losses)

    def probabilities(self, squares: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        return np.tile(np.eye(10)[3], (len(squares), 1))


def test_every_epoch_is_reported_with_loss_and_accuracy(tmp_path: Path) -> None:
    client = Client(tmp_path)
    with progress.reporting(client):
        course = teach(Parrot(3.0, 2.0), Lessons(), 2)
    assert client.fractions == [0.5, 1.0]
    assert client.steps == [(number, {"loss": loss, "accuracy": 37 / 360}) for number, loss in ((1, 3.0), (2, 2.0))]
    assert (course.accuracy, course.loss, course.epochs, course.is_whole) == (0.1028, 2.0, 2, True)


def test_a_cancelled_course_ends_after_the_epoch_that_runs_and_says_so(tmp_path: Path) -> None:
    client = Client(tmp_path, patience=2)
    with progress.reporting(client):
        course = teach(Parrot(*[1.0] * 100), Lessons(), 100)
    assert (course.epochs, course.is_whole) == (2, False)
    assert course.result(None)["weights"] is None


def test_the_confusion_table_is_a_png_among_the_artifacts(tmp_path: Path) -> None:
    with progress.reporting(Client(tmp_path)):
        teach(Parrot(1.0), Lessons(), 1)
    with Image.open(tmp_path / "confusion.png") as table:
        assert (table.format, table.size) == ("PNG", (620, 620))


def test_a_loss_that_is_no_number_ends_the_course() -> None:
    with pytest.raises(FloatingPointError, match="a smaller learning_rate"):
        teach(Parrot(1.0, math.nan), Lessons(), 3)


def test_the_same_lessons_are_given_each_time_and_no_two_epochs_are_the_same() -> None:
    first, again = Lessons(), lessons_with(None)
    squares, labels = first.next()
    assert squares.shape == (3 * 1437, 8, 8)
    assert labels.shape == (3 * 1437,)
    assert (squares.min(), squares.max()) == (0, 16)
    np.testing.assert_array_equal(squares, again.next()[0])
    assert not np.array_equal(squares, first.next()[0])


def test_a_table_counts_who_was_taken_for_whom() -> None:
    counts = confusion(np.array([1, 1, 7]), np.array([1, 7, 7]))
    assert (counts[1, 1], counts[1, 7], counts[7, 7], counts.sum()) == (1, 1, 1, 3)
    assert draw_confusion(counts).startswith(b"\x89PNG")
