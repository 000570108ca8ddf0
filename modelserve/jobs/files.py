"""Where the files of a job lie, in the data folder.

    DATA_DIR/id                        the data folder's own id
    DATA_DIR/database                  the mark that it and its database have
    DATA_DIR/jobs/UUID/log             what its process has printed
                      /uploads/        the files that came with the request, and it itself where it is large; they go
                                       when it ends
                      /artifacts/      the files that its author keeps
                      /output.json     what it returned, where that is too large for the store
                      /result          the body of a background prediction's answer

The methods that only name a path do nothing else. Nothing here knows the store.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import uuid as uuids
from functools import cached_property
from pathlib import Path

import msgspec

from modelserve.errors import NoSpace
from modelserve.jobs.rows import as_uuid, is_uuid
from modelserve.jobs.settling import settle, settle_file, settle_tree
from modelserve.messages import Call, FilePart
from modelserve.regular_files import read_regular, remove_link, write_anew
from modelserve.removal import remove_tree

__all__ = ["FULL", "JobFiles"]

logger = logging.getLogger(__name__)

# A larger request lies in a file, so that the database stays small.
STORED_BYTES = 64 * 1024

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class JobFiles:
    """The files of all jobs of one data folder.

    Args:
        data_dir: The data folder; the store has made it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()  # paths of it are stored, and go to processes with folders of their own

    @cached_property
    def place(self) -> str:
        """The data folder's id, made when first asked for: servers of the same folder see the same files."""
        path = self._data_dir / "id"
        if not path.exists():
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_once(path, uuids.uuid4().hex)
        return path.read_text()

    @property
    def mark(self) -> Path:
        """The path of the mark that the data folder and its database have."""
        return self._data_dir / "database"

    def folder(self, uuid: str) -> Path:
        """Return the folder of a job, which need not be there.

        Raises:
            NotFound: That is no job's id.
        """
        return self._data_dir / "jobs" / as_uuid(uuid)

    def make(self, uuid: str) -> Path:
        """Make the folder of a job and the one for its artifacts, where they are not there, and return the first."""
        folder = self.folder(uuid)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not folder.exists()
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        if is_new:
            for each in (folder, folder.parent, self._data_dir):
                settle(each)
        return folder

    def keep_request(self, uuid: str, request: bytes) -> bytes:
        """Write a large request beside its files, on the disk; return what is left to be stored.

        Raises:
            NoSpace: The disk is full.
        """
        if len(request) <= STORED_BYTES:
            return request
        self.make(uuid)
        try:
            self.uploads(uuid).mkdir(exist_ok=True)
            write_anew(self._request(uuid), request)
            for path in (self._request(uuid), self.uploads(uuid), self.folder(uuid)):
                settle(path)
        except OSError as error:
            self.remove_uploads(uuid)
            if error.errno in FULL:
                raise NoSpace("The server has no room for the request of this job.", log=str(error)) from error
            raise
        return b""

    def request(self, uuid: str) -> bytes:
        """Return a request that was too large to be stored; "" where it is gone, or cannot be read."""
        try:
            return read_regular(self._request(uuid))
        except OSError as error:
            logger.error("the request of a job cannot be read: %s", error.strerror, extra={"job": uuid})
            return b""

    def _request(self, uuid: str) -> Path:
        return self.uploads(uuid) / ".request"

    def keep_output(self, uuid: str, output: bytes) -> None:
        """Write what a job returned to its file; :meth:`settle` has it on the disk. It blocks."""
        self.make(uuid)
        write_anew(self.output(uuid), output)

    def settle(self, uuid: str) -> None:
        """Have what a job leaves written to the disk, before it is told that it is done: it survives a loss of power.

        Its artifacts, its output and its result, and the folders that have their names. It blocks.
        """
        for path in (self.output(uuid), self.result(uuid)):
            settle_file(path)
        settle_tree(self.artifacts(uuid))
        with contextlib.suppress(FileNotFoundError):
            settle(self.folder(uuid))

    def kept(self) -> list[str]:
        """Return the ids of the jobs that have a folder."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(name for name in os.listdir(self._data_dir / "jobs") if is_uuid(name))
        return []

    def log(self, uuid: str) -> Path:
        """Return the path of what the job has printed."""
        return self.folder(uuid) / "log"

    def artifacts(self, uuid: str) -> Path:
        """Return the folder of the files that the job's author keeps."""
        return self.folder(uuid) / "artifacts"

    def uploads(self, uuid: str) -> Path:
        """Return the folder of the files that came with the request."""
        return self.folder(uuid) / "uploads"

    def output(self, uuid: str) -> Path:
        """Return the path of what the job returned, JSON, where it is too large for the store."""
        return self.folder(uuid) / "output.json"

    def result(self, uuid: str) -> Path:
        """Return the path of the body that a background prediction answered."""
        return self.folder(uuid) / "result"

    def keep_uploads(self, uuid: str, call: Call) -> Call:
        """Move the files of a call to the job's folder, and return the call with their new paths.

        They are on the disk, and would survive a loss of power, once this returns. It blocks, and copies where the
        server's temporary folder is on another file system.

        Raises:
            NoSpace: The disk is full; then none is kept.
        """
        if not call.files:
            return call
        self.make(uuid)
        folder = self.uploads(uuid)
        try:
            folder.mkdir(exist_ok=True)
            kept = [_keep(part, folder / f"{number}-{Path(part.path).name}") for number, part in enumerate(call.files)]
            settle(folder)
            settle(folder.parent)
        except OSError as error:
            self.remove_uploads(uuid)
            if error.errno in FULL:
                raise NoSpace("The server has no room for the files of this job.", log=str(error)) from error
            raise
        return msgspec.structs.replace(call, files=kept)

    def remove(self, uuid: str) -> None:
        """Remove all files of a job; what cannot be removed is left."""
        _remove(self.folder(uuid))

    def remove_uploads(self, uuid: str) -> None:
        """Remove the files that came with the request; what cannot be removed is left."""
        _remove(self.uploads(uuid))


def _keep(part: FilePart, path: Path) -> FilePart:
    shutil.move(part.path, path)
    settle(path)
    return msgspec.structs.replace(part, path=str(path))


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it; of a link in its place, only the link."""
    if not remove_link(folder):
        with contextlib.suppress(OSError):
            remove_tree(folder)


def _write_once(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that another process has written meanwhile."""
    draft = path.with_name(f".{path.name}-{text}")
    draft.write_text(text)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
