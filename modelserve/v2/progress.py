"""What a training tells while it runs, and what it is told.

    train --progress(0.4, loss=0.1), progress.log(step=3, loss=0.1)--> Reporter --> the job
    train <-----------progress.cancelled, progress.artifacts---------- Reporter

An author imports the one ``progress`` object; the process that runs a training gives it its reporter. There is one
training in a process at most, so every thread of it finds the same reporter: a context variable alone would be empty
in the threads that an author starts. It does no I/O but to make the folder of artifacts.
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, SupportsFloat, SupportsIndex

from modelserve.removal import remove_tree

__all__ = ["Progress", "Reporter", "progress"]

# What a database's largest integer holds.
STEPS = range(2**63)

# Python converts integers of more digits neither to text nor from it (sys.int_info.default_max_str_digits).
DIGITS = 4300
BEYOND = 10**DIGITS


class Reporter(Protocol):
    """Who is told of a training's progress. Any thread may call it, and no call may block."""

    def progressed(self, fraction: float | None, metrics: dict[str, int | float]) -> None:
        """The training has come so far, from 0 to 1, None where that is no number; the dict is the reporter's."""

    def logged(self, step: int | None, metrics: dict[str, int | float]) -> None:
        """These are the metrics of a step, of the next one where it is None; the dict is the reporter's."""

    def is_cancelled(self) -> bool:
        """Return whether the training is to end; that it was asked, and told so, is remembered."""

    @property
    def artifacts(self) -> str:
        """The folder for files to keep, "" for none."""


class Progress:
    """What ``train`` says of itself, and learns: ``from modelserve.v2 import progress``.

    It may be used from any thread of the process that runs ``train``, as often as one likes: what comes faster than
    ten times a second is gathered. Child processes cannot report. Outside of a training it does nothing: ``cancelled``
    is False, and ``artifacts`` a temporary folder. So ``train`` can be called, and tested, like any function.
    """

    def __init__(self) -> None:
        self._reporter: Reporter | None = None
        self._folder = ""

    def __call__(self, fraction: SupportsFloat, /, **metrics: SupportsFloat) -> None:
        """Say how far the training has come, and where wanted its metrics.

        Args:
            fraction: From 0 to 1; what is beyond is taken as 0 or 1, and NaN as unknown.
            **metrics: Numbers by name; of numpy and torch, scalars and whatever has one element. Whole numbers are
                kept exactly, NaN and infinity as null.

        Raises:
            TypeError: One of them is no number.
            ValueError: One of them is an integer of more digits than Python writes.
        """
        done = _fraction(fraction)
        numbers = _numbers(metrics)
        if self._reporter is not None:
            self._reporter.progressed(min(max(done, 0.0), 1.0) if done == done else None, numbers)

    def log(self, *, step: SupportsIndex | None = None, **metrics: SupportsFloat) -> None:
        """Say the metrics of one step, such as an epoch; they are kept by step, for plots.

        Args:
            step: 0 or more; without it, the step after the last one, 0 at first.
            **metrics: As above.

        Raises:
            TypeError: A metric is no number, or the step no whole number.
            ValueError: The step is below 0, or above what a database can keep; a metric as above.
        """
        number = None if step is None else _step(step)
        numbers = _numbers(metrics)
        if self._reporter is not None:
            self._reporter.logged(number, numbers)

    @property
    def cancelled(self) -> bool:
        """Whether the training is to end, because its job was cancelled or the server stops.

        A training that looks at it can save what it has and return; one that does not is ended by signals after
        ``train_cancel_s`` seconds.
        """
        return self._reporter is not None and self._reporter.is_cancelled()

    @property
    def artifacts(self) -> Path:
        """A folder that is there. The files that ``train`` writes into it are kept with the job, for download."""
        folder = self._reporter.artifacts if self._reporter is not None else ""
        if not folder:
            folder = self._folder = self._folder or self._temporary()
        os.makedirs(folder, exist_ok=True)
        return Path(folder)

    @contextlib.contextmanager
    def reporting(self, reporter: Reporter) -> Iterator[None]:
        """Tell a reporter for as long as the block runs; for those who run a model's ``train``, not for authors."""
        before, self._reporter = self._reporter, reporter
        try:
            yield
        finally:
            self._reporter = before

    def _temporary(self) -> str:
        folder = tempfile.mkdtemp(prefix="modelserve-artifacts-")
        weakref.finalize(self, _remove, folder, os.getpid())
        return folder


def _fraction(value: Any) -> float:
    number = _number("the fraction", value)
    try:
        return float(number)
    except OverflowError:  # an integer beyond all floats
        return math.inf if number > 0 else -math.inf


def _numbers(metrics: Mapping[str, Any]) -> dict[str, int | float]:
    return {
        name: value if type(value) is float else _number(f"the metric {name!r}", value)
        for name, value in metrics.items()
    }


def _number(what: str, value: Any) -> int | float:
    if type(value) is float:
        return value
    try:
        plain = value.item() if callable(getattr(value, "item", None)) else value
        number = int(plain) if isinstance(plain, int) else float(plain) if hasattr(plain, "__float__") else None
    except OverflowError:  # of a type that is no integer, and beyond all floats
        return math.inf
    except (TypeError, ValueError, RuntimeError) as error:  # more than one element, of numpy and of torch
        raise _no_number(what, value) from error
    if number is None:
        raise _no_number(what, value)
    if abs(number) >= BEYOND and type(number) is int:
        raise ValueError(f"{what} is an integer of more than {DIGITS} digits")
    return number


def _no_number(what: str, value: Any) -> TypeError:
    kind = type(value)
    shape = f" of shape {tuple(value.shape)}" if isinstance(getattr(value, "shape", None), tuple) else ""
    return TypeError(f"{what} is of type {kind.__module__}.{kind.__qualname__}{shape}, but must be one number")


def _step(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError as error:
        raise TypeError(f"the step is of type {type(step).__qualname__}, but must be a whole number") from error
    if number not in STEPS:
        raise ValueError(f"the step is {number}, but must be from 0 to {STEPS.stop - 1}")
    return number


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # a fork has the finalizer too, and not the folder
        with contextlib.suppress(OSError):
            remove_tree(folder)


progress = Progress()
"""The one object that authors import."""
