"""A small TCP proxy between a server and its PostgreSQL, whose connections break as a test wants.

    with proxied(port) as proxy:
        url = proxy.address(url)                       what a server is given
        proxy.cut_commits(b"INSERT INTO jobs")         the next such commit reaches the database, its answer nobody
        proxy.silence(); proxy.speak()                 half-open: every packet is taken and none is passed on

It understands nothing but the words of a statement that pass by.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
from collections.abc import Iterator

__all__ = ["Proxy", "proxied"]

COMMIT, ROLLBACK = b"COMMIT", b"ROLLBACK"
PIECE = 1 << 16


class _Link:
    """Two sockets that are one connection; ``has_seen`` the words of the cut in the transaction that goes on."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.has_seen = False
        self.ends_with_answer = False

    def other(self, one: socket.socket) -> socket.socket:
        return self.server if one is self.client else self.client

    def close(self) -> None:
        for end in (self.client, self.server):
            end.close()


class Proxy:
    """One proxy; its thread is started by :func:`proxied`.

    ``cuts`` counts the commits that were cut.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._links: dict[socket.socket, _Link] = {}
        self._is_over = threading.Event()
        self._may_pass = threading.Event()
        self._may_pass.set()
        self._words = b""
        self._is_before = False
        self._left = 0
        self.cuts = 0

    def address(self, url: str) -> str:
        """Return the address of a database, through this proxy."""
        return re.sub(r":\d+/", f":{self.port}/", url)

    def cut_commits(self, words: bytes, *, count: int = 1, before: bool = False) -> None:
        """Cut the next commits of transactions with a statement of these words: after it was done, or ``before``."""
        self._words, self._left, self._is_before = words, count, before

    def silence(self) -> None:
        """Take what comes, and pass nothing on; also of connections that are made now."""
        self._may_pass.clear()

    def speak(self) -> None:
        """Pass on what is sent from now on; connections that were silent are closed."""
        for link in set(self._links.values()):
            self._drop(link)
        self._may_pass.set()

    def run(self) -> None:
        while not self._is_over.is_set():
            for key, _ in self._selector.select(0.1):
                if key.fileobj is self._listener:
                    self._accept()
                elif (link := self._links.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                    self._pass(link, key.fileobj)  # type: ignore[arg-type]

    def close(self) -> None:
        self._is_over.set()

    def dispose(self) -> None:
        for link in set(self._links.values()):
            link.close()
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        for end in (client, server):
            self._links[end] = link
            self._selector.register(end, selectors.EVENT_READ)

    def _pass(self, link: _Link, source: socket.socket) -> None:
        try:
            data = source.recv(PIECE)
        except OSError:
            data = b""
        if not data:
            self._drop(link)
        elif self._may_pass.is_set() and not self._cuts(link, source, data):
            try:
                link.other(source).sendall(data)
            except OSError:
                self._drop(link)

    def _cuts(self, link: _Link, source: socket.socket, data: bytes) -> bool:
        """Cut the connection where it is time to; tell whether it was."""
        if source is link.server:
            if link.ends_with_answer:
                self._drop(link)
            return link.ends_with_answer
        link.has_seen = link.has_seen or (self._left > 0 and self._words in data)
        has_ended = COMMIT in data or ROLLBACK in data
        is_meant = link.has_seen and self._left > 0 and COMMIT in data
        link.has_seen = link.has_seen and not has_ended
        if not is_meant:
            return False
        self._left -= 1
        self.cuts += 1
        if self._is_before:
            self._drop(link)
            return True
        link.ends_with_answer = True
        return False

    def _drop(self, link: _Link) -> None:
        for end in (link.client, link.server):
            if self._links.pop(end, None) is not None:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
        link.close()


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """Run a proxy to a port of this machine until the block is left."""
    proxy = Proxy(port)
    thread = threading.Thread(target=proxy.run, name="proxy")
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
        proxy.dispose()
