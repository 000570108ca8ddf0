"""What a worker's interpreter runs: settles where modules come from, then hands over to worker.py.

    python entry.py NAME HOME VERSION CHANNEL,LIFE,COUNTER

NAME is for people who list processes. The server's own interpreter is given HOME, the folder of the server's package,
so that both run the same code. Another interpreter brings a modelserve of its own, which must be of VERSION. It may
have none, or be too old for it: so nothing but the standard library is imported, and no newer syntax than that of
Python 3.7 is used, before that is known. The three descriptors are the worker's end of the socket pair, its end of the
lifeline, and the memory of the counter of begun calls.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the module that has it is imported when modules come from the right place
if TYPE_CHECKING:
    import socket

    from modelserve.runtime import boot

# The exit statuses by which the server knows what is wrong with an interpreter.
NO_MODELSERVE = 72
OTHER_VERSION = 73

LENGTH_BYTES = 8


def main() -> None:
    """Run a worker to its end."""
    home, version, descriptors = sys.argv[2:]
    channel, life, counter = map(int, descriptors.split(","))
    del sys.argv[1:]  # a model that reads its program's arguments finds none
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder of this file, whose modules are no top-level ones
    front, back = _paths(channel), _paths(channel)
    # A file named like one of the standard library must not break the start, so until all that a worker needs is
    # imported, the program's own folders come last.
    own = list(sys.path)
    sys.path += front + back
    try:
        _import_package(home, version)
        from modelserve.runtime import worker
    except ImportError:
        sys.excepthook(*sys.exc_info())
        sys.exit(NO_MODELSERVE)
    _import_contract()
    sys.path[:] = front + own + back
    worker.main(*_opened(channel, life, counter))


def _opened(channel: int, life: int, counter: int) -> tuple[socket.socket, int, boot.Counter, boot.Boot]:
    import socket

    from modelserve.runtime import boot

    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=channel)
    link.set_inheritable(False)  # so that it closes where the model becomes another program, and the server hears of it
    begun = boot.Counter(counter)
    os.close(counter)
    return link, life, begun, boot.unpack(link)


def _paths(channel: int) -> list[str]:
    text = _read(channel, int.from_bytes(_read(channel, LENGTH_BYTES), "big"))
    return os.fsdecode(text).split("\0") if text else []


def _read(channel: int, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = os.read(channel, count - len(parts))
        if not part:
            sys.exit(1)  # the server has gone
        parts += part
    return parts


def _import_package(home: str, version: str) -> None:
    if home:
        sys.path.insert(0, home)
    import modelserve

    if home:
        sys.path.remove(home)
    elif modelserve.__version__ != version:
        sys.exit(OTHER_VERSION)


def _import_contract() -> None:
    """Import what the worker needs after its model; what is broken there shows when the worker imports it itself."""
    import contextlib

    with contextlib.suppress(Exception):
        import modelserve.v2.predictor  # noqa: F401


if __name__ == "__main__":
    main()
