"""What is measured: how each server is started, what it is asked, and how its answer is known to be right."""

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

__all__ = ["BARE", "Case", "all_cases", "missing"]

BARE = "bare"

_HERE = Path(__file__).resolve().parent
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """One server under load.

    ``command`` starts it in an empty folder; it prints ``... ready on URL`` on stdout. ``path`` is where to POST
    ``body``, or "" for the predict route of the one model that it serves. ``right`` judges the parsed JSON answer.
    ``needs`` names packages that must be installed beside modelserve.
    """

    name: str
    title: str
    command: tuple[str, ...]
    body: bytes
    right: Callable[[Any], bool]
    path: str = ""
    needs: tuple[str, ...] = ()


def all_cases() -> list[Case]:
    """Return every case, the yardstick first."""
    return [_bare(), _adder(), _mlp("mlp", "Single"), _mlp("mlp-batched", "Batched")]


def missing(case: Case) -> list[str]:
    """Return the packages that the case needs and this Python does not have."""
    return [name for name in case.needs if importlib.util.find_spec(name) is None]


def _bare() -> Case:
    return Case(
        name=BARE,
        title="bare aiohttp",
        # -P keeps this folder off the path: its profile.py would hide the standard library's.
        command=(sys.executable, "-P", str(_HERE / "bare.py")),
        path=bare.PATH,
        body=b'{"x": 1}',
        right=lambda answer: bool(answer == json.loads(bare.ANSWER)),
    )


def _adder() -> Case:
    return Case(
        name="adder",
        title="x + 1",
        command=_modelserve("adder.py"),
        body=b'{"x": 1}',
        right=lambda answer: bool(answer == {"y": 2}),
    )


def _mlp(name: str, attribute: str) -> Case:
    suffix = " batched" if attribute == "Batched" else ""
    # Six decimals, as a client writes a feature: about 1.2 kB a request.
    vector = [round(math.sin(number), 6) for number in range(128)]
    return Case(
        name=name,
        title=f"MLP{suffix}",
        command=_modelserve(f"mlp.py:{attribute}"),
        body=json.dumps({"x": vector}, separators=(",", ":")).encode(),
        right=lambda answer: _mlp_right(vector, answer),
        needs=("torch", "numpy"),
    )


def _modelserve(target: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "modelserve", "run", str(_HERE / "models" / target), "--port", "0")


def _mlp_right(vector: list[float], answer: Any) -> bool:
    # numpy is needed by this case alone; the others run without.
    import numpy as np

    from .models import mlp

    right = mlp.expected(np.asarray(vector, np.float32)).tolist()
    found = answer.get("y", []) if isinstance(answer, dict) else []
    return len(found) == len(right) and all(abs(a - b) < _TOLERANCE for a, b in zip(found, right, strict=True))
