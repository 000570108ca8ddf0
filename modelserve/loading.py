"""Loads the model behind a reference, in a worker only: this is where model code is run for the first time.

ModelRef --> import of its module, file or dill's bytes --> the class's instance, or the module or object as it is
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from modelserve.discovery import CONTRACT, ModelRef, require_model
from modelserve.errors import DiscoveryError

__all__ = ["load"]


def load(ref: ModelRef) -> Any:
    """Import a model and return it: a class is instantiated, a module or object is as it is.

    A package that was written for DEEPaaS finds what it expects, and its model is adapted to our contract.

    Raises:
        DiscoveryError: It has no attribute of the name asked for, or nothing of the contract.
        BaseException: Whatever the model's own code raises.
    """
    if ref.is_deepaas:
        from modelserve import deepaas

        deepaas.host(ref.name)
        return deepaas.Adapted(_load(ref), ref.name)
    return _load(ref)


def _load(ref: ModelRef) -> Any:
    if ref.kind == "pickled":
        import dill

        found: Any = dill.loads(ref.payload)
    else:
        place, _, attribute = ref.target.partition(":")
        module = _load_file(Path(place)) if ref.kind == "file" else _load_module(place, ref.kind)
        found = _attribute(module, attribute, place) if attribute else _whole(module, place)
    model = _made(found) if inspect.isclass(found) else found
    require_model(model, ref.target if isinstance(model, types.ModuleType) else "")
    return model


def _made(kind: type) -> Any:
    try:
        signature = inspect.signature(kind)
    except ValueError:  # compiled: what it takes cannot be known
        return kind()
    try:
        signature.bind()
    except TypeError:
        sentence = f"The class {kind.__qualname__} is made without arguments, but takes {signature}"
        raise DiscoveryError(f"{sentence}: give each a default, or load what it needs in warm.") from None
    return kind()


def _load_module(name: str, kind: str) -> types.ModuleType:
    # As with "python -m": a module named on the command line may lie in the working directory.
    if kind == "module" and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _load_file(path: Path) -> types.ModuleType:
    """Run a file as a module of its stem's name, with its folder first on the path, as Python does with a script."""
    sys.path.insert(0, str(path.parent))
    # A model file called json.py must not take the place of a module that others have imported already.
    name = path.stem if path.stem not in sys.modules else f"modelserve_file_{path.stem}"
    loader = _SourceAsItIs(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, "a file with a loader always has a spec"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _SourceAsItIs(SourceFileLoader):
    """Never takes a cached .pyc, which is told by whole seconds and size: a file saved twice in one would run stale."""

    def get_code(self, fullname: str) -> types.CodeType:
        code: types.CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _attribute(module: types.ModuleType, path: str, place: str) -> Any:
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            names = _own_names(found)
            near = difflib.get_close_matches(part, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:20]) or 'no public names'}."
            raise DiscoveryError(f"{place} has no attribute {path!r}; {hint}") from error
    return found


def _whole(module: types.ModuleType, place: str) -> types.ModuleType:
    """Return the module; where it is no model but a class in it may be, say so."""
    classes = [name for name in _own_names(module) if inspect.isclass(getattr(module, name))]
    models = [name for name in classes if any(hasattr(getattr(module, name), part) for part in CONTRACT)]
    if models and not any(hasattr(module, part) for part in CONTRACT):
        raise DiscoveryError(f"{place} has no predict of its own; name a class in it, such as {place}:{models[0]}.")
    return module


def _own_names(owner: Any) -> list[str]:
    """Return the public names that were defined there, in that order, and not imported from elsewhere."""
    home = getattr(owner, "__name__", None)
    values = {name: value for name, value in vars(owner).items() if not name.startswith("_")}
    return [name for name, value in values.items() if getattr(value, "__module__", home) == home]
