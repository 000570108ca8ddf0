"""The log of a deployment over HTTP: for administrators alone, as lines, events and a download. N01, N02 and N07."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.running import Running, eventually, running
from tests.web.guarded import Guarded, guarded

MODEL = """
import logging, os, sys
from modelserve.v2 import fields
log = logging.getLogger("talker")
def get_predict_args():
    return {"text": fields.Str(load_default=""), "times": fields.Int(load_default=1)}
def predict(text, times):
    if text == "raise":
        raise ValueError("secret-of-the-model")
    if text == "die":
        os.write(2, b"last words\\n")
        os._exit(3)
    if text == "child":
        os.system("echo from a child")
    for number in range(times):
        print("printed", text)
        print("to standard error", file=sys.stderr)
    log.warning("logged %s", text, extra={"step": 7})
    log.debug("not at this level")
    return 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("talker")
    (folder / "talker.py").write_text(MODEL)
    arguments = ["talker.py", "--log-lines", "200", "--access-log", "--debug-endpoint"]
    with running(arguments, folder=folder) as found:
        yield found


def say(server: Running, text: str, times: int = 1, status: int = 200, request_id: str = "said") -> None:
    headers = {"X-Request-ID": request_id}
    assert server.predict("talker", {"text": text, "times": times}, **headers).status == status


def tail(server: Running, lines: int = 200) -> list[str]:
    reply = server.get(f"/v2/models/talker/log?tail={lines}")
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    return reply.body.decode().splitlines()


def found(server: Running, text: str) -> str:
    """Return the line of the log that ends with a text or has it before its fields."""
    return eventually(lambda: next((line for line in tail(server) if f" {text} " in f"{line} "), ""), within_s=20)


def test_what_a_model_prints_and_logs_has_its_name_and_whose_call_it_was(server: Running) -> None:
    say(server, "one", request_id="first-request")
    assert found(server, "printed one").endswith("INFO print printed one deployment=talker worker=talker-0")
    assert "to standard error" in found(server, "to standard error")
    fields = "step=7 request_id=first-request deployment=talker worker=talker-0"
    assert found(server, "logged one").endswith(f"WARNING talker logged one {fields}")
    assert "not at this level" not in server.log
    eventually(lambda: "printed one deployment=talker" in server.log)


def test_what_a_child_of_a_model_writes_is_heard_too(server: Running) -> None:
    say(server, "child")
    assert found(server, "from a child").endswith("deployment=talker worker=talker-0")


def test_the_last_words_of_a_worker_are_heard(server: Running) -> None:
    say(server, "die", status=500)
    assert "worker=talker-0" in found(server, "last words")
    eventually(lambda: server.get("/readyz").status == 200, within_s=30)


def test_a_failure_is_in_the_log_with_its_traceback_and_told_to_nobody(server: Running) -> None:
    """N01."""
    reply = server.predict("talker", {"text": "raise"}, **{"X-Request-ID": "failing-request"})
    assert reply.status == 500
    assert b"secret-of-the-model" not in reply.body
    lines = eventually(lambda: [line for line in tail(server) if "secret-of-the-model" in line], within_s=20)
    assert "request_id=failing-request" in lines[0]


@pytest.mark.parametrize("mark", ["\r\n", "\x1b[2J", "\u2028", "\x1e"])
def test_what_a_client_makes_a_model_print_cannot_forge_a_line(server: Running, mark: str) -> None:
    """N01."""
    say(server, f"x{mark}2026-01-01T00:00:00.000Z ERROR modelserve.server forged")
    eventually(lambda: [line for line in tail(server) if "forged" in line], within_s=20)
    assert not [line for line in tail(server) if line.startswith("2026-01-01T00:00:00.000Z ERROR modelserve.server")]
    assert all(line.isprintable() for line in server.log.splitlines())


def test_the_lines_in_memory_are_bounded_and_the_file_has_all(server: Running) -> None:
    """N07."""
    say(server, "many", times=150)
    found(server, "logged many")
    assert len(tail(server, 100_000)) == 200
    reply = server.get("/v2/models/talker/log")
    assert reply.headers["Content-Disposition"] == "attachment; filename=\"talker.log\"; filename*=UTF-8''talker.log"
    assert reply.body.count(b"printed many") == 150
    assert reply.body == (server.data / "logs" / "talker.log").read_bytes()[: len(reply.body)]


@pytest.mark.parametrize("query", ["tail=x", "tail=-1", "tail=100001", "follow=maybe"])
def test_a_query_that_is_malformed_is_refused(server: Running, query: str) -> None:
    assert server.get(f"/v2/models/talker/log?{query}").status == 400


def test_the_log_of_what_is_not_there_is_a_404(server: Running) -> None:
    assert server.get("/v2/models/nosuch/log?tail=1").status == 404


@contextlib.contextmanager
def following(server: Running, **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/v2/models/talker/log?follow=1&tail=0", headers=headers)
        response = connection.getresponse()
        assert (response.status, response.getheader("Content-Type")) == (200, "text/event-stream")
        yield response


def read_until(response: http.client.HTTPResponse, text: str) -> list[str]:
    lines: list[str] = []
    while not any(text in line for line in lines):
        line = response.readline().decode()
        assert line, "the events ended"
        lines.append(line.rstrip("\n"))
    return lines


def test_a_log_is_followed_and_who_comes_back_misses_nothing(server: Running) -> None:
    with following(server) as response:
        say(server, "followed-1")
        lines = read_until(response, "logged followed-1")
        last = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")][-1]
    say(server, "followed-2")
    with following(server, **{"Last-Event-ID": last}) as response:
        lines = read_until(response, "logged followed-2")
    assert not [line for line in lines if "followed-1" in line]
    assert [line for line in lines if "printed followed-2" in line]


def test_a_request_is_a_line_of_the_access_log(server: Running) -> None:
    say(server, "accessed", request_id="accessed-request")
    pattern = (
        r"INFO modelserve\.access_log POST /v2/models/talker/predict/ 200 bytes=\d+ total_ms=[\d.]+ queue_ms=[\d.]+ "
        r"predict_ms=[\d.]+ deployment=talker request_id=accessed-request\n"
    )
    eventually(lambda: re.search(pattern, server.log))
    assert not [line for line in tail(server) if "access_log" in line], "it would drown what the model says"


def test_the_access_log_shows_routes_and_never_what_a_client_has_sent(server: Running) -> None:
    assert server.get("/v2/models/secret-name/?token=secret-query", **{"X-Request-ID": "hidden"}).status == 404
    assert server.get("/secret-path%0aforged", **{"X-Request-ID": "lost"}).status == 404
    eventually(lambda: re.search(r"access_log GET - 404 .*request_id=lost", server.log))
    assert re.search(r"access_log GET /v2/models/\{name\}/ 404 bytes=\d+ total_ms=[\d.]+ request_id=hidden", server.log)
    assert "secret-name" not in server.log
    assert "secret-query" not in server.log
    assert "secret-path" not in server.log


def test_the_debug_route_shows_the_last_lines_where_it_is_enabled(server: Running) -> None:
    say(server, "debugged")
    found(server, "logged debugged")
    text = server.get("/v2/debug/").body.decode()
    assert text.startswith("==> talker <==\n")
    assert "logged debugged" in text


def test_a_flood_of_failures_and_of_prints_is_bounded_in_every_place(server: Running) -> None:
    """N02: 10^4 faults as fast as they come; what is left out is counted, and the server's memory does not grow."""
    before, rss = len(server.log), psutil.Process(server.process.pid).memory_info().rss
    since = time.monotonic()
    say(server, "flood", times=100_000)
    body = json.dumps({"text": "raise"}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        for _ in range(500):
            connection.request("POST", "/v2/models/talker/predict/", body, {"Content-Type": "application/json"})
            assert connection.getresponse().read()
    eventually(lambda: "lines of the log were left out in a second deployment=talker" in server.log, within_s=20)
    seconds = time.monotonic() - since + 2
    lines = [line for line in server.log[before:].splitlines() if "access_log" not in line]
    assert len(lines) < 3_000 * seconds
    lost = re.search(r"^modelserve_log_records_lost_total (\S+)", server.get("/metrics").body.decode(), re.MULTILINE)
    assert lost
    assert psutil.Process(server.process.pid).memory_info().rss < rss + 30e6


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("guarded"), "--debug-endpoint", "--access-log") as found:
        yield found


@pytest.mark.parametrize("path", ["/v2/models/mine/log", "/v2/models/open/log?tail=5", "/v2/debug/"])
def test_only_administrators_read_logs(clients: Guarded, path: str) -> None:
    """N07."""
    statuses = {name: clients.ask("GET", path, name=name).status for name in ("", "alice", "dora", "root")}
    assert statuses == {"": 401, "alice": 403, "dora": 403, "root": 200}


def test_the_log_names_the_client_of_a_request(clients: Guarded) -> None:
    assert clients.predict("mine", "alice", x=-1).status == 500
    eventually(lambda: re.search(r"ERROR .*deployment=mine .*client=alice", clients.server.log))
    eventually(lambda: re.search(r"access_log .*deployment=mine client=alice request_id=", clients.server.log))
    for token in clients.tokens.values():
        assert token not in clients.server.log


def test_where_it_is_not_enabled_the_debug_route_is_empty(tmp_path: Path) -> None:
    """N07."""
    (tmp_path / "talker.py").write_text(MODEL)
    with running(["talker.py", "--log-format", "json"], folder=tmp_path) as server:
        reply = server.get("/v2/debug/")
        assert (reply.status, reply.body) == (204, b"")
        say(server, "as json")
        eventually(lambda: "logged as json" in server.log)
        (line,) = [json.loads(line) for line in server.log.splitlines() if "logged as json" in line]
        assert (line["deployment"], line["worker"], line["level"], line["step"]) == ("talker", "talker-0", "warning", 7)
        assert "access_log" not in server.log
