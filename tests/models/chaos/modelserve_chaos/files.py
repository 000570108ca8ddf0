"""Modes about files: what an upload looks like from inside, and files as answers that are good or are not."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from .asked import Asked, Mode

__all__ = ["FILE_MODES"]


def _file(asked: Asked) -> dict[str, Any]:
    """Answer all there is to know of the uploaded file, and of the folder it lies in; None where there is none."""
    if asked.file is None:
        return {"file": None}
    path = Path(asked.file.filename)
    return {
        "name": asked.file.name,
        "content_type": asked.file.content_type,
        "original_filename": asked.file.original_filename,
        "path": str(path),
        "size": path.stat().st_size,
        "mode": oct(path.stat().st_mode & 0o777),
        "folder_mode": oct(path.parent.stat().st_mode & 0o777),
        "first_bytes": list(path.read_bytes()[:16]),
    }


def _output(path: Path, asked: Asked, *, delete: bool = False) -> Any:
    from modelserve.v2 import OutputFile

    return OutputFile(str(path), content_type=asked.text or "application/octet-stream", delete=delete)


def _scratch(name: str) -> Path:
    # In no folder of its own, so that deleting the file leaves nothing behind.
    return Path(tempfile.gettempdir()) / f"chaos-{uuid.uuid4().hex}-{name}"


def _out_ok(asked: Asked) -> Any:
    """Answer a file of n bytes (1000), which is to be deleted; ``text`` is its content type."""
    path = _scratch("answer.bin")
    path.write_bytes(b"x" * int(asked.number(1000)))
    return _output(path, asked, delete=True)


def _out_empty(asked: Asked) -> Any:
    path = _scratch("empty.bin")
    path.touch()
    return _output(path, asked, delete=True)


def _out_path(asked: Asked) -> Path:
    path = _scratch("plain.txt")
    path.write_text("a path as answer\n")
    return path


def _out_open(asked: Asked) -> Any:
    return _out_path(asked).open("rb")


def _out_missing(asked: Asked) -> Any:
    return _output(_scratch("missing.bin"), asked)


def _out_dir(asked: Asked) -> Any:
    path = _scratch("folder")
    path.mkdir()
    return _output(path, asked)


def _out_symlink(asked: Asked) -> Any:
    path = _scratch("link")
    path.symlink_to("/etc/passwd")
    return _output(path, asked)


def _out_fifo(asked: Asked) -> Any:
    path = _scratch("fifo")
    os.mkfifo(path)
    return _output(path, asked)


def _out_crlf(asked: Asked) -> Any:
    """Answer a file whose content type and name would split a header."""
    from modelserve.v2 import OutputFile

    path = _out_path(asked)
    return OutputFile(str(path), content_type="text/plain\r\nX-Injected: 1", original_filename='a"\r\nX-Injected: 1')


FILE_MODES: dict[str, Mode] = {
    "file": _file,
    "out_ok": _out_ok,
    "out_empty": _out_empty,
    "out_path": _out_path,
    "out_open": _out_open,
    "out_missing": _out_missing,
    "out_dir": _out_dir,
    "out_symlink": _out_symlink,
    "out_fifo": _out_fifo,
    "out_crlf": _out_crlf,
}
"""Mode names and what they do."""
