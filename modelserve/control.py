"""Where a running server takes its operator's orders, and how to give them.

    modelserve reload  -->  <runtime folder>/modelserve/5000.sock  -->  the server on port 5000

The socket lies in a folder that only the user who runs the server may enter, so whoever can reach it may use it. There
is one for each listening port. It speaks HTTP, and each line of an answer is a JSON object of its own. Only the
standard library is used here: the command line loads no web framework to give an order.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

from modelserve.errors import StartError

__all__ = ["ControlError", "bound", "listening_ports", "order"]

_SOCKET = re.compile(r"([0-9]{1,5})\.sock", re.ASCII)

# A server whose event loop turns answers at once, if only with the first line of progress.
CONNECT_S = 5.0


class ControlError(StartError):
    """No server can be reached through a control socket, or none can be made."""

    code = "control"


@contextlib.contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """Yield the listening control socket of the server on a port; its file is gone when the block is left.

    A socket that a killed server has left is replaced.

    Raises:
        ControlError: The folder belongs to somebody else or is open to others, or a server uses the socket already.
    """
    place = _folders()[0]
    try:
        listening, identity = _bind(place, port)
    except OSError as error:
        raise ControlError(f"No control socket can be made in {place}: {error.strerror}.") from error
    with listening:
        try:
            yield listening
        finally:
            _remove(place, port, identity)


def listening_ports() -> list[int]:
    """Return the ports of this user's running servers, in order."""
    found = set()
    for place in _folders():
        with contextlib.suppress(OSError), _entered(place) as at:
            matches = filter(None, map(_SOCKET.fullmatch, os.listdir(at)))
            found |= {int(match[1]) for match in matches if _is_alive(f"{at}/{match[0]}")}
    return sorted(found)


def order(port: int, method: str, path: str) -> Iterator[Any]:
    """Give an order to the server on a port and yield what it says, line by line, as it says it.

    Raises:
        ControlError: There is no server on that port, it does not answer, or it knows no such path.
    """
    connection = http.client.HTTPConnection("modelserve")
    connection.sock = _connect(port)
    with contextlib.closing(connection):
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise ControlError(json.loads(answer.read())["message"])
            connection.sock.settimeout(None)  # a model may take its time
            yield from map(json.loads, answer)
        except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
            raise ControlError(
                f"The server on port {port} does not answer: {str(error) or type(error).__name__}."
            ) from error


def _folders() -> list[str]:
    """Return where control sockets may be: the user's runtime folder first, which a system service does not have."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    own = [os.path.join(runtime, "modelserve")] if runtime and os.path.isdir(runtime) else []
    try:
        temporary = tempfile.gettempdir()
    except OSError:  # nothing can be written, as on a read-only root; a server may have a temp_dir of its own
        temporary = os.sep  # where its folder can be made as little, which is then said
    return [*own, os.path.join(temporary, f"modelserve-control-{os.getuid()}")]


@contextlib.contextmanager
def _entered(place: str, *, make: bool = False) -> Iterator[str]:
    """Yield a short name for a folder that is this user's alone: a socket's name may have 107 bytes at most."""
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o700)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise PermissionError(0, "the folder is not this user's alone (mode 700)")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _bind(place: str, port: int) -> tuple[socket.socket, tuple[int, int] | None]:
    for _ in range(3):  # a server that ends removes the folder, perhaps between our making and using it
        with contextlib.suppress(FileNotFoundError), _entered(place, make=True) as at:
            return _bind_in(at, port)
    raise FileNotFoundError(0, "the folder vanishes again and again")


def _bind_in(at: str, port: int) -> tuple[socket.socket, tuple[int, int] | None]:
    _sweep(at)
    if _is_alive(f"{at}/{port}.sock"):
        raise FileExistsError(0, "another server on the same port has one there")
    listening, unfinished = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), f"{at}/{port}.{os.getpid()}"
    try:
        listening.bind(unfinished)
        os.chmod(unfinished, 0o600)
        listening.listen()
        os.rename(unfinished, f"{at}/{port}.sock")  # it has that name only once it listens, so nobody sweeps it
    except BaseException:
        listening.close()
        raise
    return listening, _identity(f"{at}/{port}.sock")


def _sweep(at: str) -> None:
    """Remove the sockets that killed servers have left."""
    for name in os.listdir(at):
        if _SOCKET.fullmatch(name) and not _is_alive(f"{at}/{name}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{at}/{name}")


def _remove(place: str, port: int, identity: tuple[int, int] | None) -> None:
    """Remove a socket's file unless another server's has taken its place, and the folder after the last."""
    with contextlib.suppress(OSError):
        with _entered(place) as at:
            if _identity(f"{at}/{port}.sock") == identity:
                os.unlink(f"{at}/{port}.sock")
        os.rmdir(place)


def _identity(address: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(address)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_alive(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(CONNECT_S)
        try:
            trial.connect(address)
        except OSError:
            return False
        return True


def _connect(port: int) -> socket.socket:
    for place in _folders():
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_S)
        try:
            with _entered(place) as at:
                connection.connect(f"{at}/{port}.sock")
        except OSError:
            connection.close()
        else:
            return connection
    raise ControlError(f"No server of this user listens on port {port} of this machine.")
