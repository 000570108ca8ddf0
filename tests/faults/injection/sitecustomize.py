"""Makes chosen functions of a server raise, on order: loaded by Python itself at the start of a process.

It is on the path of a server that a test has started so; tests/faults/injected.py says how. Nothing of the server is
changed in the process of the tests, and a function that is not chosen stays what it is.

    FOLDER/targets    which functions, a line "module:qualname" each
    FOLDER/armed      {"target", "error", "at", "times", "after"}: which of them raises now; it is read at each call
    FOLDER/fired      gets a line each time that one has raised
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib.abc
import importlib.machinery
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

FOLDER = os.environ.get("INJECTED", "")

# What the command line of the process has in it, so that a server's workers are not meant where it is.
INTO = os.environ.get("INJECTED_INTO", "modelserve run")


class Injector:
    """Knows what is armed, and raises it when its turn has come."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._armed = ""
        self._calls = 0

    def read(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self._folder, name)) as file:
            return file.read()
        return ""

    def is_due(self, target: str, *, after: bool) -> str:
        """Return the error that a call of a target is to raise, "" for none."""
        with self._lock:
            text = self.read("armed")
            if text != self._armed:
                self._armed, self._calls = text, 0
            armed = json.loads(text) if text else {}
            if armed.get("target") != target or armed["after"] != after:
                return ""
            self._calls += 1
            if not armed["at"] <= self._calls < armed["at"] + armed["times"]:
                return ""
            if len(self.read("fired").splitlines()) >= armed["times"]:  # in another process of the kind
                return ""
            with open(os.path.join(self._folder, "fired"), "a") as file:
                file.write(f"{target}\n")
            return str(armed["error"])

    def check(self, target: str, *, after: bool) -> None:
        """Raise where it is due."""
        if due := self.is_due(target, after=after):
            name, _, number = due.partition(":")
            kind: type[BaseException] = getattr(builtins, name)
            raise kind(int(number), "injected") if number else kind("injected")

    def wrapped(self, target: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, unless it is to raise before or after."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*arguments: Any, **named: Any) -> Any:
                self.check(target, after=False)
                result = await function(*arguments, **named)
                self.check(target, after=True)
                return result

            return awaited

        @functools.wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            self.check(target, after=False)
            result = function(*arguments, **named)
            self.check(target, after=True)
            return result

        return called


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the targets as usual, and wraps the targets once they are loaded."""

    def __init__(self, injector: Injector, targets: Sequence[str]) -> None:
        self._injector = injector
        self._targets: dict[str, list[str]] = {}
        for target in targets:
            self._targets.setdefault(target.partition(":")[0], []).append(target)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._targets:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader, lambda module: self._wrap(module))
        return spec

    def _wrap(self, module: ModuleType) -> None:
        for target in self._targets[module.__name__]:
            *owners, name = target.partition(":")[2].split(".")
            owner: Any = functools.reduce(getattr, owners, module)
            found = vars(owner)[name]
            if isinstance(found, staticmethod | classmethod):
                wrapped: Any = type(found)(self._injector.wrapped(target, found.__func__))
            else:
                wrapped = self._injector.wrapped(target, found)
            setattr(owner, name, wrapped)


class Loader(importlib.abc.Loader):
    """A loader with something to be done to the module after it is loaded."""

    def __init__(self, loader: importlib.abc.Loader, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._then(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


if FOLDER and INTO in " ".join(sys.orig_argv):
    _injector = Injector(FOLDER)
    sys.meta_path.insert(0, Finder(_injector, _injector.read("targets").split()))
