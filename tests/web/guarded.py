"""A server that has clients, for tests of who may do what, and requests from addresses that no other test uses.

mine      private, trains       seen by all clients but bob
batched   private               bob is for it alone
limited   private, one call in 20 seconds of each client
open      public
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from modelserve.access.client import Role
from modelserve.access.clients import Clients
from modelserve.jobs.opening import open_database
from tests.running import Reply, Running, eventually, running
from tests.web import who

__all__ = ["Guarded", "basic", "bearer", "guarded"]

SETTINGS = f"""
train_retries = 0
[deployments.mine]
model = "{who.__file__}:Who"
[deployments.batched]
model = "{who.__file__}:WhoBatch"
train = false
[deployments.limited]
model = "{who.__file__}:Who"
rate_limit = 0.05
[deployments.open]
model = "{who.__file__}:WhoAsync"
access = "public"
"""

CLIENTS: Mapping[str, tuple[Role, tuple[str, ...]]] = {
    "alice": (Role.CLIENT, ()),
    "bob": (Role.CLIENT, ("batched",)),
    "dora": (Role.DEPLOYER, ()),
    "root": (Role.ADMIN, ()),
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}"}


class Guarded:
    """The server with its clients' tokens, by name."""

    def __init__(self, server: Running, clients: Clients, tokens: dict[str, str]) -> None:
        self.server = server
        self.clients = clients
        self.tokens = tokens
        self._addresses = (f"127.1.{place // 250}.{place % 250 + 1}" for place in itertools.count())

    def add(self, name: str, role: Role = Role.CLIENT, expires: datetime | None = None) -> None:
        """Add a client, and wait until the server knows it."""
        self.tokens[name] = self.clients.add(name, role, (), expires)

        def is_known() -> bool:
            time.sleep(0.15)  # each time that it is not is a failed login of its name
            return self.ask("GET", "/v2/", name=name).status == 200

        eventually(is_known)

    def headers(self, name: str) -> dict[str, str]:
        """Return what a client sends, nothing for ""."""
        return bearer(self.tokens[name]) if name else {}

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """Yield a connection from an address of its own: failed logins are counted by it."""
        source = (next(self._addresses), 0)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60, source_address=source)
        with contextlib.closing(connection):
            yield connection

    def ask(
        self, method: str, path: str, body: Any = None, name: str = "", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request as a client; headers take the place of its token."""
        own = dict(self.headers(name) if headers is None else headers)
        if body is not None:
            own["Content-Type"] = "application/json"
        with self.connection() as connection:
            return said(connection, method, path, None if body is None else json.dumps(body).encode(), own)

    def predict(self, model: str, name: str = "", **arguments: Any) -> Reply:
        return self.ask("POST", f"/v2/models/{model}/predict/", arguments, name)

    def raw(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes until the server closes."""
        with socket.socket() as connection:
            connection.settimeout(60)
            connection.bind((next(self._addresses), 0))
            connection.connect(("127.0.0.1", self.server.port))
            connection.sendall(request)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
            return received


def said(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Reply:
    """Send a request on an open connection and return the answer."""
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    return Reply(response.status, dict(response.headers), response.read())


@contextlib.contextmanager
def guarded(folder: Path, *arguments: str) -> Iterator[Guarded]:
    """Run such a server until the block is left."""
    (folder / "modelserve.toml").write_text(SETTINGS)
    with contextlib.closing(open_database("", folder / "data", wait_s=30)) as database:
        clients = Clients(database)
        tokens = {name: clients.add(name, role, deployments) for name, (role, deployments) in CLIENTS.items()}
        with running(arguments, folder=folder) as server:
            yield Guarded(server, clients, tokens)
