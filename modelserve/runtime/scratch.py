"""Keeps a worker's temporary folder there, whatever its model or one who tidies up does to it.

    gone, before or behind a call -> made again -> FolderGone -> the server replaces the worker

Were it gone for long, ``tempfile`` would go on in the system's own folder without a word, and a model that clears what
it takes for its own would clear that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile

from modelserve.messages import FolderGone
from modelserve.private_folder import make_private
from modelserve.runtime.outlet import Outlet

__all__ = ["Scratch"]

logger = logging.getLogger(__name__)


class Scratch:
    """The temporary folder of this worker.

    Args:
        path: Where it is.
        outlet: Where the server is told that it was gone.
    """

    def __init__(self, path: str, outlet: Outlet) -> None:
        self._path = path
        self._folder = f"{path}/."  # which is there where the path is that of a folder
        self._outlet = outlet
        self._is_logged = False

    def settle(self) -> None:
        """Have ``tempfile`` decide for this folder, or for another that the model has chosen, while it is there."""
        if not os.access(self._folder, os.F_OK):
            self._make()
        tempfile.gettempdir()

    def keep(self) -> None:
        """Make the folder again where it is gone, and say so; where it is not, that takes a microsecond."""
        if os.access(self._folder, os.F_OK):
            return
        self._make()
        self._outlet.send(FolderGone())

    def _make(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # a file or a link in its place
        try:
            make_private(os.path.dirname(self._path))
            make_private(self._path)
        except OSError as error:
            self._log("the worker's temporary folder is gone, and cannot be made again: %s", error)
        else:
            self._log("the worker's temporary folder was gone, with all that was in it; it is made again")

    def _log(self, words: str, *arguments: object) -> None:
        if not self._is_logged:
            self._is_logged = True
            logger.warning(words, *arguments)
