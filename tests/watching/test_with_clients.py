"""The metrics of a server that has clients: who may read them, and that they name nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.cli.program import modelserve
from tests.faults.burst import burst
from tests.running import Running, running
from tests.watching.test_own_metrics import MODEL, Samples

NAMES = ("clara-reads", "otto-calls")


class Closed(NamedTuple):
    """A server and its clients' tokens by name."""

    server: Running
    tokens: dict[str, str]

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[name]}"}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """A server with two clients, each of which may call twice a second."""
    folder = tmp_path_factory.mktemp("closed")
    variables = {"MODELSERVE_DATA_DIR": str(folder / "data")}
    added = {name: modelserve("clients", "add", name, folder=folder, variables=variables) for name in NAMES}
    assert {done.status for done in added.values()} == {0}, added
    tokens = {name: next(word for word in done.out.split() if word.startswith("ms_")) for name, done in added.items()}
    with running([str(MODEL), "--rate-limit", "2"], folder=folder) as server:
        yield Closed(server, tokens)


def read(closed: Closed) -> tuple[str, Samples]:
    reply = closed.server.get("/metrics", **closed.headers("clara-reads"))
    assert reply.status == 200
    text = reply.body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return text, {(name,): float(value) for name, _, value in lines}


def test_metrics_need_a_token_where_anything_does(closed: Closed) -> None:
    """N04."""
    assert closed.server.get("/metrics").status == 401
    assert closed.server.get("/metrics/", Authorization="Bearer ms_wrong").status == 401
    assert read(closed)[0]


def test_metrics_name_no_client_and_hold_no_token(closed: Closed) -> None:
    """N04."""
    for name in NAMES:
        assert closed.server.predict("counting", {"size": 1}, **closed.headers(name)).status in (200, 429)
    text, _ = read(closed)
    for name, token in closed.tokens.items():
        assert name not in text
        assert not [part for part in token.split("_") if len(part) > 4 and part in text]


def test_a_client_over_its_limit_is_turned_away_and_counted_and_others_are_not(closed: Closed) -> None:
    """F02."""
    key = ('modelserve_requests_rejected_total{deployment="counting",reason="rate_limited"}',)
    before = read(closed)[1].get(key, 0.0)
    outcomes = burst(closed.server, "counting", [{"size": 1}] * 30, **closed.headers("otto-calls"))
    refused = [outcome for outcome in outcomes if outcome.status == 429]
    assert len(refused) > 15
    assert {outcome.code for outcome in refused} == {"rate_limited"}
    assert all(int(outcome.headers["Retry-After"]) >= 1 for outcome in refused)
    assert {outcome.status for outcome in outcomes} <= {200, 429}
    other = burst(closed.server, "counting", [{"size": 1}], **closed.headers("clara-reads"))
    assert [outcome.status for outcome in other] == [200]
    assert read(closed)[1][key] == before + len(refused)
