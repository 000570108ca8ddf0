"""The words that say how to misbehave, by the names of environment variables.

``CHAOS_SWITCHES`` names a JSON file with an object of such words; what it holds goes before the environment. A test
rewrites it while the server runs, so that a later start of a worker goes another way than the first.
"""

from __future__ import annotations

import json
import os

__all__ = ["switch"]


def switch(name: str, default: str = "") -> str:
    """Return the word of one switch, as it is now; the default where neither the file nor the environment has it."""
    path = os.environ.get("CHAOS_SWITCHES", "")
    if path and os.path.exists(path):
        with open(path) as file:
            words = json.load(file)
        if name in words:
            return str(words[name])
    return os.environ.get(name, default)
