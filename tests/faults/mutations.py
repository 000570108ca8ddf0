"""Bytes that are nearly a good message, made from a seed; and the shortest of those that still fail.

Mutations(seed, good).next() --> bytes          shortest(bytes, fails) --> fewer bytes that fail too
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

__all__ = ["SEED", "WORDS", "Mutations", "shortest"]

# Another in each run, which a failure prints; the variable repeats that run.
SEED = int(os.environ.get("FUZZ_SEED", "0")) or time.time_ns() % 1_000_000

# What breaks parsers: ends of lines, bytes that are no text, numbers at their limits, what JSON and forms are made of.
WORDS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc3",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b'"',
    ),
    *(b"%00", b"%ff", b"%", b"+", b"//", b"../", b"?", b"#", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b"null"),
    *(b"-1", b"0", b"1e999", b"NaN", b"2147483648", b"4294967296", b"18446744073709551616", b"1" + 70 * b"0", b"-0.0"),
    *(
        b"1" * 5000,
        b"A" * 9000,
        b"[" * 500,
        b"chunked",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"Content-Length: 5\r\n",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: keep-alive\r\n",
        b"--b--",
        b"--b\r\n",
    ),
    *(b"Accept: \xff\r\n", b"Content-Encoding: gzip\r\n", b"Range: bytes=0-1\r\n", b"Prefer: respond-async\r\n"),
    *(b"Content-Type: \xff/x\r\n", b"Host: \r\n", b"HTTP/1.0", b"HTTP/9.9", b"; charset=\xff", b"; boundary=\xff"),
)

# So many times one shorter form is tried.
TRIES = 300


T = TypeVar("T")


class Mutations:
    """Makes messages up; the same seed makes the same ones.

    Args:
        seed: Any number.
        good: Messages to begin with.
        words: What is put into them.
    """

    def __init__(self, seed: int, good: Sequence[bytes], words: Sequence[bytes] = WORDS) -> None:
        self._random = random.Random(seed)
        self._good = good
        self._words = words

    def next(self) -> bytes:
        """Return one more message, changed at one to six places."""
        data = self._random.choice(self._good)
        for _ in range(self._random.choice((1, 1, 1, 2, 3, 6))):
            data = self._changed(data)
        return data

    def cut(self, data: bytes) -> list[bytes]:
        """Return a message in one to four pieces."""
        places = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randrange(4)))
        return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]

    def choose(self, choices: Sequence[T]) -> T:
        """Return one of them."""
        return self._random.choice(choices)

    def _changed(self, data: bytes) -> bytes:
        chosen = self._random
        start = chosen.randrange(len(data) + 1)
        end = min(len(data), start + chosen.choice((0, 0, 1, 1, 2, 4, 16, 200)))
        match chosen.randrange(7):
            case 0:
                return data[:start] + bytes([chosen.randrange(256)]) + data[start + 1 :]
            case 1 | 2:
                return data[:start] + chosen.choice(self._words) + data[end:]
            case 3:
                return data[:start] + data[end:]
            case 4:
                return data[:end] + data[start:]
            case 5:
                other = chosen.choice(self._good)
                return data[:start] + other[chosen.randrange(len(other) + 1) :]
            case _:
                return self._with_lines_moved(data)

    def _with_lines_moved(self, data: bytes) -> bytes:
        lines = data.split(b"\r\n")
        one, other = (self._random.randrange(len(lines)) for _ in range(2))
        lines[one], lines[other] = lines[other], lines[one]
        return b"\r\n".join(lines)


async def shortest(data: bytes, fails: Callable[[bytes], Awaitable[bool]]) -> bytes:
    """Return what is left of a message that fails when pieces of it are taken out as long as it still does."""
    tries, size = 0, max(1, len(data) // 2)
    while size:
        for shorter in list(_without(data, size)):
            tries += 1
            if tries > TRIES:
                return data
            if await fails(shorter):
                data = shorter
                break
        else:
            size //= 2
    return data


def _without(data: bytes, size: int) -> Iterable[bytes]:
    return (data[:start] + data[start + size :] for start in range(0, len(data), size))
