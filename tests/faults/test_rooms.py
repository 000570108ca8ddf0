"""Many slow clients together: what their bodies and answers take of memory and disk stays within bounds."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults import much
from tests.running import Running, eventually, multipart, running
from tests.web import telling

MIB = 1 << 20
BODY, LIMIT, FILES = 4 * MIB, 16 * MIB, 64 * MIB
PREDICT = "/v2/models/telling/predict/"
JSON_TYPE = {"Content-Type": "application/json"}
SETTINGS = {
    "max-body-bytes": BODY,
    "max-receiving-bytes": LIMIT,
    "max-sending-bytes": LIMIT,
    "max-answer-bytes": 8 * MIB,
    "max-upload-bytes": 8 * MIB,
    "max-files-bytes": FILES,
}

# What Python and its allocator keep beside what is counted.
BESIDE = 48 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    arguments = [f"--{name}={value}" for name, value in SETTINGS.items()]
    models = [f"{telling.__file__}:Telling", f"{much.__file__}:Much"]
    with running([*models, *arguments, "--access-log"], folder=tmp_path_factory.mktemp("rooms")) as server:
        yield server


class Watch:
    """The memory and the metrics of a server from now on."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._process = psutil.Process(server.process.pid)
        self._before = self._process.memory_info().rss

    def grown(self) -> int:
        return self._process.memory_info().rss - self._before

    def held(self, what: str, name: str = "modelserve_held_bytes") -> float:
        families = text_string_to_metric_families(self._server.get("/metrics").body.decode())
        samples = [sample for family in families for sample in family.samples]
        return next(sample.value for sample in samples if sample.name == name and sample.labels == {"what": what})

    def canary(self) -> None:
        """Assert that a small call is answered; where its body came behind its head, once slow ones have made way."""
        eventually(lambda: self._server.request("POST", PREDICT, b'{"x": 1}', JSON_TYPE).status == 200)


def begin(server: Running, kind: str, length: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def send(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes; one that is refused meanwhile is not read on."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        connection.sendall(data)


def statuses(connections: list[socket.socket]) -> Counter[str]:
    """Return how many have been answered with which status, and how many wait."""
    found: Counter[str] = Counter()
    for connection in connections:
        answer = b""
        if select.select([connection], [], [], 0)[0]:
            with contextlib.suppress(ConnectionError):
                answer = connection.recv(65536, socket.MSG_PEEK)
        status = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
        found[status[1].decode() if status else "waits"] += 1
    return found


JSON = b'{"x": "' + b"x" * (BODY - 10)
PART = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"x" * (BODY - 1000)
FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"x" * (BODY - 1000)


@pytest.mark.parametrize(
    ("kind", "data"),
    [("application/json", JSON), ("multipart/form-data; boundary=b", PART)],
    ids=["a JSON body", "a form's text"],
)
def test_bodies_that_stop_before_their_end_take_a_bounded_room_and_make_way(
    server: Running, kind: str, data: bytes
) -> None:
    """X4."""
    watch = Watch(server)
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(30):
            slow.append(stack.enter_context(begin(server, kind, BODY)))
            send(slow[-1], data)
            assert watch.held("receiving") <= LIMIT
        assert eventually(lambda: statuses(slow)["503"] + statuses(slow)["408"] >= 20)
        watch.canary()
        assert watch.grown() < LIMIT + BESIDE
        eventually(lambda: _is_taken(server))
        assert set(statuses(slow)) <= {"503", "408", "waits"}
        assert statuses(slow)["408"] >= 1
    assert eventually(lambda: watch.held("receiving") == 0)
    assert watch.held("receiving", "modelserve_held_limit_bytes") == LIMIT


def _is_taken(server: Running) -> bool:
    """Tell whether there is room for a whole body, which slow ones make once they are slow."""
    body = b'{"x": 1' + b" " * (BODY - 100) + b"}"
    with begin(server, "application/json", len(body)) as connection:
        send(connection, body[:100])
        time.sleep(0.05)  # so that it does not come at once
        send(connection, body[100:])
        return connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_uploads_that_stop_before_their_end_take_a_bounded_part_of_the_disk_and_little_memory(server: Running) -> None:
    """X4."""
    watch = Watch(server)
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(40):
            slow.append(stack.enter_context(begin(server, "multipart/form-data; boundary=b", BODY)))
            send(slow[-1], FILE)
        on_disk = sum(path.stat().st_size for path in server.uploads())
        assert on_disk <= FILES
        assert watch.held("files") <= FILES
        assert watch.grown() < LIMIT + BESIDE
        watch.canary()
        body, kind = multipart({"x": "1"}, {})
        assert server.request("POST", PREDICT, body, {"Content-Type": kind}).status == 200
        eventually(lambda: statuses(slow)["503"] + statuses(slow)["408"] >= 20)
    assert eventually(lambda: watch.held("files") == 0)
    assert eventually(lambda: not server.uploads())


ANSWER = 8 * MIB
ASK = (
    f"POST /v2/models/much/predict/?size={ANSWER} HTTP/%s\r\n"
    "Host: localhost\r\nX-Request-ID: %s\r\nContent-Length: 0\r\n\r\n"
)


def ask(server: Running, version: str = "1.1", request_id: str = "asked") -> socket.socket:
    """Ask for a large answer on a connection that takes little of it at a time."""
    connection = socket.socket()
    connection.settimeout(60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall((ASK % (version, request_id)).encode())
    return connection


def test_an_answer_that_waits_counts_once_until_it_is_read(server: Running) -> None:
    """X5: as a whole, and not what of it waits in the connection beside."""
    watch = Watch(server)
    with ask(server) as slow:
        assert slow.recv(12) == b"HTTP/1.1 200"
        for _ in range(10):
            assert watch.held("sending") == ANSWER
            time.sleep(0.05)
    assert eventually(lambda: watch.held("sending") == 0)


def test_answers_that_nobody_reads_take_a_bounded_room_and_those_who_read_get_theirs(server: Running) -> None:
    """X5. What finds no room in memory waits on disk; where that is full too, who does not read makes way."""
    watch = Watch(server)
    with contextlib.ExitStack() as stack:
        begun: Counter[bytes] = Counter()
        for _ in range(20):
            begun[stack.enter_context(ask(server)).recv(12)] += 1
            assert watch.held("files") <= FILES
        assert begun[b"HTTP/1.1 200"] >= FILES // ANSWER
        assert set(begun) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        assert watch.held("sending") <= LIMIT + ANSWER
        assert watch.grown() < LIMIT + ANSWER + BESIDE
        reply = eventually(lambda: _read_all(server))  # once those who do not read are slow
        assert len(reply) == ANSWER
        watch.canary()
    assert eventually(lambda: watch.held("sending") == watch.held("files") == 0)
    eventually(lambda: not server.uploads())


def _read_all(server: Running) -> bytes:
    reply = server.request("POST", f"/v2/models/much/predict/?size={ANSWER}")
    return reply.body if reply.status == 200 else b""


def test_while_there_is_room_on_disk_nobody_who_reads_slowly_is_cut(server: Running) -> None:
    """X5."""
    watch = Watch(server)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(ask(server)) for _ in range(LIMIT // ANSWER)]
        for connection in slow:
            connection.recv(12, socket.MSG_PEEK)
        time.sleep(1.2)  # so that they count as slow
        later = [stack.enter_context(ask(server)) for _ in range(2)]
        eventually(lambda: watch.held("files") >= len(later) * ANSWER)
        assert [len(whole(connection)) for connection in (*slow, *later)] == [ANSWER] * 4


def whole(connection: socket.socket) -> bytes:
    """Return the body of an answer, as far as it comes."""
    body = _until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
    while len(body) < ANSWER and (data := connection.recv(1 << 20)):
        body += data
    return body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_answer_that_had_to_wait_on_disk_is_whole(server: Running, version: str) -> None:
    """X5."""
    watch = Watch(server)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(ask(server, version, f"whole-{version}")) for _ in range(5)]
        eventually(lambda: watch.held("files") > 0)
        for connection in waiting:
            left = ANSWER
            head, _, body = _until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
            assert f"Content-Length: {ANSWER}".encode() in head
            left -= len(body)
            while left and (data := connection.recv(1 << 20)):
                assert data.count(b"x") == len(data)
                left -= len(data)
            assert left == 0
    eventually(lambda: len(accessed(server, 200, f"whole-{version}", ANSWER)) == 5)


def test_an_answer_that_its_client_left_on_the_way_from_disk_is_logged_as_such(server: Running) -> None:
    """X5."""
    watch = Watch(server)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(ask(server, request_id="left")) for _ in range(5)]
        eventually(lambda: watch.held("files") > 0)
        for connection in waiting:
            connection.recv(12)
    eventually(lambda: len(accessed(server, 499, "left", 12)) == 5)


def accessed(server: Running, status: int, request_id: str, least: int) -> list[str]:
    """Return the lines of the access log on requests of one id that ended so, with at least so many bytes sent."""
    lines = re.findall(rf"access_log POST \S+ {status} bytes=(\d+) .*request_id={re.escape(request_id)}\n", server.log)
    return [size for size in lines if int(size) >= least]


def _until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        received += connection.recv(65536)
    return received
