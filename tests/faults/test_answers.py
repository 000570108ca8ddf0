"""Answers that are hard to send, as a client sees them. Rows C of the list of faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import Reply, Running, eventually, running


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all of these: none of them may harm it."""
    with running(["chaos"], visible=[packages["chaos"]], folder=tmp_path_factory.mktemp("answers")) as server:
        yield server
        assert server.predict("chaos", {}).status == 200
        assert server.log.count("worker is warm") == 1, "no answer cost a worker"


@pytest.fixture(scope="module")
def choosy(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A model with a schema that offers JSON and PNG."""
    env = {"CHAOS_SCHEMA": "1", "CHAOS_ACCEPT": "application/json,image/png"}
    folder = tmp_path_factory.mktemp("choosy")
    with running(["chaos"], visible=[packages["chaos"]], folder=folder, env=env) as server:
        yield server


def predictions(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    assert reply.json()["status"] == "OK"
    return reply.json()["predictions"]


def assert_bad_answer(reply: Reply) -> None:
    assert (reply.status, reply.json()["code"]) == (500, "bad_answer")
    assert set(reply.json()) == {"message", "code", "request_id"}


def test_an_answer_that_breaks_the_schema_is_refused_and_only_the_log_says_where(choosy: Running) -> None:
    """C01."""
    reply = choosy.predict("chaos", {"mode": "bad_schema"})
    assert_bad_answer(reply)
    assert b"surprise" not in reply.body
    eventually(lambda: "surprise" in choosy.log)
    assert choosy.predict("chaos", {"mode": "ok"}).json()["mode"] == "ok"


def test_not_a_number_never_becomes_invalid_json(server: Running) -> None:
    """C02."""
    assert_bad_answer(server.predict("chaos", {"mode": "nan"}))


def test_not_a_number_is_null_where_the_operator_says_so(packages: dict[str, Path], tmp_path: Path) -> None:
    """C02."""
    with running(["chaos", "--nan-answers", "null"], visible=[packages["chaos"]], folder=tmp_path) as server:
        reply = server.predict("chaos", {"mode": "nan"})
        assert json.loads(reply.body, parse_constant=pytest.fail)["predictions"] == {"x": None, "y": None, "z": None}


def test_a_large_integer_is_sent_exactly_and_a_huge_one_refused(server: Running) -> None:
    """C03."""
    assert predictions(server.predict("chaos", {"mode": "bigint", "n": 40})) == {"x": 10**39}
    assert_bad_answer(server.predict("chaos", {"mode": "bigint", "n": 5000}))


def test_lone_surrogates_and_control_characters_make_valid_json(server: Running) -> None:
    """C04."""
    reply = server.predict("chaos", {"mode": "surrogate"})
    assert reply.body.decode("utf-8")
    assert predictions(reply)["controls"] == "\x00\x1b\x7f\u2028"


def test_numpy_and_datetimes_have_a_form_in_json(server: Running) -> None:
    """C05."""
    answer = predictions(server.predict("chaos", {"mode": "numpy"}))
    assert answer["array"] == [[0, 1, 2], [3, 4, 5]]
    assert answer["turned"] == [[0, 3], [1, 4], [2, 5]]
    assert (answer["scalar"], answer["half"], answer["flag"], answer["point"]) == (7, 0.5, True, 3)
    assert predictions(server.predict("chaos", {"mode": "datetime"}))["value"].startswith("2026-01-02T03:04:05")


@pytest.mark.parametrize("mode", ["selfref", "deep"])
def test_endless_and_very_deep_answers_are_refused(server: Running, mode: str) -> None:
    """C06."""
    assert_bad_answer(server.predict("chaos", {"mode": mode}))


@pytest.mark.parametrize("mode", ["bytes", "set", "decimal", "complex", "nat"])
def test_what_json_cannot_say_is_refused_under_a_schema(choosy: Running, mode: str) -> None:
    """C05."""
    assert_bad_answer(choosy.predict("chaos", {"mode": mode}))


@pytest.mark.parametrize("mode", ["out_missing", "out_dir", "out_symlink", "out_fifo"])
def test_a_file_answer_that_is_no_file_is_refused_at_once(server: Running, mode: str) -> None:
    """C07."""
    reply = server.predict("chaos", {"mode": mode})
    assert_bad_answer(reply)
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize(("size", "mode"), [(0, "out_empty"), (1000, "out_ok"), (3_000_000, "out_ok")])
def test_a_file_answer_is_sent_whole_and_deleted_afterwards(server: Running, size: int, mode: str) -> None:
    """C07."""
    reply = server.predict("chaos", {"mode": mode, "n": size, "text": "application/x-chaos"})
    assert (reply.status, reply.headers["Content-Type"], len(reply.body)) == (200, "application/x-chaos", size)
    eventually(lambda: not list(server.temp.glob("modelserve-*/*/chaos-*/*.bin")))


@pytest.mark.parametrize("mode", ["out_path", "out_open"])
def test_a_path_and_an_open_file_are_sent_as_files(server: Running, mode: str) -> None:
    """C07."""
    reply = server.predict("chaos", {"mode": mode})
    assert (reply.status, reply.body) == (200, b"a path as answer\n")
    assert reply.headers["Content-Type"].startswith("text/plain")


def test_a_content_type_that_would_split_a_header_is_refused(server: Running) -> None:
    """C10."""
    reply = server.predict("chaos", {"mode": "out_crlf"})
    assert reply.status == 500
    assert "X-Injected" not in reply.headers


def test_an_active_type_is_only_offered_as_a_download(server: Running) -> None:
    """C10, L08, X18, Y17."""
    for kind in ("text/html", "text/xsl", "text/javascript", "multipart/x-mixed-replace", "application/pdf"):
        reply = server.predict("chaos", {"mode": "out_ok", "text": kind})
        assert reply.headers["Content-Disposition"].startswith("attachment")
        assert reply.headers["Content-Security-Policy"] == "sandbox"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("image/*", "image/png"),
        ("image/png", "image/png"),
        ("application/json, text/plain;q=0.9", "application/json"),
        ("application/json;q=0.1, image/png;q=0.2", "image/png"),
        ("text/html, */*;q=0.1", "application/json"),
        ("image/png;q=0, */*", "application/json"),
        ("text/html", None),
        ("application/json;q=0, image/png;q=0", None),
    ],
)
def test_the_accept_header_chooses_the_media_type(choosy: Running, accept: str | None, chosen: str | None) -> None:
    """C08."""
    mode = "png" if chosen == "image/png" else "ok"
    reply = choosy.predict("chaos", {"mode": mode}, **({} if accept is None else {"Accept": accept}))
    if chosen is None:
        assert (reply.status, reply.json()["code"]) == (406, "not_acceptable")
    else:
        assert (reply.status, reply.headers["Content-Type"]) == (200, chosen)


def test_a_dict_where_a_picture_was_chosen_is_refused(choosy: Running) -> None:
    """C08."""
    assert_bad_answer(choosy.predict("chaos", {"mode": "ok"}, Accept="image/png"))
