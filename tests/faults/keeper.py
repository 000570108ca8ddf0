"""A model as a file whose training keeps files of odd names, or puts others' files where its own should be.

``mode`` says what, ``path`` is a file or a folder of the test that is none of the job's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modelserve.v2 import fields, progress

__all__ = ["ODD_NAMES", "Keeper"]

ODD_NAMES = (
    b"no text \xff\xfe",
    b"folder \xe9/inner \xe9",
    b"new\nline",
    b"a%20b 100%",
    b"%FF",
    b"\xff",
    b"question?x=1#part",
    b"back\\slash",
    b"quote\"'",
    b"\x01\x7f",
    b"..hidden",
    b"\xe2\x80\xa8",
    b"n" * 255,
    b"data:a/\r\nX: 1,b",
)


class Keeper:
    """Trains at once."""

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Keeper", "description": "Keeps files."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def predict(self) -> str:
        """Return a word."""
        return "ok"

    def get_train_args(self) -> dict[str, Any]:
        """Return what to do, with what, and how often."""
        return {
            "mode": fields.Str(required=True),
            "path": fields.Str(load_default=""),
            "n": fields.Int(load_default=0),
        }

    def train(self, mode: str, path: str, n: int) -> Any:
        """Do it."""
        modes = {"link": _link, "inside": _link_inside, "log": _replace_log, "output": _replace_output, "odd": _odd}
        if mode == "many":
            for number in range(n):
                (progress.artifacts / f"{number:06}").write_bytes(b"x")
            return n
        return modes[mode](progress.artifacts, Path(path))


def _link(artifacts: Path, path: Path) -> str:
    artifacts.rmdir()
    artifacts.symlink_to(path)
    return "linked"


def _link_inside(artifacts: Path, path: Path) -> str:
    (artifacts / "folder").symlink_to(path)
    (artifacts / "file").symlink_to(path / "secret")
    (artifacts / "hard").hardlink_to(path / "secret")
    os.mkfifo(artifacts / "pipe")
    (artifacts / "own").write_text("own")
    return "linked"


def _replace_log(artifacts: Path, path: Path) -> str:
    (artifacts.parent / "log").unlink()
    (artifacts.parent / "log").symlink_to(path / "secret")
    return "linked"


def _replace_output(artifacts: Path, path: Path) -> str:
    (artifacts.parent / "output.json").symlink_to(path / "secret")
    (artifacts.parent / "uploads").symlink_to(path)
    return "x" * 200_000


def _odd(artifacts: Path, path: Path) -> str:
    for name in ODD_NAMES:
        file = os.path.join(os.fsencode(artifacts), name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as target:
            target.write(name)
    return "kept"
