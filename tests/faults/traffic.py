"""Calls that come all the time while something happens to a server, and what each of them was answered.

with traffic(server, "plain", {"x": 1}) as sent:
    ...  # upgrade, reload, kill
assert sent.statuses == {200}
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.running import Reply, Running, eventually

__all__ = ["Traffic", "traffic"]

# Between two calls of one client, so that what is tested gets some of the machine too; seconds.
PAUSE_S = 0.005


class Failure(NamedTuple):
    """A call that got no answer, in the place of a reply."""

    error: str
    status: int = 0


class Traffic:
    """What has been sent and answered so far; the last answer is the last of the list."""

    def __init__(self) -> None:
        self.replies: list[Reply | Failure] = []

    @property
    def statuses(self) -> set[int]:
        """Which statuses were answered; 0 stands for a call that got no answer."""
        return {reply.status for reply in self.replies}

    def answers(self, since: int = 0) -> list[Any]:
        """Return the bodies of the good answers, from a number of replies on."""
        return [reply.json() for reply in self.replies[since:] if isinstance(reply, Reply) and reply.status == 200]

    def goes_on(self, count: int = 20) -> int:
        """Return once so many more calls have been answered, with how many they are by now."""
        wanted = len(self.replies) + count
        eventually(lambda: len(self.replies) >= wanted, within_s=30)
        return len(self.replies)


@contextlib.contextmanager
def traffic(
    server: Running, model: str, arguments: Any, *, clients: int = 4, pause_s: float = PAUSE_S
) -> Iterator[Traffic]:
    """Have clients call a model, each over one connection and one call after the other, while the block runs."""
    sent, is_over = Traffic(), threading.Event()
    body = json.dumps(arguments).encode()

    def call_on() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        with contextlib.closing(connection):
            while not is_over.wait(pause_s):
                sent.replies.append(_call(connection, f"/v2/models/{model}/predict/", body))

    threads = [threading.Thread(target=call_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        sent.goes_on()
        yield sent
        sent.goes_on()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _call(connection: http.client.HTTPConnection, path: str, body: bytes) -> Reply | Failure:
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers), response.read())
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Failure(repr(error))
