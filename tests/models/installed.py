"""The model packages of this folder, really installed by pip into a folder that a test puts on ``PYTHONPATH``."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["NAMES", "flip", "install", "installed_once", "side_log"]

NAMES = ("chaos", "chaos_batch", "chaos_stream", "chaos_async", "broken", "plain")
"""The folders that hold a model package each."""

_SOURCES = Path(__file__).parent
_KIT = "chaos_kit"


def install(
    target: Path, *names: str, version: str = "", changed: Mapping[str, str] = {}, sources: Path = _SOURCES
) -> Path:
    """Install the packages of the folders ``names`` into ``target``, over what is there; return it.

    Needs no network: the running interpreter's own setuptools builds them.

    Args:
        target: The folder to put on ``PYTHONPATH``.
        names: Some of ``NAMES``, or other folders in ``sources``.
        version: Of the packages, where it is not to be theirs: an upgrade is to have a new one.
        changed: Pieces of their sources and what comes in their place.
        sources: Where the folders are.

    Raises:
        ValueError: One of the pieces is in none of the sources.
    """
    with tempfile.TemporaryDirectory(prefix="models-") as copies:
        # setuptools writes beside the sources, and tests run at the same time: each builds a copy of its own.
        folders = [shutil.copytree(sources / name, Path(copies) / name) for name in _with_needs(names)]
        if version:
            _edit((folder / "setup.cfg" for folder in folders), r"^version = .*$", f"version = {version}")
        for piece, other in changed.items():
            _edit((path for folder in folders for path in folder.rglob("*.py")), re.escape(piece), other)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        options = ["--no-index", "--no-build-isolation", "--no-deps", "--upgrade", "--target", str(target)]
        for folder in folders:
            _forget(target, folder.name)
        # What is built by pbr takes its version from git, unless it is told.
        environment = {**os.environ, "PBR_VERSION": version or "1.0.0"}
        subprocess.run([*pip, *options, *map(str, folders)], check=True, env=environment)
    return target


def installed_once(base: Path, names: Iterable[str], sources: Path = _SOURCES) -> dict[str, Path]:
    """Return, for each of the folders in ``sources``, the folder below ``base`` in which it alone is installed.

    Processes of one run that ask for the same wait for each other.
    """
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "packages"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names:
            if not (folder / name).exists():
                install(folder / name, name, sources=sources)
    return {name: folder / name for name in names}


def flip(path: Path, **switches: str) -> None:
    """Write the file that ``CHAOS_SWITCHES`` names, at once and whole: these words hold from now on, no others."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(switches))
    os.replace(new, path)


def side_log(path: Path, event: str = "") -> list[dict[str, Any]]:
    """Return the lines of a side log, in order, or those of one event; none where nothing was logged yet."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if not event or line["event"] == event]


def _forget(target: Path, name: str) -> None:
    # pip replaces the modules in a target folder, but leaves the record of another version beside the new one.
    for record in target.glob(f"modelserve_{name}-*.dist-info"):
        shutil.rmtree(record)


def _with_needs(names: Iterable[str]) -> list[str]:
    chosen = list(names)
    return [*chosen, _KIT] if any(name.startswith("chaos") for name in chosen) else chosen


def _edit(paths: Iterable[Path], pattern: str, text: str) -> None:
    found = 0
    for path in paths:
        edited, count = re.subn(pattern, lambda _: text, path.read_text(), flags=re.M)
        found += count
        path.write_text(edited)
    if not found:
        raise ValueError(f"{pattern} is in none of the sources")
