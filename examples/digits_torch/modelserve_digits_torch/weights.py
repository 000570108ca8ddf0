"""The two files that keep weights: those of the last training, and the built-in ones.

current: the file of the last training -> its network
         else the cache                -> the built-in network
         else training.train, some seconds, into the cache

``DIGITS_TORCH_WEIGHTS`` names the file of the last training; else it lies in the user's data folder. The cache saves
every worker but the first on a machine from training. The files hold tensors and a name, and are read as such: a file
that someone has exchanged cannot run code here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from modelserve_digits.keeping import BUILT_IN, data_folder, write_whole
from torch import nn

from .network import build, hidden_size
from .training import train

__all__ = ["Kept", "cache", "current", "load", "path", "save"]

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A trained network, and what its weights are called."""

    name: str
    network: nn.Module


def path() -> Path:
    """Return where the weights of the last training are."""
    return Path(os.environ.get("DIGITS_TORCH_WEIGHTS") or data_folder("modelserve-digits-torch") / "weights.pt")


def cache() -> Path:
    """Return where the built-in weights of this version of the package are."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "modelserve-digits-torch" / f"{version('modelserve-digits-torch')}.pt"


def current() -> Kept:
    """Return the weights to serve: of the last training, else the built-in ones, which are made where need be."""
    kept = load(path()) or load(cache())
    if kept is None:
        kept = Kept(BUILT_IN, train())
        # A worker that may not write here serves all the same; it trains again at its next start.
        with contextlib.suppress(OSError):
            save(kept, cache())
    return kept


def load(file: Path) -> Kept | None:
    """Return what the file keeps, or None where there is none or it is of no use; the log says so."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise TypeError("it keeps something else than weights with their name")
        network = build(hidden_size(content["network"]))
        network.load_state_dict(content["network"])
        return Kept(str(content["name"]), network.eval())
    except FileNotFoundError:
        return None
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, LookupError, TypeError) as error:
        logger.warning("%s is of no use and left aside: %s", file, type(error).__name__)
        return None


def save(kept: Kept, file: Path) -> None:
    """Write the file whole: workers that start at the same time each see all of it or nothing.

    Raises:
        OSError: The folder cannot be written to.
    """
    content = {"name": kept.name, "network": kept.network.state_dict()}
    write_whole(file, lambda new: torch.save(content, new))
