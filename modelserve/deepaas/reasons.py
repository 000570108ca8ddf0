"""Lets a model raise aiohttp's exceptions with anything as their reason, as ``HTTPBadRequest(reason=error)``.

aiohttp looks for line breaks in a reason, so one that is no text was a TypeError, and one of several lines a
ValueError: neither told the client what the model had said. Here the whole text is the body, and the reason its first
line.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

__all__ = ["take_any_reason"]

_MODULE = "aiohttp.web_exceptions"


def take_any_reason() -> None:
    """Change aiohttp's exceptions in this process, now or as soon as somebody imports them."""
    if _MODULE in sys.modules:
        _change(sys.modules[_MODULE])
    else:
        sys.meta_path.insert(0, _OnImport())


class _OnImport(importlib.abc.MetaPathFinder):
    """Finds the one module as the others do, and has it changed once it has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_change(module: ModuleType) -> None:
                run(module)
                _change(module)

            spec.loader.exec_module = run_and_change  # type: ignore[method-assign]
        return spec


def _change(module: ModuleType) -> None:
    module.HTTPException.__init__ = _with_any_reason(module.HTTPException.__init__)


def _with_any_reason(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def with_any_reason(self: Any, *args: Any, reason: Any = None, **kwargs: Any) -> None:
        if reason is not None and (not isinstance(reason, str) or "\n" in reason or "\r" in reason):
            whole = str(reason)
            if kwargs.get("text") is None and kwargs.get("body") is None:
                kwargs["text"] = whole
            reason = next(iter(whole.splitlines()), "")
        init(self, *args, reason=reason or None, **kwargs)

    return with_any_reason
