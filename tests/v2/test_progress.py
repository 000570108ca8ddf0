"""What an author says while training: numbers of any kind, in and outside of a training."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelserve.v2 import progress
from modelserve.v2.progress import Progress


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self, artifacts: str = "") -> None:
        self.told: list[tuple[Any, ...]] = []
        self.artifacts = artifacts
        self.is_asked = False

    def progressed(self, fraction: float | None, metrics: dict[str, float]) -> None:
        self.told.append((fraction, metrics))

    def logged(self, step: int | None, metrics: dict[str, float]) -> None:
        self.told.append(("step", step, metrics))

    def is_cancelled(self) -> bool:
        return self.is_asked


class Tensor:
    """What torch's tensors are to us, without torch."""

    def __init__(self, *values: float) -> None:
        self.values = values
        self.shape = (len(values),)

    def item(self) -> float:
        if len(self.values) != 1:
            raise RuntimeError(f"a Tensor with {len(self.values)} elements cannot be converted to Scalar")
        return self.values[0]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A reporter of a training that runs."""
    recorder = Recorder()
    with progress.reporting(recorder):
        yield recorder


def test_how_far_it_has_come_is_told_with_its_metrics(recorder: Recorder) -> None:
    progress(0.25)
    progress(0.5, loss=0.1, accuracy=1)
    assert recorder.told == [(0.25, {}), (0.5, {"loss": 0.1, "accuracy": 1.0})]


@pytest.mark.parametrize(
    ("said", "told"), [(1.5, 1.0), (-1, 0.0), (True, 1.0), (np.float32(0.5), 0.5), (math.inf, 1.0)]
)
def test_a_fraction_beyond_its_range_is_taken_to_its_end(recorder: Recorder, said: Any, told: float) -> None:
    progress(said)
    assert recorder.told == [(told, {})]


def test_a_fraction_that_is_nan_is_unknown(recorder: Recorder) -> None:
    progress(math.nan, loss=1)
    assert recorder.told == [(None, {"loss": 1.0})]


def test_metrics_may_have_any_name(recorder: Recorder) -> None:
    progress(0.5, fraction=2, self=3)
    progress.log(**{"val/loss": 1})
    assert recorder.told == [(0.5, {"fraction": 2.0, "self": 3.0}), ("step", None, {"val/loss": 1.0})]


def test_steps_are_told_with_theirs(recorder: Recorder) -> None:
    progress.log(loss=0.5)
    progress.log(step=np.int64(7), loss=0.25)
    assert recorder.told == [("step", None, {"loss": 0.5}), ("step", 7, {"loss": 0.25})]


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.float32(2),
        np.int8(2),
        np.array(2),
        np.array([2.0]),
        np.array([[2]]),
        Decimal(2),
        Tensor(2.0),
        Tensor(2),
    ],
)
def test_numbers_of_any_kind_are_metrics(recorder: Recorder, value: Any) -> None:
    progress.log(value=value)
    assert recorder.told == [("step", None, {"value": 2})]
    assert type(recorder.told[0][2]["value"]) in (int, float)


@pytest.mark.parametrize("number", [2**53 + 1, 2**70, -(10**4299)])
def test_whole_numbers_are_told_exactly(recorder: Recorder, number: int) -> None:
    """X12."""
    progress.log(seen=number)
    assert recorder.told == [("step", None, {"seen": number})]


def test_a_whole_number_that_cannot_be_written_is_refused() -> None:
    """X12."""
    with pytest.raises(ValueError, match="the metric 'seen' is an integer of more than 4300 digits"):
        progress.log(seen=10**4300)


def test_nan_and_what_is_beyond_all_floats_are_metrics(recorder: Recorder) -> None:
    progress.log(a=math.nan, b=-math.inf, c=Fraction(10**400))
    (_, _, told) = recorder.told[0]
    assert math.isnan(told["a"])
    assert (told["b"], told["c"]) == (-math.inf, math.inf)


@pytest.mark.parametrize("inside", [True, False], ids=["in a training", "outside"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0.1", "the metric 'loss' is of type builtins.str, but must be one number"),
        (None, "is of type builtins.NoneType"),
        (1j, "is of type builtins.complex"),
        ([1], "is of type builtins.list"),
        ({}, "is of type builtins.dict"),
        (np.zeros((2, 3)), r"is of type numpy.ndarray of shape \(2, 3\), but must be one number"),
        (np.array("text"), "is of type numpy.ndarray"),
        (Tensor(1, 2), r"Tensor of shape \(2,\)"),
    ],
)
def test_a_metric_that_is_no_number_is_a_type_error(value: Any, why: str, inside: bool) -> None:
    own, recorder = Progress(), Recorder()
    with own.reporting(recorder) if inside else progress.reporting(recorder):
        with pytest.raises(TypeError, match=why):
            own.log(loss=value)
        with pytest.raises(TypeError, match="one number"):
            own(0.1, loss=value)
        with pytest.raises(TypeError, match="the fraction is of type"):
            own(value)
    assert recorder.told == []


@pytest.mark.parametrize("step", ["1", 1.0, None.__class__])
def test_a_step_that_is_no_whole_number_is_a_type_error(recorder: Recorder, step: Any) -> None:
    with pytest.raises(TypeError, match="the step is of type"):
        progress.log(step=step, loss=1)


@pytest.mark.parametrize("step", [-1, 2**63])
def test_a_step_that_no_database_keeps_is_a_value_error(recorder: Recorder, step: int) -> None:
    with pytest.raises(ValueError, match=f"the step is {step}, but must be from 0"):
        progress.log(step=step, loss=1)


def test_threads_of_the_author_tell_the_same_training(recorder: Recorder) -> None:
    thread = threading.Thread(target=lambda: progress.log(step=1, loss=0.5))
    thread.start()
    thread.join()
    assert recorder.told == [("step", 1, {"loss": 0.5})]


def test_cancelled_is_what_the_reporter_says(recorder: Recorder) -> None:
    assert not progress.cancelled
    recorder.is_asked = True
    assert progress.cancelled


def test_artifacts_are_where_the_reporter_says_and_the_folder_is_made(tmp_path: Path) -> None:
    with progress.reporting(Recorder(str(tmp_path / "jobs" / "artifacts"))):
        folder = progress.artifacts
        assert folder == tmp_path / "jobs" / "artifacts"
        assert folder.is_dir()


def test_outside_of_a_training_nothing_happens() -> None:
    own = Progress()
    own(0.5, loss=1)
    own.log(loss=1)
    assert own.cancelled is False


def test_a_training_that_is_over_is_not_told_any_more(recorder: Recorder) -> None:
    other = Recorder()
    with progress.reporting(other):
        pass
    progress(0.5)
    assert (other.told, recorder.told) == ([], [(0.5, {})])


OUTSIDE = """
import os
from modelserve.v2 import progress
folder = progress.artifacts
(folder / "file").write_text("kept")
assert progress.artifacts == folder
if os.fork() == 0:
    raise SystemExit  # its end must not take the folder away
os.wait()
assert folder.is_dir()
print(folder)
"""


def test_outside_the_folder_of_artifacts_is_temporary(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", OUTSIDE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_hundred_thousand_calls_outside_cost_little() -> None:
    own, since = Progress(), time.process_time()
    for step in range(100_000):
        own(step / 100_000, loss=0.1)
    assert time.process_time() - since < 1
