"""What makes two calls the same: everything of them that their answer may depend on, as one hash.

    Call -> key_of -> 32 bytes

The server parses no body, so bodies are the same only byte for byte: JSON with other white space is another call, and
so is a query in another order. Files are the same by content, field, name and type, wherever they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b, file_digest

from modelserve.messages import Call, FilePart
from modelserve.runtime.queue import size_of

__all__ = ["is_quick", "key_of"]

# No two calls have the same key by chance, nor can a client find two that have.
KEY_BYTES = 32

# What may be hashed on the event loop: it takes about a tenth of a millisecond, and to wake a thread half of that.
QUICK_BYTES = 64 * 1024
QUICK_FILES = 4


def is_quick(call: Call) -> bool:
    """Return whether the key of a call is found so soon that no thread is worth it."""
    files = call.files
    return len(files) <= QUICK_FILES and size_of(call) + sum(file.size for file in files) <= QUICK_BYTES


def key_of(call: Call) -> bytes:
    """Return the key of a call. Blocks for as long as its files take to be read.

    Raises:
        OSError: One of its files cannot be read.
    """
    texts = [text.encode(errors="surrogatepass") for text in _texts(call)]
    hashes = [_hash_of(file) for file in call.files]
    counts = (len(call.headers), len(call.form), len(hashes), *map(len, texts))
    found = blake2b(b"%r;" % (counts,), digest_size=KEY_BYTES)
    found.update(b"".join(texts + hashes))
    found.update(call.body)
    return found.digest()


def _texts(call: Call) -> Iterator[str]:
    yield call.query
    yield _kind_of(call)
    yield call.accept
    yield call.client  # the model may ask who calls
    yield call.client_id  # another client of this name is not told what it was told
    for header in sorted(call.headers.items()):
        yield from header
    for part in call.form:
        yield from part
    for file in call.files:
        yield from (file.name, file.filename, file.content_type)


def _kind_of(call: Call) -> str:
    """Return the content type, without the boundary of a form, which clients choose at random."""
    media_type = call.content_type.partition(";")[0].strip().lower()
    return media_type if media_type.startswith("multipart/") else call.content_type


def _hash_of(file: FilePart) -> bytes:
    with open(file.path, "rb") as content:
        return file_digest(content, blake2b).digest()
