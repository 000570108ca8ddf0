"""``modelserve clients`` adds, lists, rotates and revokes clients in a server's database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelserve.access import token
from tests.cli.program import Done, modelserve


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def clients(data: Path, *words: str) -> Done:
    return modelserve("clients", *words, folder=data.parent, variables={"MODELSERVE_DATA_DIR": str(data)})


def listed(data: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(clients(data, "list", "--json").out)
    return found


def test_a_token_goes_to_standard_output_alone_and_is_shown_once(data: Path) -> None:
    done = clients(data, "add", "alice")
    assert done.status == 0
    made = token.parse(done.out.removesuffix("\n"))
    assert made
    assert str(data / "modelserve.db") in done.err
    assert done.out.strip() not in done.err
    shown = clients(data, "list")
    assert shown.out.split()[-5:] == ["alice", "client", "all", made.id, "never"]
    assert done.out.strip()[14:57] not in shown.out + shown.err


def test_a_client_has_a_role_deployments_and_an_end(data: Path) -> None:
    words = ("--role", "deployer", "--deployment", "digits", "--deployment", "faces", "--expires", "90d", "--json")
    made = json.loads(clients(data, "add", "ci", *words).out)
    assert made["name"] == "ci"
    (client,) = listed(data)
    assert (client["role"], client["deployments"]) == ("deployer", ["digits", "faces"])
    (its,) = client["tokens"]
    assert its["id"] in made["token"]
    left = datetime.fromisoformat(its["expires"]) - datetime.now(UTC)
    assert timedelta(days=89) < left < timedelta(days=90)


def test_a_token_is_rotated_and_revoked(data: Path) -> None:
    first = clients(data, "add", "ci", "--expires", "2100-01-31").out.strip()
    second = json.loads(clients(data, "rotate", "ci", "--keep", "1h", "--json").out)["token"]
    (client,) = listed(data)
    assert [its["id"] in text for its, text in zip(client["tokens"], (first, second), strict=True)] == [True, True]
    assert clients(data, "revoke", "ci", "--token", client["tokens"][0]["id"]).err == "1 token is revoked.\n"
    assert json.loads(clients(data, "revoke", "ci", "--json").out) == {"name": "ci", "revoked": 1}
    assert "none is valid" in clients(data, "list").out
    assert clients(data, "add", "ci").status == 0


def test_to_look_for_clients_makes_no_database(data: Path) -> None:
    done = clients(data, "list")
    assert (done.status, done.out) == (0, "")
    assert "There are no clients: everybody who reaches the server may do everything." in done.err
    assert listed(data) == []
    assert not data.exists()


MISTAKES = {
    "a name with a colon": (("add", "a:b"), 2, "'a:b' must be 1 to 64 letters"),
    "a deployment's name": (("add", "a", "--deployment", "x/y"), 2, "'x/y' must be 1 to 100 letters"),
    "no role": (("add", "a", "--role", "root"), 2, "'client', 'deployer', 'admin'"),
    "no time": (("add", "a", "--expires", "soon"), 2, "such as 12h or 90d, or a date such as 2030-01-31"),
    "a time that has passed": (("add", "a", "--expires", "2020-01-31"), 2, "'2020-01-31' has passed already"),
    "a time beyond all dates": (("add", "a", "--expires", "999999w"), 2, "such as 12h or 90d, or a date"),
    "no span": (("rotate", "a", "--keep", "0h"), 2, "must be a time such as 45m, 12h, 90d or 4w"),
    "nobody": (("revoke", "nobody"), 1, "There is no client 'nobody'."),
    "a database of another kind": (("list", "--database", "mysql://u:geheim@h/d"), 2, "postgresql+psycopg://"),
    "a folder that is a file": (("add", "a", "--data-dir", "modelserve.toml"), 5, "The data folder"),
}


@pytest.mark.parametrize(("words", "status", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_said_in_one_sentence(data: Path, words: tuple[str, ...], status: int, said: str) -> None:
    (data.parent / "modelserve.toml").touch()
    done = clients(data, *words)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("modelserve: ")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert "geheim" not in done.err


def test_a_name_that_is_taken_is_not_given_again(data: Path) -> None:
    clients(data, "add", "alice")
    done = clients(data, "add", "alice", "--role", "admin")
    assert (done.status, done.out) == (1, "")
    assert "There is a client 'alice' already: rotate its token, or revoke it first." in done.err
