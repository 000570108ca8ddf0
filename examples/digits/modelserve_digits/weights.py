"""The file that keeps the weights of the last training, in the user's data folder.

``DIGITS_WEIGHTS`` names another file. It holds arrays and a name, and is read without unpickling: a file that someone
has exchanged cannot run code here.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .keeping import data_folder, read_arrays, write_whole
from .network import Network

__all__ = ["Kept", "load", "path", "save"]

logger = logging.getLogger(__name__)

_ARRAYS = [field.name for field in dataclasses.fields(Network)]


class Kept(NamedTuple):
    """A trained network, and what its weights are called."""

    name: str
    network: Network


def path() -> Path:
    """Return where the weights of the last training are."""
    return Path(os.environ.get("DIGITS_WEIGHTS") or data_folder("modelserve-digits") / "weights.npz")


def load(file: Path) -> Kept | None:
    """Return what the file keeps, or None where there is none or it is of no use; the log says so."""
    try:
        name, *arrays = read_arrays(file, ["name", *_ARRAYS]).values()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s is of no use and left aside: %s", file, error)
        return None
    network = Network(*arrays)
    if not network.fits:
        logger.warning("%s has the weights of another network and is left aside", file)
        return None
    return Kept(str(name), network)


def save(kept: Kept, file: Path) -> None:
    """Write the file whole.

    Raises:
        OSError: The folder cannot be written to.
    """
    arrays = {name: getattr(kept.network, name) for name in _ARRAYS}
    write_whole(file, lambda new: np.savez(new, name=np.array(kept.name), **arrays))
