"""The peers' virtual environments: made once, under ``.benchmarks/``, which no version control sees.

torch comes first, so that a peer that depends on it takes the one that all are measured with.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.load import BenchmarkError

from .table import Peer

__all__ = ["TORCH", "install", "versions"]

TORCH = "torch==2.13.0"

_FOLDER = Path(__file__).resolve().parent.parent.parent / ".benchmarks"
_LIMIT_S = 1800
_TOLD = ("numpy", "torch", "uvloop", "uvicorn", "pydantic", "aiohttp", "starlette")


def install(peer: Peer, step: Callable[[str], None]) -> Path:
    """Return the folder of the peer's programs, once all it requires is installed.

    Raises:
        BenchmarkError: It cannot be installed; the message holds pip's last words.
    """
    folder = _FOLDER / "peers" / peer.name
    stamp = folder / "installed.txt"
    wanted = "\n".join((TORCH, *peer.requirements))
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder / "bin"
    _ignore()
    step(f"{peer.name}: making its environment")
    _run(sys.executable, "-m", "venv", str(folder))
    for requirements in ((TORCH, "numpy"), peer.requirements):
        step(f"{peer.name}: installing {' '.join(requirements)}")
        _run(str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *requirements)
    stamp.write_text(wanted)
    return folder / "bin"


def versions(programs: Path, distribution: str) -> dict[str, str]:
    """Return the versions of the peer itself and of what matters beside it, by name."""
    listed = json.loads(_run(str(programs / "pip"), "--disable-pip-version-check", "list", "--format", "json"))
    found = {one["name"].lower(): one["version"] for one in listed}
    return {name: found[name] for name in (distribution, *_TOLD) if name in found}


def _ignore() -> None:
    # Gigabytes that nobody wants in a commit.
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / ".gitignore").write_text("*\n")


def _run(*command: str) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"{Path(command[0]).name} failed: {error}") from error
    if ended.returncode:
        words = [line for line in ended.stderr.splitlines() if not line.startswith("WARNING")]
        raise BenchmarkError(f"{Path(command[0]).name} failed: {' '.join(words)[-400:]}")
    return ended.stdout
