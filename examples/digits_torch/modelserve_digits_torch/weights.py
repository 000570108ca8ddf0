"""The file that keeps what was trained, so that only the first worker on a machine trains.

``DIGITS_TORCH_WEIGHTS`` names it; else it lies in the user's cache folder. It holds tensors alone and is read as such:
a file that someone has exchanged cannot run code here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from .network import build
from .training import train

__all__ = ["load", "load_or_train", "path", "save"]

logger = logging.getLogger(__name__)


def path() -> Path:
    """Return where the weights of this version of the package are kept."""
    if named := os.environ.get("DIGITS_TORCH_WEIGHTS"):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "modelserve-digits-torch" / f"{version('modelserve-digits-torch')}.pt"


def load_or_train(file: Path) -> nn.Module:
    """Return the network of the file; train one, and keep it there, where the file is missing or of no use."""
    network = load(file)
    if network is None:
        network = train()
        # A worker that may not write here serves all the same; it trains again at its next start.
        with contextlib.suppress(OSError):
            save(network, file)
    return network


def load(file: Path) -> nn.Module | None:
    """Return the network of the file, or None where there is none or it is damaged or another network's."""
    network = build()
    try:
        network.load_state_dict(torch.load(file, weights_only=True))
    except FileNotFoundError:
        return None
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError) as error:
        logger.warning("%s is of no use and is made anew: %s", file, type(error).__name__)
        return None
    return network.eval()


def save(network: nn.Module, file: Path) -> None:
    """Write the file whole: workers that start at the same time each see all of it or nothing.

    Raises:
        OSError: The folder cannot be written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(descriptor, "wb") as new:
            torch.save(network.state_dict(), new)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
