"""Answers that are kept, as a client meets them; the model's own log proves how often it was called."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client.parser import text_string_to_metric_families

from modelserve.web.v2.cached import skips_cache
from tests.models.installed import side_log
from tests.running import Reply, Running, eventually, multipart, running

PREDICT = "/v2/models/chaos/predict/"

CONFIG = """
workers = 2

[deployments.chaos]
model = "chaos"
cache_size = 100
cache_ttl_s = 3600

[deployments.bare]
model = "chaos"
"""


class Site:
    """A server with a model under two names, of which one has a cache."""

    def __init__(self, server: Running, log: Path) -> None:
        self.server = server
        self._log = log

    def asked(self, text: str, event: str = "predict") -> int:
        """Return how often the model was called with a text."""
        return sum(line.get("text") == text for line in side_log(self._log, event))

    def predict(self, text: str, *, mode: str = "ok", model: str = "chaos", **headers: str) -> Reply:
        return self.server.predict(model, {"mode": mode, "text": text, "n": 2}, **headers)

    def counted(self, what: str) -> dict[str, float]:
        """Return one of the metrics of the cache, by deployment."""
        families = text_string_to_metric_families(self.server.get("/metrics").body.decode())
        samples = [sample for family in families for sample in family.samples]
        return {sample.labels["deployment"]: sample.value for sample in samples if sample.name == what}


@pytest.fixture(scope="module")
def site(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("cached")
    (folder / "modelserve.toml").write_text(CONFIG)
    env = {"CHAOS_LOG": str(folder / "log"), "CHAOS_ACCEPT": "application/json,text/plain,text/html"}
    with running([], visible=[packages["chaos"]], folder=folder, env=env) as server:
        yield Site(server, folder / "log")


def cached(reply: Reply) -> str | None:
    """Return what a reply says of the cache."""
    return reply.headers.get("X-Cache")


def test_the_model_is_called_once_for_identical_calls(site: Site) -> None:
    replies = [site.predict("once") for _ in range(3)]
    assert [cached(reply) for reply in replies] == ["miss", "hit", "hit"]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert len({reply.body for reply in replies}) == 1
    assert len({reply.headers["Content-Type"] for reply in replies}) == 1
    assert len({reply.headers["X-Request-ID"] for reply in replies}) == 3
    assert "Age" not in replies[0].headers
    assert 0 <= int(replies[1].headers["Age"]) < 300
    assert site.asked("once") == 1


def test_identical_calls_at_the_same_time_run_the_model_once(site: Site) -> None:
    arguments = {"mode": "sleep", "n": 1.5, "text": "together"}
    futures = [site.server.predict_soon("chaos", arguments) for _ in range(8)]
    replies = [future.result() for future in futures]
    assert {reply.status for reply in replies} == {200}
    assert sorted(str(cached(reply)) for reply in replies) == ["hit"] * 7 + ["miss"]
    assert site.asked("together") == 1


def test_a_deployment_without_a_cache_says_nothing_of_one_and_calls_its_model_each_time(site: Site) -> None:
    replies = [site.predict("bare", model="bare") for _ in range(2)]
    assert [cached(reply) for reply in replies] == [None, None]
    assert site.asked("bare") == 2
    assert set(site.counted("modelserve_cache_entries")) == {"chaos"}


def test_another_accept_is_another_call(site: Site) -> None:
    kinds = ("application/json", "text/plain", "text/html")
    replies = [site.predict("kinds", mode="str", Accept=kind) for kind in (*kinds, *kinds)]
    assert [cached(reply) for reply in replies] == ["miss"] * 3 + ["hit"] * 3
    assert [reply.headers["Content-Type"].partition(";")[0] for reply in replies] == [*kinds, *kinds]
    assert replies[5].headers["Content-Security-Policy"] == "sandbox"


@pytest.mark.parametrize("said", ["no-cache", "max-age=0, No-Cache", "no-store"])
def test_a_client_may_have_the_model_run(site: Site, said: str) -> None:
    assert cached(site.predict(said)) == "miss"
    hits = site.counted("modelserve_cache_hits_total")["chaos"]
    assert cached(site.predict(said, **{"Cache-Control": said})) == "miss"
    assert site.asked(said) == 2
    assert cached(site.predict(said)) == "hit"
    assert site.asked(said) == 2
    assert site.counted("modelserve_cache_hits_total")["chaos"] == hits + 1


@pytest.mark.parametrize(
    ("said", "skips"),
    [("no-cache", True), ("NO-STORE ,x", True), ('no-cache="a"', True), ("max-age=5", False), ("xno-cache", False)],
)
def test_what_skips_the_cache(said: str, skips: bool) -> None:
    assert skips_cache(CIMultiDictProxy(CIMultiDict({"Cache-Control": said}))) is skips


def test_a_directive_may_stand_in_a_second_header() -> None:
    lines = CIMultiDict([("Cache-Control", "max-age=0"), ("cache-control", "no-cache")])
    assert skips_cache(CIMultiDictProxy(lines))
    assert not skips_cache(CIMultiDictProxy(CIMultiDict({"Accept": "no-cache"})))


def test_a_call_with_a_deadline_passes_by(site: Site) -> None:
    replies = [site.predict("deadline", **{"X-Timeout-S": "60"}) for _ in range(2)]
    assert [cached(reply) for reply in replies] == ["miss", "miss"]
    assert site.asked("deadline") == 2


def test_a_failure_is_not_kept(site: Site) -> None:
    for mode, status in (("raise", 500), ("bad_request", 400)):
        replies = [site.predict(mode, mode=mode) for _ in range(2)]
        assert [(reply.status, cached(reply)) for reply in replies] == [(status, "miss")] * 2
        assert site.asked(mode) == 2
    assert [site.predict("nosuch", mode="nosuch").status for _ in range(2)] == [422, 422]


class Client:
    """A client that has sent a request, and may leave before it is answered."""

    def __init__(self, site: Site, arguments: Mapping[str, Any]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=60)
        self._connection.request("POST", PREDICT, json.dumps(arguments), {"Content-Type": "application/json"})

    def reply(self) -> Reply:
        with contextlib.closing(self._connection):
            response = self._connection.getresponse()
            return Reply(response.status, dict(response.headers), response.read())

    def leave(self) -> None:
        self._connection.close()


def sent(site: Site, arguments: Mapping[str, Any], count: int) -> list[Client]:
    """Send requests, and return once the server has taken them up.

    It accepts connections in their order and reads what lies there, so they are ahead of what is asked afterwards.
    """
    clients = [Client(site, arguments) for _ in range(count)]
    for _ in range(3):
        site.server.get("/healthz")
    return clients


def test_a_worker_that_dies_fails_all_who_wait_and_the_call_is_not_run_again(site: Site) -> None:
    """A01."""
    arguments = {"mode": "sleep", "n": 600, "text": "dies"}
    clients = sent(site, arguments, 3)
    eventually(lambda: site.asked("dies"), within_s=30)
    for worker in site.server.workers():
        worker.kill()
    replies = [client.reply() for client in clients]
    assert [(reply.status, reply.json()["code"]) for reply in replies] == [(500, "worker_died")] * 3
    assert len({reply.json()["request_id"] for reply in replies}) == 3
    assert sorted(str(cached(reply)) for reply in replies) == ["hit", "hit", "miss"]
    assert site.asked("dies") == 1


def upload(site: Site, content: bytes, filename: str, mode: str = "file", boundary: str = "b") -> Reply:
    body, kind = multipart({"mode": mode}, {"file": (filename, content, "text/plain")})
    body, kind = body.replace(b"--b", f"--{boundary}".encode()), kind.replace("=b", f"={boundary}")
    return site.server.request("POST", PREDICT, body, {"Content-Type": kind})


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_file_is_the_same_by_its_content_name_and_type(site: Site, size: int) -> None:
    content = b"x" * size
    replies = [upload(site, content, f"{size}.txt", boundary=name) for name in ("one", "two")]
    assert [(reply.status, cached(reply)) for reply in replies] == [(200, "miss"), (200, "hit")]
    assert cached(upload(site, b"y" * size, f"{size}.txt")) == "miss"
    assert cached(upload(site, content, f"{size}.png")) == "miss"
    eventually(lambda: not site.server.uploads())


def test_the_call_goes_on_for_those_who_wait_when_the_first_leaves(site: Site) -> None:
    arguments = {"mode": "sleep", "n": 3, "text": "leaves"}
    (first,) = sent(site, arguments, 1)
    others = sent(site, arguments, 2)
    first.leave()
    replies = [client.reply() for client in others]
    assert [(reply.status, cached(reply)) for reply in replies] == [(200, "hit")] * 2
    assert site.asked("leaves") == 1


def test_an_answer_that_is_a_file_is_for_each_its_own(site: Site) -> None:
    arguments = {"mode": "out_ok", "n": 5000, "text": "text/plain", "accept": "text/plain"}
    for _ in range(2):
        replies = [client.reply() for client in sent(site, arguments, 6)]
        assert [(reply.status, reply.body, cached(reply)) for reply in replies] == [(200, b"x" * 5000, None)] * 6
    assert site.asked("text/plain") == 12


def test_an_answer_that_is_too_large_is_not_kept(site: Site) -> None:
    replies = [site.predict("large", mode="big") for _ in range(2)]
    assert [cached(reply) for reply in replies] == ["miss", "miss"]
    assert site.asked("large") == 2


def test_an_older_client_is_told_too(site: Site) -> None:
    site.predict("old")
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=30)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    body = json.dumps({"mode": "ok", "text": "old", "n": 2}).encode()
    with contextlib.closing(connection):
        connection.request("POST", PREDICT, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert (response.version, response.headers["X-Cache"]) == (10, "hit")


def test_a_worker_that_dies_leaves_what_is_kept(site: Site) -> None:
    site.predict("before")
    assert site.predict("", mode="exit3").status == 500
    assert cached(site.predict("before")) == "hit"


def test_hits_and_misses_are_counted(site: Site) -> None:
    names = ("modelserve_cache_hits_total", "modelserve_cache_misses_total", "modelserve_cache_entries")
    before = [site.counted(name)["chaos"] for name in names]
    for text in ("c1", "c2", "c1"):
        site.predict(text)
    assert [site.counted(name)["chaos"] - was for name, was in zip(names, before, strict=True)] == [1, 2, 2]


MODEL = """
from modelserve.v2 import fields

class Adder:
    step = 1

    def get_predict_args(self):
        return {"x": fields.Int(required=True)}

    def predict(self, x):
        return x + self.step
"""


def test_after_a_reload_the_new_model_answers(tmp_path: Path) -> None:
    source = tmp_path / "adder.py"
    source.write_text(MODEL)
    with running(["adder.py:Adder", "--cache-size", "10"], folder=tmp_path) as server:
        assert server.predict("adder", {"x": 1}).json()["predictions"] == 2
        assert cached(server.predict("adder", {"x": 1})) == "hit"
        source.write_text(MODEL.replace("step = 1", "step = 10"))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.predict("adder", {"x": 1}).json()["predictions"] == 11, within_s=60)
        reply = eventually(lambda: [r for r in [server.predict("adder", {"x": 1})] if cached(r) == "hit"])[0]
        assert reply.json()["predictions"] == 11
