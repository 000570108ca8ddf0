"""Modes that raise: the model's own errors, those that end a process, and those that modelserve lets clients read."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

from .asked import Asked, Mode

__all__ = ["ERROR_MODES", "SECRET"]

SECRET = "password=hunter2 at /home/x"
"""What no client may ever read."""

_HOSTILE = f"{SECRET}\r\nX-Injected: 1\x00\x1b[31m<script>alert(1)</script>\ud800"


class TwoArgumentError(Exception):
    """Cannot be unpickled: ``args`` holds one value, its constructor wants two."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


def _raise(asked: Asked) -> None:
    raise RuntimeError(asked.text or _HOSTILE)


def _raise_twoarg(asked: Asked) -> None:
    raise TwoArgumentError(SECRET, "two")


def _raise_hugemsg(asked: Asked) -> None:
    raise RuntimeError("x" * (int(asked.number(10)) * 1024 * 1024))


def _raise_str(asked: Asked) -> None:
    """Raise an exception whose own text cannot be made."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

        __repr__ = __str__

    raise UnspeakableError


def _raise_local(asked: Asked) -> None:
    """Raise an exception whose class can be imported in this process only."""
    module = types.ModuleType("modelserve_chaos_local")
    exec("class LocalError(Exception): pass", module.__dict__)
    sys.modules[module.__name__] = module
    raise module.LocalError(SECRET)


def _raise_group(asked: Asked) -> None:
    raise BaseExceptionGroup("two at once", [SystemExit(4), ValueError(SECRET)])


def _sysexit(asked: Asked) -> None:
    sys.exit(3)


def _kbint(asked: Asked) -> None:
    raise KeyboardInterrupt


def _genexit(asked: Asked) -> None:
    raise GeneratorExit


def _public(name: str, *more: Any) -> Callable[[Asked], None]:
    def mode(asked: Asked) -> None:
        from modelserve import errors

        raise getattr(errors, name)(*(more or (asked.text or "The chaos model says no.",)))

    return mode


ERROR_MODES: dict[str, Mode] = {
    "raise": _raise,
    "raise_twoarg": _raise_twoarg,
    "raise_hugemsg": _raise_hugemsg,
    "raise_str": _raise_str,
    "raise_local": _raise_local,
    "raise_group": _raise_group,
    "sysexit": _sysexit,
    "kbint": _kbint,
    "genexit": _genexit,
    "bad_request": _public("BadRequest"),
    "not_found": _public("NotFound"),
    "invalid": _public("InvalidArguments", {"text": ["The chaos model does not like this text."]}),
}
"""Mode names and what they raise."""
