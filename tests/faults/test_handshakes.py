"""Handshakes that fail, in every way and more of them than there are places for connections."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelserve.web.handshakes import HANDSHAKES
from tests.authority import Authority
from tests.faults.doors import SIDE_BY_SIDE, Door, End, Plan, batched, play
from tests.faults.mutations import SEED, Mutations
from tests.faults.raw import read_all
from tests.running import Running, eventually, running
from tests.web import telling

READY = re.compile(r"ready on https://127\.0\.0\.1:(\d+)")
MOST, RESERVED = 20, 16
TIMES = MOST + RESERVED + 5


class Tls:
    """A server with a certificate and few connections, and a client that trusts it."""

    def __init__(self, server: Running, authority: Authority) -> None:
        self.server = server
        self.context = authority.client_context()

    def connect(self) -> ssl.SSLSocket:
        bare = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        return self.context.wrap_socket(bare, server_hostname="127.0.0.1")

    def bare(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=30)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, context=self.context, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def counted(self, name: str) -> dict[str, float]:
        """Return the values of a metric by its one label."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {next(iter(sample.labels.values())): sample.value for sample in samples}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("handshakes")
    authority = Authority(folder)
    files = authority.issue("localhost", "127.0.0.1")
    own = ["--tls-cert", str(files.cert), "--tls-key", str(files.key), "--max-connections", str(MOST)]
    arguments = [f"{telling.__file__}:Telling", *own, "--header-timeout-s", "3"]
    with running(arguments, folder=folder, wait=False) as server:
        server.port = eventually(lambda: port(server), within_s=60)
        yield Tls(server, authority)


def port(server: Running) -> int:
    """Return where it is ready over TLS, 0 while it is not."""
    found = READY.search(server.stdout)
    return int(found[1]) if found else 0


# What a client does behind what it sends; and a request to a port that is not for it.
ENDS = (End.HALF, End.CLOSED, End.RESET)
GET = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

# Trusts nobody.
DISTRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def hello() -> bytes:
    """Return the first message of a client."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = DISTRUSTING.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return to_server.read()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def probe(tls: Tls) -> None:
    tls.bare().close()


def distrust(tls: Tls) -> None:
    with tls.bare() as bare, pytest.raises(ssl.SSLError):
        DISTRUSTING.wrap_socket(bare, server_hostname="127.0.0.1")


def speak_http(tls: Tls) -> None:
    with tls.bare() as bare:
        bare.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            read_all(bare)


def speak_noise(tls: Tls) -> None:
    with tls.bare() as bare:
        bare.sendall(os.urandom(4000))
        with contextlib.suppress(ConnectionError):
            read_all(bare)


def half_a_hello(tls: Tls) -> None:
    with tls.bare() as bare:
        bare.sendall(hello()[:100])


def reset_at_once(tls: Tls) -> None:
    reset(tls.bare())


def reset_in_the_middle(tls: Tls) -> None:
    bare = tls.bare()
    bare.sendall(hello())
    assert bare.recv(1)
    reset(bare)


WAYS: dict[str, Callable[[Tls], None]] = {
    each.__name__: each
    for each in (probe, distrust, speak_http, speak_noise, half_a_hello, reset_at_once, reset_in_the_middle)
}


@pytest.mark.parametrize("way", WAYS)
def test_more_handshakes_that_fail_than_there_are_places_take_none_of_them(tls: Tls, way: str) -> None:
    """Y1."""
    failed = tls.counted("modelserve_connections_refused_total")["handshake_failed"]
    for _ in range(TIMES):
        WAYS[way](tls)
    assert tls.get("/healthz")[0] == 200
    assert tls.get("/v2/")[0] == 200
    refused = eventually(lambda: _refused_since(tls, failed + TIMES))
    assert refused["full"] == refused["crowded_out"] == 0
    assert eventually(lambda: tls.counted("modelserve_connections")["open"] == 1)  # the one that asks
    assert "Traceback" not in tls.server.log


def _refused_since(tls: Tls, failed: float) -> dict[str, float]:
    refused = tls.counted("modelserve_connections_refused_total")
    return refused if refused["handshake_failed"] >= failed else {}


def test_handshakes_that_are_held_open_end_in_time_and_keep_nobody_out(tls: Tls) -> None:
    """Y1. However many there are, the oldest is given up for a newer one."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(tls.bare()) for _ in range(HANDSHAKES + TIMES)]
        for each in held[::2]:
            each.sendall(hello()[:50])
        assert tls.get("/v2/")[0] == 200
        assert tls.counted("modelserve_connections")["handshake"] <= HANDSHAKES
        assert tls.counted("modelserve_connections_refused_total")["handshake_crowded_out"] >= TIMES
        eventually(lambda: tls.counted("modelserve_connections")["handshake"] <= 1)
    assert tls.counted("modelserve_connections_limit") == {"open": MOST, "reserved": RESERVED, "handshake": HANDSHAKES}


def test_a_full_server_answers_health_to_a_new_handshake_and_counts_whom_it_refuses(tls: Tls) -> None:
    """Y1."""
    with contextlib.ExitStack() as stack:
        for _ in range(MOST):
            kept = stack.enter_context(tls.connect())
            kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert kept.recv(1) == b"H"
        assert tls.get("/healthz")[0] == 200
        assert tls.get("/v2/")[0] == 503
        for _ in range(TIMES):
            probe(tls)
            stack.enter_context(tls.connect())  # says nothing, on a place that is for health
        assert tls.get("/healthz")[0] == 200
    eventually(lambda: tls.get("/v2/")[0] == 200)
    refused = tls.counted("modelserve_connections_refused_total")
    assert refused["full"] >= 1
    assert refused["crowded_out"] >= TIMES - RESERVED


@pytest.mark.parametrize("time_s", [3, pytest.param(120, marks=[pytest.mark.soak, pytest.mark.timeout(300)])])
def test_what_is_nearly_a_handshake_is_none_and_leaves_nothing(tls: Tls, time_s: int) -> None:
    """Y1: broken off at every place, and made up from a seed, as in test_raw.py."""
    print(f"FUZZ_SEED={SEED}")  # noqa: T201
    door = Door(tls.server.port, tls=tls.context)
    before, mutations = tls.server.descriptors(), Mutations(SEED, [hello(), GET])
    broken_off = [Plan([hello()[:place]], ENDS[place % 3]) for place in range(len(hello()))]
    for plans in batched(broken_off):
        assert all(heard.is_ended for heard in asyncio.run(play(door, plans)))
    end_s = time.monotonic() + time_s
    while time.monotonic() < end_s:
        plans = [Plan(mutations.cut(mutations.next()), ENDS[number % 3]) for number in range(SIDE_BY_SIDE)]
        assert all(heard.is_ended for heard in asyncio.run(play(door, plans))), f"FUZZ_SEED={SEED}"
    assert tls.get("/v2/")[0] == 200
    eventually(lambda: tls.server.descriptors() <= before + 3)
    assert "Traceback" not in tls.server.log
