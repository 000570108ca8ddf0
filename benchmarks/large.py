"""The other groups: uploads, large answers, and a model that only waits."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

from . import bare
from .cases import Case, Group, bare_case, json_is, modelserve, small

__all__ = ["UPLOAD_BYTES", "answer", "every", "groups", "sleep", "upload"]

UPLOAD_BYTES = 8 * 1024**2

# Few: a large body keeps a connection busy, and each connection of the load holds one in memory.
_CONNECTIONS = (1, 4)
_BOUNDARY = "----benchmarks-2f1c7d"


def groups() -> list[Group]:
    """Return every group, in the order they are loaded."""
    return [small(), upload(), answer(), sleep()]


def every() -> list[Case]:
    """Return every case of every group."""
    return [case for group in groups() for case in group.cases]


def upload(size_bytes: int = UPLOAD_BYTES) -> Group:
    """Return the upload: every server is sent the same multipart request and answers the file's SHA-256."""
    content = random.Random(3).randbytes(size_bytes)
    body = _form(content)
    right = json_is({"sha256": hashlib.sha256(content).hexdigest()})
    served = Case(
        name="upload",
        title="upload",
        command=modelserve("hasher.py"),
        body=body,
        right=right,
        content_type=f"multipart/form-data; boundary={_BOUNDARY}",
        beside="bare-upload",
    )
    bare_one = replace(bare_case("bare-upload", "bare: in memory", body, "/upload"), right=right)
    parts = replace(bare_one, name="bare-upload-parts", title="bare: aiohttp's multipart", path="/upload-parts")
    bare_cases = tuple(replace(case, content_type=served.content_type) for case in (bare_one, parts))
    return Group("upload", f"Upload of {_mib(size_bytes)} MiB, hashed", (*bare_cases, served), _CONNECTIONS)


def answer() -> Group:
    """Return the large answer: bytes that the model returns, and a file of them that the server sends."""
    blob = bytes(bare.BLOB_BYTES)
    yardstick = replace(bare_case("bare-answer", "bare: bytes", b"{}", "/answer"), right=blob.__eq__)
    memory = Case("answer", "bytes", modelserve("blob.py:Memory"), b"{}", blob.__eq__, beside="bare-answer")
    disk = replace(memory, name="answer-file", title="file", command=modelserve("blob.py:Disk"))
    return Group("answer", f"Answer of {_mib(len(blob))} MiB", (yardstick, memory, disk), _CONNECTIONS)


def sleep() -> Group:
    """Return the model that sleeps 10 ms, by two workers: 200 per second is all there can be."""
    right = json_is({"slept_s": 0.01})
    yardstick = replace(bare_case("bare-sleep", "bare: two at a time", b"{}", "/sleep"), right=right)
    served = Case("sleep", "two workers", modelserve("sleeper.py", "--workers", "2"), b"{}", right, beside="bare-sleep")
    return Group("sleep", "A model that sleeps 10 ms", (yardstick, served), (16,))


def _form(content: bytes) -> bytes:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="file.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:g}"
