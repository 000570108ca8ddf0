"""What is loaded: how each server is started, what it is asked, and how its answer is known to be right.

A group is loaded together, at the same numbers of connections, beside the bare handlers that it is compared with.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import bare

__all__ = [
    "BARE",
    "ONE_THREAD",
    "Case",
    "Group",
    "adder",
    "bare_case",
    "json_is",
    "missing",
    "mlp_answer",
    "mlp_body",
    "mlp_vector",
    "modelserve",
    "small",
]

BARE = "bare"

ONE_THREAD = (("OMP_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1"))
"""What every server of a small torch model is given: with more threads than idle cores, they wait for each other."""

_HERE = Path(__file__).resolve().parent
_TOLERANCE = 1e-4
_JSON = "application/json"


@dataclass(frozen=True)
class Case:
    """One server under load.

    ``command`` starts it in an empty folder. It prints ``... ready on URL`` on stdout; or a part of it holds
    ``{port}``, which is replaced by a free port, and it is ready when it answers right. ``path`` is where to POST
    ``body``, or "" for the predict route of the one model that it serves. ``right`` judges the answer's body.
    ``beside`` is the case of the same group that it is compared with, and ``needs`` names packages that must be
    installed beside modelserve. ``environment`` is added to the bench's own.
    """

    name: str
    title: str
    command: tuple[str, ...]
    body: bytes
    right: Callable[[bytes], bool]
    path: str = ""
    content_type: str = _JSON
    beside: str = BARE
    needs: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Cases that are loaded in turn; ``connections`` is () for those that the caller asks for."""

    name: str
    title: str
    cases: tuple[Case, ...]
    connections: tuple[int, ...] = ()


def small() -> Group:
    """Return the small requests: what each costs, and a model in torch that batches."""
    vector = mlp_body()
    cases = (
        bare_case(BARE, "bare aiohttp", b'{"x": 1}'),
        adder(),
        bare_case("bare-mlp", "bare aiohttp, MLP's body", vector),
        _mlp("mlp", "MLP", "Single"),
        _mlp("mlp-batched", "MLP batched", "Batched"),
    )
    return Group("small", "Small requests", cases)


def missing(case: Case) -> list[str]:
    """Return the packages that the case needs and this Python does not have."""
    return [name for name in case.needs if importlib.util.find_spec(name) is None]


def bare_case(name: str, title: str, body: bytes, path: str = bare.PATH) -> Case:
    """Return the yardstick, given this body; its constant answer is what is right."""
    return Case(
        name=name,
        title=title,
        # -P keeps this folder off the path: its profile.py would hide the standard library's.
        command=(sys.executable, "-P", str(_HERE / "bare.py")),
        path=path,
        body=body,
        right=json_is(json.loads(bare.ANSWER)),
        beside=name,
    )


def adder() -> Case:
    """Return the smallest model there is."""
    return Case(
        name="adder",
        title="x + 1",
        command=modelserve("adder.py"),
        body=b'{"x": 1}',
        right=json_is({"y": 2}),
    )


def modelserve(target: str, *flags: str) -> tuple[str, ...]:
    """Return the command that serves one of our models by its file, on a free port."""
    return (sys.executable, "-m", "modelserve", "run", str(_HERE / "models" / target), "--port", "0", *flags)


def json_is(wanted: Any) -> Callable[[bytes], bool]:
    """Return a judge that accepts this JSON value alone."""
    return lambda body: bool(_parsed(body) == wanted)


def mlp_body() -> bytes:
    """Return the perceptron's request: 128 numbers of six decimals, as a client writes a feature; about 1.2 kB."""
    return json.dumps({"x": mlp_vector()}, separators=(",", ":")).encode()


def mlp_vector() -> list[float]:
    """Return the numbers in it."""
    return [round(math.sin(number), 6) for number in range(128)]


def mlp_answer(numbers: Any) -> bool:
    """Tell whether these are the perceptron's ten numbers for that vector."""
    # numpy is needed by these cases alone; the others run without.
    import numpy as np

    from .models import perceptron

    right = perceptron.expected(np.asarray(mlp_vector(), np.float32)).tolist()
    if not isinstance(numbers, list) or len(numbers) != len(right):
        return False
    return all(abs(a - b) < _TOLERANCE for a, b in zip(numbers, right, strict=True))


def _mlp(name: str, title: str, attribute: str) -> Case:
    return Case(
        name=name,
        title=title,
        command=modelserve(f"mlp.py:{attribute}"),
        body=mlp_body(),
        right=_mlp_right,
        beside="bare-mlp",
        needs=("torch", "numpy"),
        environment=ONE_THREAD,
    )


def _mlp_right(body: bytes) -> bool:
    answer = _parsed(body)
    return isinstance(answer, dict) and mlp_answer(answer.get("y"))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
