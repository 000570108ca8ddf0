"""Streams the files of a multipart body to disk and keeps its text parts.

    multipart body -> [(name, text)], [FilePart]      files in a private folder that is deleted in the end

A file is written as it arrives and is never held in memory. It gets a random name: what the client calls it is only
passed on as text, cleaned to a base name. A part that says that it is JSON goes the way of a file, for the worker to
read, where its argument is neither a file nor a text; it counts as text, so that it is no larger than a body.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import tempfile
import unicodedata
from collections.abc import Collection

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from modelserve.body import is_json
from modelserve.errors import BadRequest, TooLarge
from modelserve.file_threads import FileThreads
from modelserve.messages import FilePart
from modelserve.names import shortened, suffix_of
from modelserve.private_folder import make_private
from modelserve.removal import remove_tree
from modelserve.text import is_text, shown
from modelserve.web.dispositions import names_of
from modelserve.web.rooms import Guest
from modelserve.web.upload_file import UploadFile, no_space

__all__ = ["Uploads", "clean_filename"]

logger = logging.getLogger(__name__)

# More parts than any form has; each costs memory or a file.
MAX_PARTS = 1000

# What is read of a part at a time.
CHUNK_BYTES = 256 * 1024

# Lines in front of the first part. No client writes more than an empty one; aiohttp reads any number, a second for each
# MiB of them.
PREAMBLE_LINES = 16

_BROKEN = "The multipart body is malformed: it must have a boundary, end with it, and name each part."


class _Form(MultipartReader):
    """Reads the parts of a form, whose first one stands at its beginning."""

    async def next(self) -> BodyPartReader | MultipartReader | None:
        """Return the next part, None after the last; ``_charset_`` is one like any other.

        aiohttp's own method takes that one out, and refuses the form where its boundary is as long as a browser's.
        """
        if self._at_eof:
            return None
        await self._maybe_release_last_part()
        if self._at_bof:
            await self._read_until_first_boundary()
            self._at_bof = False
        else:
            await self._read_boundary()
        self._last_part = None if self._at_eof else await self.fetch_next_part()
        return self._last_part

    async def _read_until_first_boundary(self) -> None:
        for _ in range(PREAMBLE_LINES):
            line = (await self._readline()).rstrip()
            if line == self._boundary:
                return
            if line == self._boundary + b"--":
                self._at_eof = True
                return
        raise ValueError("there is no boundary at the beginning")


class Uploads:
    """The parts of one multipart request.

    Args:
        folder: Where the request's private folder is made.
        max_bytes: The limit of the whole body.
        max_text_bytes: The limit of all text parts together.
        memory: Holds its text, and what of its files is not written yet.
        disk: Holds its files, until they are removed.
        removing: Threads on which they are removed.
        in_json: Arguments that a part in JSON may give.
    """

    def __init__(
        self,
        folder: str,
        *,
        max_bytes: int,
        max_text_bytes: int,
        memory: Guest,
        disk: Guest,
        removing: FileThreads,
        in_json: Collection[str] = (),
    ) -> None:
        self.form: list[tuple[str, str]] = []
        self.files: list[FilePart] = []
        self._folder = folder
        self._own_folder = ""
        self._most = self._left = max_bytes
        self._most_text = self._text_left = max_text_bytes
        self._text_bytes = 0
        self._memory = memory
        self._disk = disk
        self._removing = removing
        self._in_json = in_json

    async def read(self, request: web.Request) -> None:
        """Read the whole body.

        Raises:
            BadRequest: The body is no well-formed multipart/form-data.
            TooLarge: It has too many parts, too much text, or is too large.
            NoSpace: The folder cannot take its files, or there is no room for it.
        """
        try:
            await self._read_parts(_Form(request.headers, request.content))
        except (ValueError, AssertionError, RuntimeError, LookupError, HttpProcessingError) as error:
            # aiohttp's parser raises these for bodies that are broken in one way or another
            raise BadRequest(_BROKEN, log=repr(error)) from error

    def remove(self) -> None:
        """Have the files deleted, soon; never blocks. Until they are, they count as held."""
        if self._own_folder:
            self._removing.begin(_remove, self._own_folder, then=self._disk.close)
        else:
            self._disk.close()

    async def _read_parts(self, reader: MultipartReader) -> None:
        count = 0
        while (part := await reader.next()) is not None:
            count += 1
            if count > MAX_PARTS:
                raise TooLarge(f"A form may have {MAX_PARTS} parts at most.")
            await self._read_part(part)
        if not count and not reader.at_eof():
            raise BadRequest(_BROKEN)

    async def _read_part(self, part: BodyPartReader | MultipartReader) -> None:
        if not isinstance(part, BodyPartReader):
            raise BadRequest(_BROKEN)
        names = names_of(part.headers.get(hdrs.CONTENT_DISPOSITION, ""))
        if names is None:
            raise BadRequest(_BROKEN)
        if "Content-Encoding" in part.headers:
            raise BadRequest("The parts of a form may not be compressed.")
        name, filename = names
        if not is_text(name):
            raise BadRequest("A field of the form has a name with bytes that are no UTF-8; send it in UTF-8.")
        content_type = part.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()
        if is_json(content_type) and name.removesuffix("[]") in self._in_json:
            self.files.append(await self._read_file(part, (name, filename or "", content_type), counts_as_text=True))
        elif filename is None:
            self.form.append((name, await self._read_text(part)))
        else:
            self.files.append(await self._read_file(part, (name, filename, content_type)))

    async def _read_text(self, part: BodyPartReader) -> str:
        chunks = []
        while chunk := await part.read_chunk(CHUNK_BYTES):
            self._count_text(chunk)
            self._count(chunk)
            self._text_bytes += len(chunk)
            self._memory.hold(self._text_bytes)
            chunks.append(chunk)
        try:
            return part.decode(b"".join(chunks)).decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest("A text field of the form is not UTF-8.") from None

    async def _read_file(
        self, part: BodyPartReader, about: tuple[str, str, str], *, counts_as_text: bool = False
    ) -> FilePart:
        name, filename, content_type = about
        if not is_text(content_type):
            raise BadRequest(f"The Content-Type of the file {name!r} has bytes that are no UTF-8; send it in UTF-8.")
        cleaned = clean_filename(filename)
        path = os.path.join(self._make_folder(), secrets.token_hex(8) + suffix_of(cleaned))
        size = 0
        async with UploadFile(path) as file:
            while chunk := await part.read_chunk(CHUNK_BYTES):
                if counts_as_text:
                    self._count_text(chunk)
                self._count(chunk)
                size += len(chunk)
                self._disk.hold(self._disk.size + len(chunk))
                await file.write(part.decode(chunk))
                self._memory.hold(self._text_bytes + file.held_bytes)
        self._memory.hold(self._text_bytes)
        return FilePart(name, path, content_type, cleaned, size)

    def _count_text(self, chunk: bytes) -> None:
        self._text_left -= len(chunk)
        if self._text_left < 0:
            raise TooLarge(f"The form has more text than the {self._most_text} bytes that are accepted.")

    def _count(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLarge(f"The body is larger than the {self._most} bytes that are accepted.")
        for guest in (self._memory, self._disk):
            guest.move(len(chunk))

    def _make_folder(self) -> str:
        if not self._own_folder:
            with no_space():
                make_private(self._folder)  # somebody may have tidied up the system's temporary folder
                self._own_folder = tempfile.mkdtemp(prefix="call-", dir=self._folder)
        return self._own_folder


def _remove(folder: str) -> None:
    try:
        remove_tree(folder)
    except OSError as error:
        logger.warning("files that came with a request cannot be removed: %s", error)


def clean_filename(filename: str) -> str:
    """Return the base name of what a client calls its file, without control and direction characters.

    >>> clean_filename("../../etc/passwd")
    'passwd'
    >>> clean_filename("C:\\\\x\\\\cat.png")
    'cat.png'
    """
    base = re.split(r"[/\\]", shown(filename))[-1]
    base = "".join(letter for letter in base if unicodedata.category(letter)[0] != "C").strip()
    return "" if base in (".", "..") else shortened(base)
