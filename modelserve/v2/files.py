"""Files that go into a model and come out of it.

    upload --[server: private folder]--> UploadedFile --> predict(...) --> OutputFile --[server]--> client

Both are values: they name a file on disk and never open, move or delete one by themselves.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Self

__all__ = ["OutputFile", "UploadedFile"]


class _Upload(NamedTuple):
    name: str
    filename: str
    content_type: str
    original_filename: str


class UploadedFile(_Upload):
    """A file that a client sent, already on disk: DEEPaaS's named tuple of four, and the size.

    The server deletes the file once the answer is sent. A model that needs it longer copies it. In an upload every
    attribute is a text; None stands only in one that a package has made itself, as DEEPaaS's packages do.

    Attributes:
        name: Name of the argument.
        filename: Path of the file on disk, with a random name: never what the client said.
        content_type: Media type that the client gave for this file, "" where it gave none. Not to be trusted.
        original_filename: Base name that the client gave, without control characters, "" where it gave none.
        size: Bytes in the file; no item of the tuple.
    """

    size: int = 0

    def __new__(
        cls,
        name: str | None = None,
        filename: str | None = None,
        content_type: str | None = None,
        original_filename: str | None = None,
        size: int = 0,
    ) -> Self:
        made = super().__new__(cls, name, filename, content_type, original_filename)  # type: ignore[arg-type]
        made.size = size
        return made

    def open(self) -> BinaryIO:
        """Return the file opened for reading bytes; the caller closes it."""
        return open(self.filename, "rb")

    def read_bytes(self) -> bytes:
        """Return the whole content, in memory."""
        with self.open() as file:
            return file.read()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file on disk as a model's answer.

    The server sends it without reading it into memory. It stays where it is unless ``delete`` is set: then the server
    removes it once the answer is sent, or could not be.

    Args:
        filename: Path of a regular file; symbolic links, folders and pipes are refused.
        content_type: Its media type, "" for the one that was negotiated, else guessed from the name.
        original_filename: Name to offer to whoever saves the answer, "" for none.
        delete: Whether the server removes the file afterwards.
    """

    filename: str | os.PathLike[str]
    content_type: str = ""
    original_filename: str = ""
    delete: bool = False
