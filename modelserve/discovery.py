"""Finds models without importing them.

    entry points | package.module[:attr] | file.py[:attr] | a Python object   ->   ModelRef

It runs in the server's process and imports no model code: it reads the metadata of installed distributions, and looks
whether files and top-level packages are there. ``loading`` makes a model of what it found, in a worker.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import logging
import os
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from modelserve import elsewhere
from modelserve.carrying import pickled
from modelserve.errors import DiscoveryError, NoModel
from modelserve.names import DEEPAAS_GROUP, GROUPS, NAME_RULE, is_name
from modelserve.text import is_text, shown

__all__ = ["CONTRACT", "ModelRef", "again", "carry", "find", "installed", "require_model"]

logger = logging.getLogger(__name__)

# What a model may provide.
CONTRACT = ("predict", "predict_batch", "train", "get_predict_args", "get_train_args", "get_metadata", "warm")

# What of a distribution's texts is kept: a licence field may hold the whole licence.
_TEXT_LIMIT = 300


class ModelRef(msgspec.Struct, frozen=True):
    """Where a model is, for a worker to load.

    ``name`` is the deployment's name. ``target`` is ``package.module[:attr]`` or ``/absolute/file.py[:attr]``.
    ``distribution`` has name, version, license, author, url and summary of the package that the model came with, and
    is empty for others. ``payload`` is the model itself in dill's form where ``kind`` is "pickled". ``model`` is the
    name of the entry point where the deployment has another, else ""; ``python`` the interpreter in whose environment
    it was found, "" for this one. ``group`` is the entry point's, "" for what is none.
    """

    name: str
    kind: Literal["entry_point", "module", "file", "pickled"]
    target: str
    distribution: dict[str, str] = {}
    payload: bytes = b""
    model: str = ""
    python: str = ""
    group: str = ""

    @property
    def is_deepaas(self) -> bool:
        """Whether the package was written for DEEPaaS."""
        return self.group == DEEPAAS_GROUP

    @property
    def identity(self) -> str:
        """What tells this model from another of its name, whatever its version; "" for one that a program carries.

        A model that came with a package stays the same where it moves within that package.
        """
        if self.kind == "pickled":
            return ""
        if self.kind == "entry_point":
            return f"{self.distribution.get('name', '').lower()}:{self.model or self.name}"
        return self.target


def installed(group: str = "") -> list[ModelRef]:
    """Return the models of all installed distributions, by name.

    Args:
        group: The entry-point group; "" for all of ``GROUPS``.

    Raises:
        DiscoveryError: Two models have one name, or one has a bad name or target; the message names distributions.
    """
    found: dict[str, tuple[ModelRef, str]] = {}
    for distribution, point in _entry_points((group,) if group else GROUPS):
        ref, owner = _ref(distribution, point), _owner(distribution)
        if ref.name in found:
            raise DiscoveryError(_twice(found[ref.name], (ref, owner)))
        found[ref.name] = (ref, owner)
    return [found[name][0] for name in sorted(found)]


def find(
    wanted: Sequence[str],
    group: str = "",
    *,
    deployments: Mapping[str, str] = MappingProxyType({}),
    python_of: Callable[[str], str] = lambda name: "",
) -> list[ModelRef]:
    """Return the models that were asked for; where none was, the deployments, and where there are none, all installed.

    Args:
        wanted: Names of ``deployments``, installed names, ``package.module[:attr]`` or ``file.py[:attr]``, looked for
            in this order; asked for twice is found once.
        group: The entry-point group; "" for all of ``GROUPS``.
        deployments: Names of the operator's own and the model behind each, so that one model may have several names.
        python_of: Gives the interpreter in whose environment to look for a name, "" for this one; asked for "" where
            all installed models are wanted.

    Raises:
        NoModel: One is not there, or none is installed.
        DiscoveryError: Two have one name.
    """
    known = {ref.name: ref for ref in installed(group)}
    if not (wanted or deployments):
        return _all(known, group, python_of(""))
    refs: dict[str, ModelRef] = {}
    for text in wanted or deployments:
        ref = _one(text, deployments.get(text), known, group, python_of(text))
        if refs.setdefault(ref.name, ref) != ref:
            raise DiscoveryError(
                f"Two models have the name {ref.name!r}, {refs[ref.name].target} and {ref.target}: "
                "rename one, or name a class or object in it with :attr."
            )
    return list(refs.values())


def again(ref: ModelRef, group: str = "", *, is_awaited: Callable[[], bool] = lambda: True) -> ModelRef:
    """Return the reference as it would be found now, after its package may have been upgraded, under the same name.

    Args:
        ref: As it was found before.
        group: The entry-point group; "" for all of ``GROUPS``.
        is_awaited: Tells whether anybody still waits for it, in case another interpreter has to be asked.

    Raises:
        NoModel: It is not there any more.
        DiscoveryError: Two installed models have one name.
    """
    if ref.kind == "pickled":
        return ref
    try:
        return _again(ref, ref.group or group, is_awaited)
    except NoModel:
        if not ref.group:
            raise
        return _again(ref, group, is_awaited)  # its package may have moved it to the other group


def carry(model: Any, group: str = "") -> ModelRef:
    """Return a reference to a model that a Python program has at hand.

    A module is imported anew by the worker; a class or an object is carried by value, so it may be defined anywhere.

    Args:
        model: A module, a class, an object, or what ``find`` knows by name.
        group: The entry-point group; "" for all of ``GROUPS``.

    Raises:
        NoModel: ``model`` is a name of which nothing is known.
        DiscoveryError: The object is no model, or cannot be carried to another process.
    """
    if isinstance(model, str):
        return find([model], group)[0]
    if isinstance(model, types.ModuleType):
        if model.__name__ != "__main__":
            return ModelRef(_fitting(model.__name__.rpartition(".")[2]), "module", model.__name__)
        # No worker can import the running program, so the parts of the contract are carried one by one.
        parts = {name: getattr(model, name) for name in (*CONTRACT, "schema", "max_batch_size") if hasattr(model, name)}
        return ModelRef("main", "pickled", "__main__", payload=_pickle(types.SimpleNamespace(**parts), "__main__"))
    if not inspect.isclass(model):
        require_model(model)
    kind = model if inspect.isclass(model) else type(model)
    return ModelRef(
        _fitting(kind.__name__.lower()), "pickled", kind.__qualname__, payload=_pickle(model, kind.__name__)
    )


def require_model(found: Any, name: str = "") -> None:
    """Refuse what has nothing of the contract.

    Args:
        found: A module or an object.
        name: What it is called, "" for the name of its type.

    Raises:
        DiscoveryError: It has none of the functions of a model.
    """
    if any(callable(getattr(found, part, None)) for part in CONTRACT):
        return
    raise DiscoveryError(
        f"{name or f'An object of type {type(found).__name__}'} is no model: it has neither predict, predict_batch nor "
        "train; write them as functions of a module or methods of a class, with get_metadata and get_predict_args."
    )


def _twice(one: tuple[ModelRef, str], other: tuple[ModelRef, str]) -> str:
    (ref, owner), (other_ref, other_owner) = one, other
    what = f"Two models have the name {ref.name!r}, one from {owner} and one from {other_owner}"
    if ref.group == other_ref.group:
        return f"{what}: uninstall one of them."
    groups = f"the one in the group {ref.group}, the other in {other_ref.group}"
    return f"{what}, {groups}: choose a group with --group, or uninstall one of them."


def _again(ref: ModelRef, group: str, is_awaited: Callable[[], bool]) -> ModelRef:
    if ref.python:
        name = ref.model or ref.name if ref.kind == "entry_point" else ref.target
        (found,) = _elsewhere(ref.python, [name], group, is_awaited)
        return msgspec.structs.replace(found, name=ref.name, model=ref.model)
    importlib.invalidate_caches()
    known = {model.name: model for model in installed(group)}
    if ref.kind != "entry_point":
        _named_by_place(ref.target, known, group)
        return ref
    name = ref.model or ref.name
    if name not in known:
        raise NoModel(_unknown(name, known, group))
    return msgspec.structs.replace(known[name], name=ref.name, model=ref.model)


def _all(known: dict[str, ModelRef], group: str, python: str) -> list[ModelRef]:
    if python:
        return _elsewhere(python, [], group)
    if not known:
        raise NoModel(f"No model is installed: {_what_to_do(group)}.")
    return list(known.values())


def _one(name: str, model: str | None, known: dict[str, ModelRef], group: str, python: str) -> ModelRef:
    """Return what is to be served as ``name``; with ``model``, that is a deployment of it."""
    text = name if model is None else model
    try:
        ref = _elsewhere(python, [text], group)[0] if python else known.get(text) or _named_by_place(text, known, group)
    except NoModel as error:
        if model is None:
            raise
        raise NoModel(f"The deployment {name!r} cannot be served. {error.message}", log=error.log) from error
    if model is None or ref.name == name:
        return ref
    return msgspec.structs.replace(ref, name=name, model=ref.name if ref.kind == "entry_point" else "")


def _elsewhere(
    python: str, wanted: Sequence[str], group: str, is_awaited: Callable[[], bool] = lambda: True
) -> list[ModelRef]:
    answer = elsewhere.find(python, wanted, group, is_awaited=is_awaited)
    found = [msgspec.json.decode(raw, type=ModelRef) for raw in answer]
    return [msgspec.structs.replace(ref, python=python) for ref in found]


def _entry_points(groups: Sequence[str]) -> Iterator[tuple[Distribution, EntryPoint]]:
    """Yield the groups' entry points; of a distribution that is found twice, only the first, which Python imports."""
    seen: set[str] = set()
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", _metadata(distribution, "Name")).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            points = [point for point in distribution.entry_points if point.group in groups]
        except (TypeError, ValueError) as error:  # a line of it is none; the other packages must not suffer for it
            logger.warning("the entry points of %s cannot be read: %s", name, error)
            continue
        yield from ((distribution, point) for point in points)


def _metadata(distribution: Distribution, field: str) -> str:
    # To ask for a field that is absent is deprecated, and the type has no get() before Python 3.12.
    return distribution.metadata[field] if field in distribution.metadata else ""  # noqa: SIM401


def _owner(distribution: Distribution) -> str:
    return f"{_metadata(distribution, 'Name')} {_metadata(distribution, 'Version')}"


def _ref(distribution: Distribution, point: EntryPoint) -> ModelRef:
    if not is_name(point.name):
        raise DiscoveryError(
            f"The model name {point.name[:120]!r} of {_owner(distribution)} is not valid: it must be {NAME_RULE}."
        )
    match = re.fullmatch(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\])?\s*", point.value)
    if match is None:
        raise DiscoveryError(
            f"The model {point.name!r} of {_owner(distribution)} has the target {point.value[:120]!r}, "
            "which must be package.module or package.module:attribute."
        )
    target = match[1] + (f":{match[2]}" if match[2] else "")
    return ModelRef(point.name, "entry_point", target, distribution=_texts(distribution), group=point.group)


def _texts(distribution: Distribution) -> dict[str, str]:
    """Return what a distribution says about itself, in the words of its metadata's core fields."""
    urls = dict(text.split(",", 1) for text in distribution.metadata.get_all("Project-URL") or [] if "," in text)
    pages = {label.strip().lower(): url for label, url in urls.items()}
    field = functools.partial(_metadata, distribution)
    texts = {
        "name": field("Name"),
        "version": field("Version"),
        "license": field("License-Expression") or field("License"),
        "author": field("Author") or re.sub(r"\s*<[^>]*>", "", field("Author-email")),
        "url": field("Home-page") or pages.get("homepage") or pages.get("repository") or pages.get("source") or "",
        "summary": field("Summary"),
    }
    return {key: _first_line(text) for key, text in texts.items()}


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "")
    line = "".join(character for character in line if character.isprintable()).strip()
    return "" if line == "UNKNOWN" else line[:_TEXT_LIMIT]


def _named_by_place(text: str, known: dict[str, ModelRef], group: str) -> ModelRef:
    """Return the reference to a file or module, having looked that it is there."""
    place, colon, attribute = text.partition(":")
    if colon and not all(part.isidentifier() for part in attribute.split(".")):
        raise NoModel(f"{text!r} names no model: what follows ':' must be the name of a class or object.")
    suffix = f":{attribute}" if colon else ""
    if place.endswith(".py") or "/" in place:
        path = Path(os.path.abspath(place))
        if path.suffix != ".py" or not path.is_file():
            raise NoModel(f"{text!r} names no model: there is no Python file {path}.")
        if not is_text(str(path)):  # no message to a worker could name it
            raise NoModel(f"{shown(str(path))} cannot be served: its path has bytes that are no UTF-8; rename it.")
        stem = path.parent.name if path.stem == "__init__" else path.stem
        return ModelRef(_fitting(attribute.rpartition(".")[2].lower() or stem), "file", f"{path}{suffix}")
    if not all(part.isidentifier() for part in place.split(".")) or not _is_importable(place.partition(".")[0]):
        raise NoModel(_unknown(text, known, group))
    return ModelRef(_fitting((attribute or place).rpartition(".")[2].lower()), "module", f"{place}{suffix}")


def _is_importable(package: str) -> bool:
    """Tell whether a top-level package is there; finding it runs none of its code."""
    if package == "__main__":  # that is this program
        return False
    spec = importlib.util.find_spec(package) or PathFinder.find_spec(package, [os.getcwd()])
    return spec is not None


def _unknown(text: str, known: dict[str, ModelRef], group: str) -> str:
    if not known:
        return f"There is no model {text!r}, and none is installed: {_what_to_do(group)}."
    near = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"There is no model {text!r}: {hint}Installed are {', '.join(known)}; or name a file, such as my_model.py."


def _what_to_do(group: str) -> str:
    groups = group or " or ".join(GROUPS)
    return f"pip install a package with an entry point in the group {groups}, or name a file, such as my_model.py"


def _fitting(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".")[:100] or "model"


def _pickle(model: Any, name: str) -> bytes:
    try:
        return pickled(model)
    except Exception as error:
        raise DiscoveryError(
            f"{name} cannot be carried to a worker ({type(error).__name__}: {error}): "
            "give its class, which each worker instantiates, and load what it needs in warm()."
        ) from error
