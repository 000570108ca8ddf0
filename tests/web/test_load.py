"""What must answer at once however much there is to do: health, metrics, and the refusal of what finds no place."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.running import Running, eventually, running

# Sends requests over many connections at once, each as soon as the last one is answered, and counts the answers.
LOAD = """
import asyncio, collections, sys
port, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
request = f"POST {path} HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 0\\r\\n\\r\\n".encode()
async def visit():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(request)
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0]))
async def main():
    await asyncio.gather(*(visit() for _ in range(count)))
asyncio.run(main())
"""


@pytest.fixture
def saturated(packages: dict[str, Path], tmp_path: Path) -> Iterator[Running]:
    """F05: a server whose one worker sleeps in a call, whose queue is full, and which refuses call after call."""
    arguments = ["chaos", "--max-queue", "8"]
    with running(arguments, visible=[packages["chaos"]], folder=tmp_path) as server:
        command = [sys.executable, "-c", LOAD, str(server.port), "100", "/v2/models/chaos/predict/?mode=sleep&n=60"]
        with subprocess.Popen(command) as load:
            try:
                eventually(lambda: b'operation="predict",status="5xx"} 0.0' not in server.get("/metrics").body)
                yield server
            finally:
                load.kill()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_and_metrics_answer_at_once_under_load(saturated: Running, path: str) -> None:
    times = []
    for _ in range(50):
        since = time.perf_counter()
        assert saturated.get(path).status == 200
        times.append(time.perf_counter() - since)
    # The median, as the machine that runs the tests is shared and the load itself takes one of its processors.
    assert statistics.median(times) < 0.1


def test_a_call_that_finds_no_place_is_told_at_once_under_load(saturated: Running) -> None:
    """F01: on the head of a request whose body is never sent."""
    head = "POST /v2/models/chaos/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    times = []
    for _ in range(20):
        with closing(socket.create_connection(("127.0.0.1", saturated.port), timeout=10)) as connection:
            since = time.perf_counter()
            connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
            answer = connection.recv(4000)
            times.append(time.perf_counter() - since)
        first, _, rest = answer.partition(b"\r\n")
        assert first.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: " in rest
        assert json.loads(rest.partition(b"\r\n\r\n")[2])["code"] == "queue_full"
    assert statistics.median(times) < 0.05
