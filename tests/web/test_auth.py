"""What each client may do, sees and is to a model, against a real server with clients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from modelserve.access.client import Role
from modelserve.access.clients import Clients
from modelserve.jobs.opening import open_database
from tests.running import Running, eventually, running
from tests.web import who
from tests.web.guarded import Guarded, guarded, said

MINE = "/v2/models/mine"
UUID = "0" * 32


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("auth")) as there:
        yield there


NAMES = ("", "bob", "alice", "dora", "root")

# What each of them is answered. 404 for bob: he may not know of this deployment.
MATRIX = (
    ("GET", "/healthz", (200, 200, 200, 200, 200)),
    ("GET", "/readyz", (200, 200, 200, 200, 200)),
    ("GET", "/api", (200, 200, 200, 200, 200)),
    ("GET", "/", (401, 200, 200, 200, 200)),
    ("GET", "/v2/", (401, 200, 200, 200, 200)),
    ("GET", "/v2/models/", (401, 200, 200, 200, 200)),
    ("GET", "/openapi.json", (401, 200, 200, 200, 200)),
    ("GET", "/metrics", (401, 403, 200, 200, 200)),
    ("GET", f"{MINE}/", (401, 404, 200, 200, 200)),
    ("GET", "/v2/models/batched/", (401, 200, 200, 200, 200)),
    ("GET", "/v2/models/open/", (200, 200, 200, 200, 200)),
    ("GET", "/v2/models/unknown/", (401, 404, 404, 404, 404)),
    ("POST", f"{MINE}/predict/", (401, 404, 200, 200, 200)),
    ("POST", "/v2/models/batched/predict/", (401, 200, 200, 200, 200)),
    ("POST", "/v2/models/open/predict/", (200, 200, 200, 200, 200)),
    ("POST", "/v2/models/unknown/predict/", (401, 404, 404, 404, 404)),
    ("GET", f"{MINE}/predict/", (401, 404, 200, 200, 200)),
    ("GET", "/v2/models/open/predict/", (401, 404, 200, 200, 200)),
    ("GET", f"{MINE}/predict/{UUID}", (401, 404, 404, 404, 404)),
    ("DELETE", f"{MINE}/predict/{UUID}", (401, 404, 404, 404, 404)),
    ("POST", f"{MINE}/train/", (401, 404, 403, 200, 200)),
    ("GET", f"{MINE}/train/", (401, 404, 200, 200, 200)),
    ("DELETE", f"{MINE}/train/{UUID}", (401, 404, 403, 404, 404)),
    ("GET", f"{MINE}/log", (401, 404, 403, 403, 200)),
    ("PATCH", f"{MINE}/predict/", (401, 405, 405, 405, 405)),
)


@pytest.mark.parametrize(("method", "path", "statuses"), MATRIX)
def test_a_role_may_what_it_is_for(there: Guarded, method: str, path: str, statuses: tuple[int, ...]) -> None:
    """K11, K13, N07."""
    body: dict[str, int] | None = {} if method == "POST" else None
    assert tuple(there.ask(method, path, body, name).status for name in NAMES) == statuses


def test_a_client_sees_the_models_that_it_may_call(there: Guarded) -> None:
    """K11."""
    seen = {name: [model["links"][0]["href"] for model in listed(there, name)] for name in ("bob", "alice")}
    assert seen["bob"] == ["/v2/models/batched/", "/v2/models/open/"]
    assert len(seen["alice"]) == 4
    for page in ("/openapi.json", "/swagger.json"):
        paths = "\n".join(there.ask("GET", page, name="bob").json()["paths"])
        assert "batched" in paths
        assert "mine" not in paths
        assert "mine" in "\n".join(there.ask("GET", page, name="alice").json()["paths"])


def listed(there: Guarded, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = there.ask("GET", "/v2/models/", name=name).json()["models"]
    return found


def test_readiness_names_no_deployment_to_strangers(there: Guarded) -> None:
    assert there.ask("GET", "/readyz").json() == {"status": "ready"}


def begin(there: Guarded, name: str, path: str, **headers: str) -> str:
    """Begin a job and return its path."""
    reply = there.ask("POST", path, {}, headers=there.headers(name) | headers)
    assert reply.status in (200, 202), reply.body
    return f"{path}{reply.json()['uuid']}"


def ended(there: Guarded, path: str, name: str) -> dict[str, Any]:
    def job() -> dict[str, Any]:
        found: dict[str, Any] = there.ask("GET", path, name=name).json()
        return found if found["status"] in ("done", "error") else {}

    return eventually(job, within_s=60)


def test_a_job_is_seen_by_its_client_and_by_administrators(there: Guarded) -> None:
    """K11."""
    path = begin(there, "alice", f"{MINE}/predict/", Prefer="respond-async")
    assert ended(there, path, "alice")["result"]["output"]["predictions"]["client"] == "alice"
    for part in ("", "/log", "/events", "/metrics", "/artifacts", "/result"):
        assert there.ask("GET", path + part, name="dora").status == 404
        assert there.ask("GET", path + part, name="alice").status == 200
    assert there.ask("DELETE", path, name="dora").status == 404
    assert there.ask("DELETE", path, name="root").status == 409
    uuids = {name: _uuids(there, name) for name in ("alice", "dora", "root")}
    uuid = path.rpartition("/")[2]
    assert [uuid in uuids[name] for name in uuids] == [True, False, True]


def _uuids(there: Guarded, name: str) -> list[str]:
    return [job["uuid"] for job in there.ask("GET", f"{MINE}/predict/", name=name).json()]


def test_a_training_is_its_deployers_and_knows_him(there: Guarded) -> None:
    path = begin(there, "dora", f"{MINE}/train/")
    told = ended(there, path, "dora")["result"]["output"]
    assert (told["client"], told["user"], told["left_s"]) == ("dora", "dora", None)
    assert there.ask("GET", path, name="alice").status == 404


def test_a_stranger_keeps_no_job_of_a_public_model(there: Guarded) -> None:
    prefer = {"Prefer": "respond-async"}
    assert there.ask("POST", "/v2/models/open/predict/", {}, headers=prefer).status == 401
    assert there.ask("POST", "/v2/models/open/predict/", {}, headers=there.headers("bob") | prefer).status == 403
    assert there.ask("POST", "/v2/models/open/predict/", {}, headers=there.headers("alice") | prefer).status == 202


def test_a_wrong_token_is_refused_where_none_is_needed(there: Guarded) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    assert there.ask("POST", "/v2/models/open/predict/", {}, headers=wrong).status == 401
    assert there.ask("GET", "/healthz", headers=wrong).status == 200


def test_a_model_is_told_who_calls_and_not_what_a_client_says(there: Guarded) -> None:
    more = {"X-Forwarded-User": "root", "X-Request-ID": "mine-1", "X-Timeout-S": "50"}
    reply = there.ask("POST", f"{MINE}/predict/", {"x": 1}, headers=there.headers("alice") | more)
    told = reply.json()["predictions"]
    assert {told[key] for key in ("client", "in_thread", "user")} == {"alice"}
    assert (told["request_id"], told["headers"], told["authorization"]) == ("mine-1", {"x-forwarded-user": "alice"}, "")
    assert 0 < told["left_s"] <= 50
    told = there.ask("POST", "/v2/models/open/predict/", {}, headers={"X-Forwarded-User": "root"}).json()["predictions"]
    assert (told["client"], told["user"], told["headers"], told["left_s"]) == ("", "", {}, None)


def test_calls_that_run_together_each_know_their_own_client(there: Guarded) -> None:
    names = ("", "alice", "dora", "root")
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda name: there.predict("open", name, together=9), names * 3))
    told = [reply.json()["predictions"] for reply in replies]
    for key in ("client", "before", "in_thread", "user"):
        assert [answer[key] for answer in told] == list(names * 3)


def test_a_batch_knows_the_client_of_each_of_its_calls(there: Guarded) -> None:
    names = ("alice", "bob", "dora", "root") * 3
    with ThreadPoolExecutor(len(names)) as pool:
        told = [each.json()["predictions"] for each in pool.map(lambda name: there.predict("batched", name), names)]
    assert [answer["client"] for answer in told] == list(names)
    assert max(answer["of"] for answer in told) > 1
    for answer in told:
        if answer["of"] > 1:
            assert f"predict_batch runs for {answer['of']} calls: current_calls()" in answer["one"]
        else:
            assert answer["one"] == answer["client"]


def test_a_client_that_calls_too_often_waits_and_others_do_not(there: Guarded) -> None:
    for name in ("alice", "dora"):
        assert there.predict("limited", name).status == 200
    refused = there.predict("limited", "alice")
    assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert there.ask("POST", "/v2/models/limited/train/", {}, "dora").status == 429
    assert there.predict("mine", "alice").status == 200


def test_a_refusal_says_what_would_do(there: Guarded) -> None:
    missing = there.ask("GET", "/v2/")
    assert set(missing.json()) == {"message", "code", "request_id"}
    assert "Bearer TOKEN" in missing.json()["message"]
    refused = there.ask("POST", f"{MINE}/train/", {}, "alice").json()
    assert (refused["code"], refused["message"]) == ("forbidden", "This needs the role deployer, and yours is client.")
    hidden, unknown = (there.ask("GET", f"/v2/models/{name}/", name="bob").json() for name in ("mine", "unknown"))
    assert hidden["message"] == unknown["message"]


def test_a_connection_may_be_used_by_one_client_after_the_other(there: Guarded) -> None:
    with there.connection() as connection:
        for name, status in (("alice", 200), ("", 401), ("dora", 200), ("alice", 200)):
            headers = there.headers(name) | {"Content-Type": "application/json"}
            reply = said(connection, "POST", f"{MINE}/predict/", b"{}", headers)
            assert reply.status == status
            assert not name or reply.json()["predictions"]["client"] == name


def test_a_server_without_clients_asks_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running([f"{who.__file__}:Who"], folder=tmp_path_factory.mktemp("open")) as server:
        told = server.predict("who", {}, Authorization="Bearer its-own", **{"X-Forwarded-User": "me"}).json()
        assert told["predictions"]["client"] == told["predictions"]["user"] == ""
        assert told["predictions"]["authorization"] == "Bearer its-own"
        assert server.get("/readyz").json()["deployments"] == {"who": "ready"}
        _becomes_private(server)


def _becomes_private(server: Running) -> None:
    """The first client closes a server that runs."""
    with contextlib.closing(open_database("", server.data, wait_s=30)) as database:
        Clients(database).add("first", Role.CLIENT)
    eventually(lambda: server.get("/v2/models/").status == 401)
    assert server.predict("who", {}).status == 401
