"""The model packages of this folder, really installed by pip into a folder that a test puts on ``PYTHONPATH``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["install", "side_log"]

_SOURCES = Path(__file__).parent


def install(target: Path, *names: str) -> Path:
    """Install the packages of the folders ``names`` (chaos, chaos_batch, broken, plain) into ``target``; return it.

    Needs no network: the running interpreter's own setuptools builds them.
    """
    with tempfile.TemporaryDirectory(prefix="models-") as copies:
        # setuptools writes beside the sources, and tests run at the same time: each builds a copy of its own.
        folders = [shutil.copytree(_SOURCES / name, Path(copies) / name) for name in names]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        options = ["--no-index", "--no-build-isolation", "--no-deps", "--target", str(target)]
        subprocess.run([*pip, *options, *map(str, folders)], check=True)
    return target


def side_log(path: Path, event: str = "") -> list[dict[str, Any]]:
    """Return the lines of a side log, in order, or those of one event; none where nothing was logged yet."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if not event or line["event"] == event]
