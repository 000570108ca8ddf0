"""The command line as a user runs it: ``python -m modelserve`` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.running import import_path

__all__ = ["Done", "environment", "modelserve"]


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def environment(folder: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which only the models of ``folder / "site"`` are installed, and nothing is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELSERVE_", "PYTHON"))}
    return {**kept, "PYTHONPATH": import_path(folder / "site"), "TERM": "dumb", **(variables or {})}


def modelserve(*arguments: str, folder: Path, variables: Mapping[str, str] | None = None) -> Done:
    """Run a command in a folder to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "modelserve", *arguments],
        cwd=folder,
        env=environment(folder, variables),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
