"""What the tests of ``modelserve batch`` share: inputs, a run in a process of its own, and the lines of an output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.cli.program import Done, environment, modelserve

__all__ = ["MODELS", "batch", "begun", "lines", "write_rows"]

MODELS = Path(__file__).with_name("rows.py")


def batch(model: str, where: str, *flags: str, folder: Path, output: str = "out.jsonl", **env: str) -> Done:
    """Run one of the models of rows.py to the end of the input."""
    arguments = ["batch", f"{MODELS}:{model}", "--input", where, "--output", output, *flags]
    return modelserve(*arguments, folder=folder, variables=env)


def begun(model: str, where: str, *flags: str, folder: Path, output: str = "out.jsonl", **env: str) -> Any:
    """Begin a run and return its process, which leads a session of its own."""
    arguments = ["batch", f"{MODELS}:{model}", "--input", where, "--output", output, *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "modelserve", *arguments],
        cwd=folder,
        env=environment(folder, env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an output."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
