"""A server under every load that the dashboard and the alerts tell of, and a Prometheus that watches it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.running import Running, eventually

__all__ = ["Prometheus", "loaded", "watching"]

REPOSITORY = Path(__file__).parent.parent.parent

SCRAPE = "250ms"


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self._port = port

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return what an expression gives: labels and a value each, without those that are no number."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        answer = json.loads(self._get(path))
        assert answer["status"] == "success", answer
        found = [(dict(each["metric"]), float(each["value"][1])) for each in answer["data"]["result"]]
        return [(labels, value) for labels, value in found if value == value]

    def rules(self) -> list[dict[str, Any]]:
        """Return its rules, as it has evaluated them."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def is_ready(self) -> bool:
        """Tell whether it answers queries."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return b"Ready" in self._get("/-/ready")
        return False

    def _get(self, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()


@contextlib.contextmanager
def watching(server: Running, folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus with the example's configuration, but for how often it scrapes, and whom."""
    text = (REPOSITORY / "deploy/prometheus/prometheus.yml").read_text()
    text = text.replace("15s", SCRAPE).replace("127.0.0.1:5000", f"127.0.0.1:{server.port}")
    (folder / "prometheus.yml").write_text(text)
    rules = (REPOSITORY / "deploy/prometheus/modelserve.rules.yml").read_text()
    (folder / "modelserve.rules.yml").write_text(rules)
    port = _free_port()
    options = [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", "--log.level=warn", *options]
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        prometheus = Prometheus(port)
        eventually(prometheus.is_ready, within_s=30)
        yield prometheus
    finally:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def loaded(server: Running) -> Iterator[None]:
    """Load a server with two workers, a cache and a short queue, in every way, until the block is left."""
    over = threading.Event()
    threads = [threading.Thread(target=_call, args=(server, over)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _call(server: Running, over: threading.Event) -> None:
    """Call it well and badly, so that calls wait, batch, fail, are turned away, run out of time; and train."""
    number = 0
    while not over.is_set():
        number += 1
        slow = [server.predict_soon("counting", {"mode": "sleep", "size": 0.03 + n / 1e6}) for n in range(12)]
        server.predict("counting", {"size": 0.5})  # the same again and again, for the cache
        server.predict("counting", {"mode": "raise"})
        server.predict("counting", {"size": "no number"})
        server.predict("counting", {"mode": "sleep", "size": 0.1}, **{"X-Timeout-S": "0.02"})
        server.get("/v2/models/counting/train/")
        if number % 5 == 1:
            server.predict("counting", {"mode": "exit"})
            server.request("POST", "/v2/models/counting/train/", b"{}", {"Content-Type": "application/json"})
        for future in slow:
            future.result(30)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
