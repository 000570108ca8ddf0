"""Answers that are bytes or files, made ready to be sent.

    bytes, BytesIO, open file, path, OutputFile --> as_raw(value, scratch) --> Raw, or None for any other value

A file is only looked at: it is opened, never read, unless it has no path that the server could open. Pipes, sockets and
devices are refused before they are opened, so a path never makes it wait. A file that the model left open is closed.
"""

from __future__ import annotations

import contextlib
import io
import mimetypes
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelserve import errors
from modelserve.messages import FileAnswer
from modelserve.names import shortened
from modelserve.v2.files import OutputFile, UploadedFile
from modelserve.v2.negotiation import is_range
from modelserve.v2.signatures import HEAD_BYTES, is_text, media_type_of

__all__ = ["OCTETS", "Raw", "Scratch", "as_raw", "is_media_type"]

IN_MEMORY_LIMIT_BYTES = 1 << 30
"""Most that is read of a file without a path; a frame ends at 4 GiB, and holds other answers too."""

OCTETS = "application/octet-stream"
"""The media type of what nothing is known of."""

TEXT = "text/plain"

_NOT_SENT = "The model answered with a file that cannot be sent."
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# RFC 9110, 8.3.1: tokens, and parameters of printable ASCII; 255 is what aiohttp and browsers take without a doubt.
_MEDIA_TYPE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+(?:[ \t]*;[ -~]*)?", re.ASCII)
_MEDIA_TYPE_CHARS = 255
_ENCODINGS = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


@dataclass(frozen=True)
class Raw:
    """An answer's bytes or its file, its media type where the model gave one, and a name to save it under, or ""."""

    body: bytes = b""
    file: FileAnswer | None = None
    content_type: str = ""
    filename: str = ""

    def type_within(self, offered: str, asked: str) -> str:
        """Return the media type within an offered range: the model's, the content's, the name's, or the client's.

        Args:
            offered: The range, such as "image/*".
            asked: The type within it that the client named, or the range itself: then the last resort says nothing.
        """
        head = self.head()
        named = mimetypes.guess_type(self._name())[0] or ""
        last = TEXT if is_text(head) else ""
        given = (self.content_type, media_type_of(head), named, "" if is_range(asked) else asked, last)
        fitting = (each for each in given if each.lower().startswith(offered[:-1].lower()))
        return next(fitting, OCTETS)

    def guessed_type(self) -> str:
        """Return the media type that the model gave, else the one that the name stands for."""
        if self.content_type:
            return self.content_type
        guess, encoding = mimetypes.guess_type(self._name())
        return (_ENCODINGS.get(encoding, "") if encoding else guess) or OCTETS

    def _name(self) -> str:
        return self.filename or (self.file.path if self.file else "")

    def head(self) -> bytes:
        """Return the first bytes."""
        if self.file is None:
            return self.body[:HEAD_BYTES]
        with open(os.open(self.file.path, _OPEN), "rb") as file:
            return file.read(HEAD_BYTES)

    def content(self) -> bytes:
        """Return all bytes, read from the file where there is one."""
        if self.file is None:
            return self.body
        with open(os.open(self.file.path, _OPEN), "rb") as file:
            return _read(file, self.file.path)

    def discard(self) -> None:
        """Remove the file, if it was to be removed once sent."""
        if self.file is not None and self.file.delete:
            os.unlink(self.file.path)


class Scratch(NamedTuple):
    """A worker's temporary folder, "" for none, and since when what is made there is made to be sent once."""

    folder: str = ""
    since_ns: int = 0

    def since_now(self) -> Scratch:
        """Return the same folder, of which all that is there is to stay."""
        if not self.folder:
            return self
        os.utime(self.folder)  # so that the time is by the clock of the file system
        return self._replace(since_ns=os.stat(self.folder).st_ctime_ns)

    def made(self, path: str, status: os.stat_result) -> bool:
        """Tell whether a file was made here, and since then."""
        if not self.folder or status.st_ctime_ns <= self.since_ns:
            return False
        return os.path.realpath(path).startswith(os.path.join(os.path.realpath(self.folder), ""))


def is_media_type(text: str) -> bool:
    """Return whether the text may stand in a Content-Type header."""
    return len(text) <= _MEDIA_TYPE_CHARS and _MEDIA_TYPE.fullmatch(text) is not None


def as_raw(value: Any, scratch: Scratch) -> Raw | None:
    """Return bytes and files ready to be sent, None for a value that is neither.

    Args:
        value: Bytes, ``BytesIO``, an open binary file, a path, an ``OutputFile``, or an ``UploadedFile`` given back.
        scratch: Of which files are removed once they are sent.

    Raises:
        BadAnswer: The file is missing, closed, open for text, or no regular file; or its media type is malformed.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return Raw(bytes(value))
    if isinstance(value, OutputFile):
        return _from_path(value, value.original_filename, scratch, delete=value.delete)
    if isinstance(value, UploadedFile):
        return _from_path(value, value.original_filename, scratch)
    if isinstance(value, os.PathLike):
        return _from_path(OutputFile(value), _base_name(value), scratch)
    if isinstance(value, io.IOBase) or (callable(getattr(value, "read", None)) and hasattr(value, "seek")):
        return _from_open(value, scratch)
    return None


def _from_path(source: OutputFile | UploadedFile, filename: str, scratch: Scratch, *, delete: bool = False) -> Raw:
    try:
        path = os.path.abspath(os.fsdecode(source.filename or ""))
        path.encode()  # a name that is no UTF-8 cannot cross to the server
        status = _status(path)
    except (OSError, ValueError) as error:
        raise errors.BadAnswer(_NOT_SENT, log=f"{source.filename!r}: {error}") from error
    if source.content_type and not is_media_type(source.content_type):
        log = f"content_type is {source.content_type!r}; it must be a media type such as 'image/png'"
        raise errors.BadAnswer("The model's media type is malformed.", log=log)
    file = FileAnswer(path, status.st_size, delete or scratch.made(path, status))
    return Raw(file=file, content_type=source.content_type or "", filename=_clean(filename or ""))


def _status(path: str) -> os.stat_result:
    """Return the status of a regular file that can be read. It is looked at before it is opened, and again after."""
    _check_regular(os.lstat(path))
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    _check_regular(status)
    return status


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"not a regular file, its mode is {stat.filemode(status.st_mode)}")


def _from_open(file: Any, scratch: Scratch) -> Raw:
    if isinstance(file, io.TextIOBase):
        raise errors.BadAnswer(_NOT_SENT, log="a file open for text; open it in binary mode, or answer with a str")
    if getattr(file, "closed", False):
        raise errors.BadAnswer(_NOT_SENT, log="the file is closed; answer with its path, or leave it open")
    name = _base_name(getattr(file, "name", ""))
    if isinstance(file, io.BytesIO):  # left open: it holds nothing but memory, and a model may answer with it again
        return Raw(file.getvalue(), filename=_clean(name))
    with contextlib.closing(file):
        if path := _path_of(file):
            return _from_path(OutputFile(path), name, scratch)
        if file.seekable():
            file.seek(0)
        return Raw(_read(file, name), filename=_clean(name))


def _path_of(file: Any) -> str:
    """Return a path under which the server finds what the open file holds, "" where there is none.

    Only plain files: a GzipFile has its archive's name and descriptor, and a NamedTemporaryFile, no subclass of any of
    these, is gone before the server would open it.
    """
    if not isinstance(getattr(file, "raw", file), io.FileIO) or isinstance(file, tempfile._TemporaryFileWrapper):
        return ""
    status = os.fstat(file.fileno())
    _refuse_endless(status)
    if not isinstance(file.name, str | bytes | os.PathLike):
        return ""
    file.flush()
    path = os.path.realpath(os.fsdecode(file.name))
    try:
        return path if os.path.samestat(status, os.lstat(path)) else ""
    except OSError:  # removed, and still readable through the open file
        return ""


def _refuse_endless(status: os.stat_result) -> None:
    try:
        _check_regular(status)
    except ValueError as error:  # a pipe would be waited for
        raise errors.BadAnswer(_NOT_SENT, log=f"an open file: {error}") from error


def _read(file: Any, name: str) -> bytes:
    content = file.read(IN_MEMORY_LIMIT_BYTES + 1)
    if not isinstance(content, bytes):
        raise errors.BadAnswer(_NOT_SENT, log=f"{name!r}: reading gave {type(content).__name__}, not bytes")
    if len(content) > IN_MEMORY_LIMIT_BYTES:
        raise errors.BadAnswer(_NOT_SENT, log=f"{name!r} is too large for memory; answer with its path")
    return content


def _base_name(name: Any) -> str:
    return os.path.basename(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else ""


def _clean(filename: str) -> str:
    """Return the last part of a name, without what is no letter, sign or blank."""
    base = re.split(r"[/\\]", filename)[-1]
    return shortened("".join(character for character in base if character.isprintable()).strip(" ."))
