"""A real receiver of callbacks on a free port of 127.0.0.1, which does not always take what it is sent.

with receiving(503, HANG) as receiver:      the first try is refused, the second not answered, and the third taken
    ...
    job = receiver.verified()[0]
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from tests.authority import Files

__all__ = ["DROP", "ENDLESS", "HANG", "KEY", "SECRET", "Message", "Receiver", "receiving"]

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"

# What it may do beside answering with a status: never answer, end the connection, answer 200 with an endless body.
HANG, DROP, ENDLESS = -1, -2, -3


class Message(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self) -> Any:
        """Return what it says, once its signature has been found to be right."""
        return Webhook(SECRET).verify(self.body, self.headers)


class _Http(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""


class Receiver:
    """What it has received, and where it is.

    Args:
        answers: What it answers, one after another; then always 204.
        location: Where a redirect leads.
        tls: With these it speaks https.
    """

    def __init__(self, *answers: int, location: str = "", tls: Files | None = None) -> None:
        self.messages: list[Message] = []
        self.written = 0  # bytes of an endless answer
        self._answers = list(answers)
        self._location = location
        self._is_over = threading.Event()
        self._http = _Http(("127.0.0.1", 0), self._handler())
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._http.server_port

    @property
    def host(self) -> str:
        """What the operator allows."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.host}/done?token=geheim"

    def verified(self) -> list[Any]:
        """Return all that it has received, verified."""
        return [message.verified() for message in self.messages]

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # self is the request's
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append(Message(self.path, dict(self.headers.items()), body))
                receiver._answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        answer = self._answers.pop(0) if self._answers else 204
        if answer == HANG:
            self._is_over.wait(60)
        elif answer == ENDLESS:
            request.send_response(200)
            request.end_headers()
            self._write_on(request)
        elif answer != DROP:
            request.send_response(answer)
            if self._location:
                request.send_header("Location", self._location)
            request.send_header("Content-Length", "0")
            request.end_headers()

    def _write_on(self, request: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            while not self._is_over.is_set():
                self.written += request.wfile.write(b"x" * 65536)

    def serve(self) -> None:
        """Take requests until it is closed."""
        self._http.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self._is_over.set()
        self._http.shutdown()
        self._http.server_close()


@contextlib.contextmanager
def receiving(*answers: int, location: str = "", tls: Files | None = None) -> Iterator[Receiver]:
    """Have a receiver until the block is left."""
    receiver = Receiver(*answers, location=location, tls=tls)
    thread = threading.Thread(target=receiver.serve)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.close()
        thread.join(30)
