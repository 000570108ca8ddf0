"""Where libraries keep what they have compiled or fetched, so that it outlives a worker and the server.

    a folder of this user alone  ->  the variables by which libraries find their caches in it  ->  each worker

Some keep it in the temporary folder, which a worker takes along when it ends; others in the home, which a user in a
container may not have. What an operator has set stays. All of them write a file anew and rename it, or lock it, so that
workers and servers share them.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelserve.private_folder import make_private

__all__ = ["cache_variables", "make_cache_folder"]

logger = logging.getLogger(__name__)

# The name of the folder below the data folder.
FOLDER = "cache"

# Kept in the temporary folder by default: of torch.compile (with Triton's), TensorFlow Hub, and tiktoken.
IN_TEMPORARY = {
    "TORCHINDUCTOR_CACHE_DIR": "/torchinductor",
    "TFHUB_CACHE_DIR": "/tfhub",
    "TIKTOKEN_CACHE_DIR": "/tiktoken",
}

# Kept in the home by default. XDG_CACHE_HOME is for all that go by it, such as Hugging Face and torch.hub.
IN_HOME = {
    "XDG_CACHE_HOME": "",
    "CUDA_CACHE_PATH": "/cuda",
    "MPLCONFIGDIR": "/matplotlib",
    "NUMBA_CACHE_DIR": "/numba",
    "TRITON_CACHE_DIR": "/triton",
}


def make_cache_folder(data_dir: Path | None, temp_dir: str) -> str:
    """Make the folder that this user's servers share; return its path, or "" where there can be none.

    Args:
        data_dir: The data folder; None for a user without one, whose folder is beside the temporary ones.
        temp_dir: Where those are made, "" for the system's place.
    """
    if data_dir is not None:
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _made(str(data_dir / FOLDER))
        except OSError:  # others need it too, and say so
            pass
    try:
        return _made(os.path.join(temp_dir or tempfile.gettempdir(), f"modelserve-cache-{os.geteuid()}"))
    except OSError as error:
        logger.warning("no folder can be made for what libraries compile, which is lost with each worker: %s", error)
        return ""


def cache_variables(folder: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set in workers, where these are set already; none without a folder."""
    names = IN_TEMPORARY if _has_home() else IN_TEMPORARY | IN_HOME
    return {name: f"{folder}{below}" for name, below in names.items() if folder and name not in environ}


def _made(path: str) -> str:
    make_private(path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(0, "it cannot be written", path)
    return path


def _has_home() -> bool:
    home = os.path.expanduser("~")
    return os.path.isdir(home) and os.access(home, os.W_OK | os.X_OK)
