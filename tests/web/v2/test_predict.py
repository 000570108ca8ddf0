"""Predict as a client meets it: where arguments come from, how answers are chosen, and clients that leave."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.models.installed import side_log
from tests.running import Reply, Running, eventually, multipart, running
from tests.web import telling

PREDICT = "/v2/models/telling/predict/"
FORM = "application/x-www-form-urlencoded"

# Two clients have left.
LEFT = 'modelserve_requests_total{deployment="chaos",operation="predict",status="4xx"} 2.0'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    models = [f"{telling.__file__}:Telling", f"{telling.__file__}:Silent"]
    with running(models, folder=tmp_path_factory.mktemp("predict")) as server:
        yield server


def post(server: Running, query: str = "", body: bytes | None = None, kind: str = "", **headers: str) -> Reply:
    return server.request("POST", PREDICT + query, body, headers | ({"Content-Type": kind} if kind else {}))


def told(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return reply.json()["predictions"]


def send(server: Running, place: str, arguments: Mapping[str, Any]) -> Reply:
    """Send the arguments in one of the places that a client may choose."""
    if place == "query":
        return post(server, "?" + urlencode(arguments, doseq=True))
    if place == "form":
        return post(server, "", urlencode(arguments, doseq=True).encode(), FORM)
    if place == "multipart":
        body, kind = multipart({name: str(value) for name, value in arguments.items()}, {})
        return post(server, "", body, kind)
    return post(server, "", json.dumps(dict(arguments)).encode(), "application/json")


@pytest.mark.parametrize("place", ["query", "form", "multipart", "json"])
def test_an_argument_may_stand_in_any_place(server: Running, place: str) -> None:
    assert told(send(server, place, {"x": 7}))["x"] == 7


@pytest.mark.parametrize("place", ["query", "form", "multipart", "json"])
def test_an_argument_that_does_not_fit_is_named_wherever_it_stands(server: Running, place: str) -> None:
    reply = send(server, place, {"x": "seven", "nosuch": 1})
    assert set(reply.invalid()) == {"x", "nosuch"}
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_without_any_argument_the_defaults_hold(server: Running) -> None:
    answer = told(post(server))
    assert (answer["x"], answer["names"], answer["files"]) == (0, [], [])


def test_the_query_wins_over_a_form_and_over_json(server: Running) -> None:
    form, kind = multipart({"x": "2", "names": "form"}, {})
    for body, content_type in ((b"x=2&names=form", FORM), (form, kind)):
        answer = told(post(server, "?x=1", body, content_type))
        assert (answer["x"], answer["names"]) == (1, ["form"])
    answer = told(post(server, "?x=1", b'{"x": 3, "names": ["json"]}', "application/json"))
    assert (answer["x"], answer["names"]) == (1, ["json"])


@pytest.mark.parametrize("place", ["query", "form"])
def test_a_list_is_given_by_repeating_its_name(server: Running, place: str) -> None:
    assert told(send(server, place, {"names": ["a", "b", "a"]}))["names"] == ["a", "b", "a"]
    assert told(send(server, place, {"names": ["one"]}))["names"] == ["one"]


def test_a_list_is_given_by_repeating_parts_of_a_form(server: Running) -> None:
    parts = [f'--b\r\nContent-Disposition: form-data; name="names"\r\n\r\n{name}\r\n' for name in ("ä", "b")]
    body = ("".join(parts) + "--b--\r\n").encode()
    assert told(post(server, "", body, "multipart/form-data; boundary=b"))["names"] == ["ä", "b"]


def test_an_argument_from_a_header_is_read_there_and_nowhere_else(server: Running) -> None:
    assert told(post(server, Mood="calm"))["mood"] == "calm"
    assert told(post(server, MOOD="calm"))["mood"] == "calm"
    reply = post(server, "?mood=calm")
    assert reply.status == 422
    assert "mood" in reply.json()


def test_an_argument_from_the_query_is_read_there_and_nowhere_else(server: Running) -> None:
    assert told(post(server, "?page=4"))["page"] == 4
    assert send(server, "json", {"page": 4}).status == 422
    assert send(server, "form", {"page": 4}).status == 422


def test_a_header_that_no_argument_asks_for_does_not_reach_the_model(server: Running) -> None:
    assert b"hunter2" not in post(server, Authorization="Bearer hunter2").body


def test_an_uploaded_file_reaches_the_model_and_is_gone_afterwards(server: Running) -> None:
    body, kind = multipart({"x": "1"}, {"file": ("näme.txt", b"content", "text/plain")})
    answer = told(post(server, "", body, kind))
    assert (answer["x"], answer["files"]) == (1, [["näme.txt", "content"]])
    eventually(lambda: not any(Path(path).exists() for path in answer["paths"]))
    eventually(lambda: not server.uploads())


def test_many_files_reach_the_model_in_their_order(server: Running) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="files"; filename="{0}.txt"\r\n\r\n{0}\r\n'
    body = "".join(part.format(number) for number in range(20)) + "--b--\r\n"
    answer = told(post(server, "", body.encode(), "multipart/form-data; boundary=b"))
    assert answer["files"] == [[f"{number}.txt", str(number)] for number in range(20)]
    eventually(lambda: not server.uploads())


def test_the_files_of_a_call_that_is_refused_are_gone_too(server: Running) -> None:
    for fields in ({"x": "no"}, {"answer": "refuse"}):
        body, kind = multipart(fields, {"file": ("a.txt", b"content", "text/plain")})
        assert post(server, "", body, kind).status in (409, 422)
        eventually(lambda: not server.uploads())


def test_the_media_type_is_chosen_by_query_form_or_header_in_that_order(server: Running) -> None:
    for reply in (
        post(server, "?answer=csv&accept=text/csv"),
        send(server, "form", {"answer": "csv", "accept": "text/csv"}),
        post(server, "?answer=csv", Accept="text/csv"),
        post(server, "?answer=csv", b"accept=text/csv", FORM, Accept="application/json"),
        post(server, "?answer=csv&accept=text/csv", b"accept=image/png", FORM, Accept="application/json"),
    ):
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert reply.body == b"x\r\n0\r\n"


def test_a_header_in_several_lines_is_one_list(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("POST", PREDICT + "?names=a")
        for name, text in (
            ("Accept", "image/x-none"),
            ("Mood", "glad"),
            ("accept", "application/json"),
            ("mood", "sad"),
        ):
            connection.putheader(name, text)
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == 200
        told = json.load(response)["predictions"]
    assert (told["mood"], told["names"]) == ("glad, sad", ["a"])


def test_the_model_is_told_the_type_that_was_chosen(server: Running) -> None:
    assert told(post(server))["accept"] == "application/json"
    assert told(post(server, Accept="*/*"))["accept"] == "application/json"
    assert told(post(server, Accept="text/csv;q=0.1, application/*"))["accept"] == "application/json"


def test_a_type_that_the_model_has_not_is_a_406_in_the_header_and_a_422_in_the_query(server: Running) -> None:
    reply = post(server, Accept="video/mp4")
    assert (reply.status, reply.json()["code"]) == (406, "not_acceptable")
    assert "accept" in post(server, "?accept=video/mp4").json()


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", "1e3", "1_0", "", "0.0", "٣"])
def test_a_deadline_that_is_no_number_of_seconds_is_a_400_that_names_it(server: Running, text: str) -> None:
    reply = server.request("POST", PREDICT, headers={"X-Timeout-S": text.encode()})  # type: ignore[dict-item]
    assert (reply.status, reply.json()["code"]) == (400, "bad_request")
    assert "X-Timeout-S" in reply.json()["message"]


def test_a_call_that_is_answered_before_its_deadline_does_not_notice_it(server: Running) -> None:
    assert server.request("POST", PREDICT, headers={"X-Timeout-S": "20.5"}).status == 200


def test_a_model_without_predict_answers_501(server: Running) -> None:
    reply = server.request("POST", "/v2/models/silent/predict/", b"{}", {"Content-Type": "application/json"})
    assert (reply.status, reply.json()["code"]) == (501, "not_implemented")


def test_an_aiohttp_exception_of_the_model_reaches_the_client_as_a_json_error(server: Running) -> None:
    """DEEPaaS's packages raise these."""
    reply = post(server, "?answer=refuse")
    assert (reply.status, reply.json()["message"]) == (409, "Two of them disagree.")
    assert set(reply.json()) == {"message", "code", "request_id"}


def test_a_model_cannot_send_a_client_elsewhere(server: Running) -> None:
    reply = post(server, "?answer=redirect")
    assert reply.status == 500
    assert "Location" not in reply.headers
    assert b"example.org" not in reply.body


@pytest.fixture
def busy(packages: dict[str, Path], tmp_path: Path) -> Iterator[Running]:
    """A server with room for two waiting calls, whose one worker sleeps in a call."""
    env = {"CHAOS_LOG": str(tmp_path / "side.log")}
    with running(["chaos", "--max-queue", "2"], visible=[packages["chaos"]], folder=tmp_path, env=env) as server:
        sleeping = server.predict_soon("chaos", {"mode": "sleep", "n": 2.5})
        eventually(lambda: texts(server, "sleep"))
        yield server
        assert sleeping.result(10).status == 200


def texts(server: Running, mode: str) -> list[str]:
    """Return the texts of the calls of one mode that the model was called with."""
    return [line["text"] for line in side_log(server.folder / "side.log", "predict") if line["mode"] == mode]


def begin(server: Running, text: str) -> socket.socket:
    """Send a request whose answer is not awaited; return its connection."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = f"POST /v2/models/chaos/predict/?text={text} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def test_calls_beyond_the_queue_are_refused_at_once_and_told_when_to_come_back(busy: Running) -> None:
    futures = [busy.predict_soon("chaos", {"text": str(number)}) for number in range(5)]
    eventually(lambda: sum(future.done() for future in futures) == 3)
    refused = [future.result() for future in futures if future.done()]
    assert texts(busy, "ok") == [], "they were refused while the others waited"
    for reply in refused:
        assert (reply.status, reply.json()["code"]) == (503, "queue_full")
        assert int(reply.headers["Retry-After"]) >= 1
    assert sorted(future.result(10).status for future in futures) == [200, 200, 503, 503, 503]


def test_a_call_whose_deadline_passes_while_it_waits_is_never_run(busy: Running) -> None:
    """F03."""
    reply = busy.predict("chaos", {"text": "late"}, **{"X-Timeout-S": "0.2"})
    assert (reply.status, reply.json()["code"]) == (504, "queue_timeout")
    assert texts(busy, "ok") == []
    assert busy.predict("chaos", {"text": "patient"}).status == 200
    assert texts(busy, "ok") == ["patient"]


def test_a_full_queue_is_told_on_the_head_before_the_body_is_sent(busy: Running) -> None:
    """F01: within 50 ms; more is allowed here, for the machine is shared."""
    futures = [busy.predict_soon("chaos", {"text": str(number)}) for number in range(2)]
    eventually(lambda: 'modelserve_queue_calls{deployment="chaos"} 2.0' in busy.get("/metrics").body.decode())
    with socket.create_connection(("127.0.0.1", busy.port), timeout=10) as connection:
        head = "POST /v2/models/chaos/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        since = time.monotonic()
        connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
        answer = connection.recv(4000)
        assert time.monotonic() - since < 1.5
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"queue_full" in answer
    assert [future.result(10).status for future in futures] == [200, 200]


def test_a_client_that_leaves_takes_its_waiting_call_with_it_and_its_place_is_free_at_once(busy: Running) -> None:
    """E05: the model is never called."""
    with contextlib.closing(begin(busy, "left")), contextlib.closing(begin(busy, "left")):
        eventually(lambda: busy.predict("chaos", {"text": "refused"}).status == 503)
    eventually(lambda: LEFT in busy.get("/metrics").body.decode())
    futures = [busy.predict_soon("chaos", {"text": "stays"}) for _ in range(2)]
    assert texts(busy, "ok") == [], "the worker still sleeps"
    assert [future.result(10).status for future in futures] == [200, 200]
    assert texts(busy, "ok") == ["stays", "stays"]


def test_a_client_that_leaves_while_it_uploads_leaves_no_file_and_no_call(busy: Running) -> None:
    """E04."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 500_000
    head = "POST /v2/models/chaos/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000000\r\n"
    with socket.create_connection(("127.0.0.1", busy.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode() + part)
        eventually(lambda: busy.uploads())
    eventually(lambda: not busy.uploads(), within_s=3)
    assert texts(busy, "ok") == []
