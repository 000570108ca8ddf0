"""What a call costs inside the worker, without HTTP and without a process border.

    JSON bytes -> numpy -> predict -> numpy -> JSON bytes, through the contract and by hand

By hand is the least that does the same work: msgspec decodes, numpy makes the array, orjson writes it. It validates
nothing. Both run in this process, one thread, in turn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec
import numpy as np
import orjson

from modelserve.messages import Answer, Call
from modelserve.v2 import fields
from modelserve.v2.predictor import Parsed, Predictor

from .figures import Figure

__all__ = ["paths"]

_SIZES = (128, 16384)
_BATCH = 32


class _Echo:
    """Answers the array that it is given."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.schema = {"y": self._field()}

    def get_metadata(self) -> dict[str, str]:
        return {"name": "echo"}

    def get_predict_args(self) -> dict[str, Any]:
        return {"x": self._field()}

    def predict(self, x: Any) -> dict[str, Any]:
        return {"y": x}

    def _field(self) -> Any:
        return fields.NDArray(dtype="float32", shape=(self._size,), required=True)


class _Stacker(_Echo):
    """Stacks a batch once and splits it once."""

    max_batch_size = _BATCH

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"y": row} for row in np.stack([call["x"] for call in calls])]


def paths(repeats: int, duration_s: float, step: Callable[[str], None]) -> list[Figure]:
    """Return microseconds per call of the array's way, alone for each size and in a batch."""
    found = []
    for size in _SIZES:
        step(f"in process: {size} floats")
        body = _body(size)
        title = f"JSON to numpy and back, {size:,} floats, beside the same by hand"
        ways = _Ways(_through(_Echo(size), body), _by_hand([body]))
        found.append(_figure(f"path.{size}", title, ways, repeats, duration_s))
    step("in process: a batch")
    body = _body(_SIZES[0])
    title = f"predict_batch of {_BATCH} x {_SIZES[0]} floats, each call, beside the same by hand"
    ways = _Ways(_through(_Stacker(_SIZES[0]), body, _BATCH), _by_hand([body] * _BATCH), _BATCH)
    return [*found, _figure("path.batch", title, ways, repeats, duration_s)]


def _body(size: int) -> bytes:
    numbers = np.random.default_rng(size).random(size)
    return json.dumps({"x": [round(float(number), 6) for number in numbers]}, separators=(",", ":")).encode()


def _through(model: Any, body: bytes, count: int = 1) -> Callable[[], object]:
    """Return the run of the contract: ``count`` calls, answered together."""
    predictor = Predictor(model)
    calls = [Call(id=number, content_type="application/json", body=body) for number in range(count)]

    def run() -> list[Answer]:
        parsed = [item for call in calls if isinstance(item := predictor.parse(call), Parsed)]
        if predictor.batches:
            return list(predictor.run_batch(parsed))
        return [answer for item in parsed if isinstance(answer := predictor.run(item), Answer)]

    answers = run()
    assert len(answers) == count, "the bench's own model takes every call"
    assert not any(answer.failure for answer in answers), "and answers it"
    return run


def _by_hand(bodies: Sequence[bytes]) -> Callable[[], object]:
    def run() -> object:
        stacked = np.stack([np.asarray(msgspec.json.decode(body)["x"], np.float32) for body in bodies])
        return [orjson.dumps({"y": row}, option=orjson.OPT_SERIALIZE_NUMPY) for row in stacked]

    return run


@dataclass(frozen=True)
class _Ways:
    """One thing done in two ways, each ``calls`` times a run."""

    ours: Callable[[], object]
    by_hand: Callable[[], object]
    calls: int = 1


def _figure(name: str, title: str, ways: _Ways, repeats: int, duration_s: float) -> Figure:
    pairs = [(_each_us(ways.ours, duration_s), _each_us(ways.by_hand, duration_s)) for _ in range(repeats)]
    value = median(ours for ours, _ in pairs) / ways.calls
    return Figure(name, title, value, "µs", median(ours / other for ours, other in pairs), digits=1)


def _each_us(run: Callable[[], object], duration_s: float) -> float:
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < duration_s:
        run()
        done += 1
    return spent / done * 1e6
