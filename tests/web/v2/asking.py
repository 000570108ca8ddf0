"""What the tests of jobs ask of a server with the model of tests/web/apprentice.py."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.running import Reply, Running, eventually
from tests.web import apprentice

__all__ = ["ENDED", "MODEL", "PREDICT", "TRAIN", "Gate", "ended", "events", "post", "show", "status", "train"]

MODEL = f"{apprentice.__file__}:Apprentice"
TRAIN = "/v2/models/apprentice/train/"
PREDICT = "/v2/models/apprentice/predict/"
ENDED = ("done", "error", "cancelled", "lost")

# A training starts a process of its own, and the tests' machine is busy.
TRAINED_S = 60.0


class Gate:
    """A folder that holds a job back until the test lets it take a step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = str(folder)

    def open(self, *steps: int) -> None:
        for step in steps:
            Path(self.path, str(step)).touch()


def post(server: Running, path: str, arguments: Any, **headers: str) -> Reply:
    body = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
    return server.request("POST", path, body, {"Content-Type": "application/json", **headers})


def train(server: Running, arguments: Any, **headers: str) -> str:
    """Start a training and return its path."""
    reply = post(server, TRAIN, arguments, **headers)
    assert reply.status == 200, reply.body
    return TRAIN + str(reply.json()["uuid"])


def show(server: Running, path: str) -> dict[str, Any]:
    reply = server.get(path)
    assert reply.status == 200, reply.body
    shown: dict[str, Any] = reply.json()
    return shown


def status(server: Running, path: str) -> str:
    return str(show(server, path)["status"])


def ended(server: Running, path: str) -> dict[str, Any]:
    """Wait until a job has ended, and return it."""
    eventually(lambda: status(server, path) in ENDED, within_s=TRAINED_S)
    return show(server, path)


@contextlib.contextmanager
def events(server: Running, path: str, headers: Mapping[str, str] = {}) -> Iterator[Iterator[tuple[str, str, str]]]:
    """Yield an iterator of the events (name, id, data) of a path; whoever leaves the block closes the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TRAINED_S)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        yield _events(response)


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, str, str]]:
    name, last_id, data = "", "", list[str]()
    for line in response:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        match field:
            case "event":
                name = value
            case "id":
                last_id = value
            case "data":
                data.append(value)
            case "" if data:
                yield name, last_id, "\n".join(data)
                name, last_id, data = "", "", []
