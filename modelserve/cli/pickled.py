"""Finds the files beside a model that run code when they are loaded, for ``modelserve check`` to warn of.

    a model's package, or the folder of its file  ->  ["weights/net.pt", ...]

Such files are pickles, and unpickling runs what is in them: https://docs.python.org/3/library/pickle.html. The server
itself loads none; what a worker loads is its model's choice.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from modelserve.discovery import ModelRef

__all__ = ["pickled_files"]

SUFFIXES = frozenset({".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})

# Files of a package that are looked at.
MOST_FILES = 20_000


def pickled_files(ref: ModelRef) -> list[str]:
    """Return the files of pickled objects in a model's package, or beside its file, relative to there."""
    found = ((place, path) for place, path in _files(ref) if path.suffix.lower() in SUFFIXES)
    return sorted(str(path.relative_to(place)) for place, path in found if path.is_file())


def _files(ref: ModelRef) -> Iterator[tuple[Path, Path]]:
    if ref.kind == "file":
        folder = Path(ref.target.partition(":")[0]).parent
        yield from ((folder, path) for path in islice(folder.iterdir(), MOST_FILES))
    elif ref.kind in ("entry_point", "module") and not ref.python:
        for place in _package(ref.target):
            yield from ((place, path) for path in islice(place.rglob("*"), MOST_FILES))


def _package(target: str) -> list[Path]:
    """Return the folders of the package that a target is in; finding the outermost one imports nothing."""
    spec = importlib.util.find_spec(target.partition(":")[0].partition(".")[0])
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []
