"""The file that ``CHAOS_LOG`` names gets one JSON line for each thing that happened: pid, event, time, and more.

Several processes write to it; each line is one write to a file opened for appending, so lines never mix.
"""

from __future__ import annotations

import json
import os
import time

__all__ = ["note"]


def note(event: str, **more: object) -> None:
    """Append one line; do nothing where ``CHAOS_LOG`` is not set.

    Args:
        event: What happened, such as "import", "warm" or "predict"; README.md lists them for each model.
        more: Further JSON values.
    """
    path = os.environ.get("CHAOS_LOG")
    if not path:
        return
    line = {"event": event, "pid": os.getpid(), "monotonic_s": time.monotonic(), **more}
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
