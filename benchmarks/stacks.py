"""Samples of call stacks, as py-spy writes them, told as shares of own time by function and by library.

A line is ``outermost;...;innermost COUNT`` with frames like ``name (aiohttp/streams.py:108)`` or ``write (libc.so.6)``.
A sample belongs to its innermost Python function, with the C code that it called; but a system call is counted by its
own name, because it costs the same whoever makes it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Shares", "library", "read"]

_FRAME = re.compile(r"(?P<name>.*) \((?P<file>[^()]*?)(?::\d+)?\)")
# Names of libc's functions, without the underscores that some builds put before them.
_SYSTEM_CALL = re.compile(r"(read|write|send|recv)(v|to|from|msg)?|poll|select|epoll_p?wait|epoll_ctl")
# Files of compiled parts that show no package in their path.
_COMPILED = {
    "loop.c": "uvloop",
    "core.c": "uvloop",
    "linux.c": "uvloop",
    "stream.c": "uvloop",
    "_http_parser.c": "aiohttp",
    "_http_writer.c": "aiohttp",
    "llhttp.c": "aiohttp",
    "_multidict.c": "multidict",
    "hashtable.h": "multidict",
    "_core.c": "msgspec",
    "_asynciomodule.c": "asyncio",
}
_PACKAGE = re.compile(
    r"(?:^|/)(aiohttp|uvloop|asyncio|modelserve|multidict|yarl|msgspec|orjson|marshmallow|webargs|prometheus_client"
    r"|logging|numpy|torch|benchmarks)[/.]"
)


@dataclass
class Shares:
    """How many of ``total`` samples fell to each function, and to each library or the kernel."""

    total: int = 0
    functions: Counter[str] = field(default_factory=Counter)
    libraries: Counter[str] = field(default_factory=Counter)


def read(lines: Iterable[str]) -> Shares:
    """Return the shares of the samples in py-spy's raw format."""
    shares = Shares()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if not count.isdigit():
            continue
        frames = stack.split(";")[::-1]
        shares.total += int(count)
        shares.functions[_function(frames)] += int(count)
        shares.libraries[library(frames)] += int(count)
    return shares


def library(frames: list[str]) -> str:
    """Return to whom a sample belongs, given its frames from the innermost out."""
    if _system_call(frames[0]):
        return "system calls"
    for frame in frames:
        _, file = _split(frame)
        within = _PACKAGE.search(file)
        known = _COMPILED.get(file.rpartition("/")[2]) or (within and within[1])
        if known:
            return known
        if file.endswith(".py"):
            return "standard library"
    return "interpreter"


def _function(frames: list[str]) -> str:
    if called := _system_call(frames[0]):
        return f"{called} (system call)"
    for frame in frames:
        name, file = _split(frame)
        if file.endswith(".py"):
            return f"{name} ({file})"
        # Above the loop's own C code there is only the function that runs the loop.
        if _COMPILED.get(file) == "uvloop":
            return "uvloop (C)"
    return frames[0]


def _system_call(frame: str) -> str:
    name, file = _split(frame)
    plain = name.removeprefix("__libc_").strip("_")
    return plain if file.startswith("libc") and _SYSTEM_CALL.fullmatch(plain) else ""


def _split(frame: str) -> tuple[str, str]:
    match = _FRAME.fullmatch(frame)
    return (match["name"], match["file"]) if match else (frame, "")
