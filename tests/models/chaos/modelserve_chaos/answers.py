"""Modes whose return value is hard or impossible to send."""

from __future__ import annotations

import socket
import sys
import types
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .asked import Asked, Mode

__all__ = ["ANSWER_MODES"]

_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)


class Unpicklable:
    """An object that refuses to be pickled, and to say what it is."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise RuntimeError("this object cannot be pickled")

    def __str__(self) -> str:
        raise RuntimeError("this object has no text")

    __repr__ = __str__


def _echo(asked: Asked) -> dict[str, Any]:
    return {"mode": asked.mode, "n": asked.n, "text": asked.text, "data": asked.data}


def _unpick(asked: Asked) -> object:
    return Unpicklable()


def _unpick_parent(asked: Asked) -> Any:
    """Answer an object whose class can be imported in this process only."""
    module = types.ModuleType("modelserve_chaos_only_here")
    exec("class OnlyHere: pass", module.__dict__)
    sys.modules[module.__name__] = module
    return module.OnlyHere()


def _lambda(asked: Asked) -> object:
    return lambda: None


def _socket(asked: Asked) -> object:
    return socket.socket()


def _nested(value: object) -> Mode:
    # Within a dict, since a lone strange object may be answered as its text.
    return lambda asked: {"value": value}


def _nan(asked: Asked) -> dict[str, float]:
    return {"x": float("nan"), "y": float("inf"), "z": float("-inf")}


def _bigint(asked: Asked) -> dict[str, int]:
    """Answer an integer of n digits (5000)."""
    return {"x": 10 ** (int(asked.number(5000)) - 1)}


def _surrogate(asked: Asked) -> dict[str, str]:
    return {"lone": "\ud800", "controls": "\x00\x1b\x7f\u2028", "\udfff key\x00": "value"}


def _selfref(asked: Asked) -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    return loop


def _deep(asked: Asked) -> list[Any]:
    """Answer lists nested n deep (100,000)."""
    value: list[Any] = []
    for _ in range(int(asked.number(100_000))):
        value = [value]
    return value


def _numpy(asked: Asked) -> dict[str, Any]:
    import numpy as np

    return {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "turned": np.arange(6).reshape(2, 3).T,
        "scalar": np.int64(7),
        "half": np.float16(0.5),
        "flag": np.bool_(True),
        "point": np.array(3),
        "time": np.datetime64("2026-01-02T03:04:05"),
    }


def _nat(asked: Asked) -> dict[str, Any]:
    import numpy as np

    return {"value": np.datetime64("NaT")}


def _big(asked: Asked) -> dict[str, str]:
    """Answer n megabytes (64) of text."""
    return {"text": "x" * (int(asked.number(64)) * 1024 * 1024)}


def _big_bytes(asked: Asked) -> bytes:
    """Answer n megabytes (4) of bytes, as they are."""
    return b"x" * (int(asked.number(4)) * 1024 * 1024)


def _length(asked: Asked) -> dict[str, int]:
    """Answer how long ``text`` is, for calls with large bodies."""
    return {"characters": len(asked.text)}


def _bad_schema(asked: Asked) -> dict[str, Any]:
    """Answer what fits neither the declared types nor the declared names."""
    return {"mode": {"not": "text"}, "surprise": 1}


ANSWER_MODES: dict[str, Mode] = {
    "ok": _echo,
    "none": lambda asked: None,
    "str": lambda asked: asked.text or "plain words",
    "list": lambda asked: [1, 2, 3],
    "unpick": _unpick,
    "unpick_parent": _unpick_parent,
    "unpick_inside": lambda asked: {"value": Unpicklable()},
    "lambda": _lambda,
    "socket": _socket,
    "socket_inside": lambda asked: {"value": _socket(asked)},
    "nan": _nan,
    "bigint": _bigint,
    "surrogate": _surrogate,
    "selfref": _selfref,
    "deep": _deep,
    "bytes": _nested(b"\xff\x00"),
    "raw_bytes": lambda asked: b"\xff\x00raw",
    "png": lambda asked: _PNG,
    "set": _nested({1, 2}),
    "decimal": _nested(Decimal("1.10")),
    "complex": _nested(1j),
    "datetime": _nested(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    "numpy": _numpy,
    "nat": _nat,
    "big": _big,
    "big_bytes": _big_bytes,
    "length": _length,
    "bad_schema": _bad_schema,
}
"""Mode names and what they answer."""
