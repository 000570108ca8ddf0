"""Models for tests of what becomes of a call at each step of its way: one of each kind, alike but for their kind.

Each answers ``{"mode": ..., "size": ...}``; ``large`` with a body that is not in the head of its frame, ``file`` with a
file that is deleted once it is sent.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["KINDS", "write_models"]

KINDS = ("turns", "batch", "async", "stream", "cached")

HEAD = """
import os, tempfile
from pathlib import Path
from modelserve.v2 import fields

def get_metadata():
    return {"name": "stages", "description": "Goes its way step by step."}

def get_predict_args():
    return {
        "mode": fields.Str(load_default="ok"),
        "text": fields.Str(load_default=""),
        "file": fields.File(load_default=None),
    }

def answer(mode, text, file):
    if mode == "file":
        number, path = tempfile.mkstemp(suffix=".bin")
        os.write(number, bytes(300_000))
        os.close(number)
        return Path(path)
    size = 0 if file is None else os.path.getsize(file.filename)
    return {"mode": mode, "size": size, "filling": "x" * 200_000 if mode == "large" else ""}
"""

ENDS = {
    "turns": "def predict(mode, text, file):\n    return answer(mode, text, file)\n",
    "cached": "def predict(mode, text, file):\n    return answer(mode, text, file)\n",
    "batch": "max_batch_size = 4\n\ndef predict_batch(items):\n    return [answer(**item) for item in items]\n",
    "async": "max_concurrency = 8\n\nasync def predict(mode, text, file):\n    return answer(mode, text, file)\n",
    "stream": "def predict(mode, text, file):\n    for _ in range(40):\n        yield answer('large', text, file)\n",
}


def write_models(folder: Path) -> list[str]:
    """Write one script for each kind into a folder; return their paths, for ``modelserve run``."""
    for kind in KINDS:
        (folder / f"{kind}.py").write_text(HEAD + "\n" + ENDS[kind])
    return [str(folder / f"{kind}.py") for kind in KINDS]
