"""Clients in the database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelserve.access.client import Role
from modelserve.access.clients import Clients
from modelserve.access.roll import Roll
from modelserve.access.token import parse
from modelserve.errors import BadRequest, Conflict, ModelserveError, NotFound, Unauthorized
from modelserve.jobs.database import Database
from modelserve.jobs.opening import open_database
from tests.running import eventually


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    with closing(open_database(url, tmp_path_factory.mktemp("data"), wait_s=10)) as database:
        yield database


@pytest.fixture
def clients(database: Database) -> Clients:
    return Clients(database)


@pytest.fixture
def name() -> str:
    """Return the name of a client that no other test has."""
    return f"c{uuid.uuid4().hex}"


def roll_of(clients: Clients) -> Roll:
    roll, snapshot = Roll(), clients.snapshot()
    assert snapshot
    roll.replace(snapshot)
    return roll


def is_valid(clients: Clients, token: str) -> bool:
    """Tell whether a server that reads the database now takes the token."""
    try:
        return bool(roll_of(clients).find(f"Bearer {token}", "10.0.0.1").name)
    except Unauthorized:
        return False


def id_of(clients: Clients, token: str) -> str:
    return roll_of(clients).find(f"Bearer {token}", "10.0.0.1").id


def test_a_name_that_is_given_again_is_another_client(clients: Clients, name: str) -> None:
    """Y18: but for one whose tokens only expired, or were rotated."""
    first = id_of(clients, clients.add(name, Role.CLIENT))
    assert first.startswith("#"), "no name begins so"
    assert id_of(clients, clients.rotate(name, datetime.now(UTC) + timedelta(seconds=1))) == first
    eventually(lambda: not _tokens_of(clients, name))
    assert id_of(clients, clients.add(name, Role.CLIENT)) == first
    clients.revoke(name)
    assert id_of(clients, clients.add(name, Role.CLIENT)) not in ("", name, first)


def _tokens_of(clients: Clients, name: str) -> int:
    return sum(len(listed.tokens) for listed in clients.list() if listed.name == name)


def test_a_client_that_was_added_is_known_with_all_it_may(clients: Clients, name: str) -> None:
    token = clients.add(name, Role.DEPLOYER, ["b", "a", "b"])
    found = roll_of(clients).find(f"Bearer {token}", "10.0.0.1")
    assert (found.name, found.role, found.deployments) == (name, Role.DEPLOYER, frozenset({"a", "b"}))


def test_a_client_is_listed_without_its_secret(clients: Clients, name: str) -> None:
    token = clients.add(name, Role.CLIENT, ["a"], datetime(2100, 1, 31, tzinfo=UTC))
    (listed,) = (client for client in clients.list() if client.name == name)
    (its,) = listed.tokens
    assert (listed.role, listed.deployments) == (Role.CLIENT, ("a",))
    assert token.split("_")[1] == its.id
    assert its.expires == datetime(2100, 1, 31, tzinfo=UTC)
    assert abs(datetime.now(UTC) - its.created) < timedelta(minutes=2)
    assert token.split("_")[2][:43] not in repr(listed)


def test_a_name_is_given_once(clients: Clients, name: str) -> None:
    token = clients.add(name, Role.CLIENT)
    with pytest.raises(Conflict, match="already"):
        clients.add(name, Role.ADMIN)
    assert is_valid(clients, token)


def test_of_many_that_add_a_name_at_the_same_time_one_does(clients: Clients, name: str) -> None:
    def add(number: int) -> str:
        try:
            return clients.add(name, Role.CLIENT)
        except ModelserveError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(add, range(8)))
    assert sorted(text.startswith("ms_") for text in found) == [False] * 7 + [True]
    assert {text for text in found if not text.startswith("ms_")} == {"Conflict"}


@pytest.mark.parametrize("name", ["", "a:b", "é", "x" * 65, "a\nb"])
def test_a_name_that_does_not_fit_is_refused(clients: Clients, name: str) -> None:
    with pytest.raises(BadRequest, match="must be"):
        clients.add(name, Role.CLIENT)


def test_a_revoked_token_is_refused_and_its_client_can_be_added_anew(clients: Clients, name: str) -> None:
    """K06."""
    token = clients.add(name, Role.CLIENT)
    assert clients.revoke(name) == 1
    assert not is_valid(clients, token)
    assert clients.revoke(name) == 0
    assert [client.tokens for client in clients.list() if client.name == name] == [()]
    assert is_valid(clients, clients.add(name, Role.ADMIN))
    assert not is_valid(clients, token)


def test_a_server_stays_closed_when_its_last_client_is_revoked(clients: Clients, name: str) -> None:
    clients.add(name, Role.CLIENT)
    for client in clients.list():
        clients.revoke(client.name)
    assert not roll_of(clients).is_empty


def test_a_token_that_has_expired_is_refused_and_no_longer_listed(clients: Clients, name: str) -> None:
    """K06."""
    token = clients.add(name, Role.CLIENT, expires=datetime.now(UTC) + timedelta(seconds=0.5))
    eventually(lambda: not is_valid(clients, token))
    # A roll refuses it a little early, by the time that reading it took.
    eventually(lambda: [client.tokens for client in clients.list() if client.name == name] == [()])
    with pytest.raises(NotFound, match="no valid token"):
        clients.rotate(name)


def test_a_rotated_token_ends_and_the_new_one_lives_as_long(clients: Clients, name: str) -> None:
    old = clients.add(name, Role.CLIENT, expires=datetime.now(UTC) + timedelta(days=90))
    new = clients.rotate(name)
    assert [is_valid(clients, old), is_valid(clients, new)] == [False, True]
    (token,) = next(client.tokens for client in clients.list() if client.name == name)
    assert token.expires
    assert abs(token.expires - token.created - timedelta(days=90)) < timedelta(minutes=1)


def test_the_old_token_may_be_kept_for_a_while(clients: Clients, name: str) -> None:
    old = clients.add(name, Role.CLIENT)
    new = clients.rotate(name, keep_s=3600)
    assert [is_valid(clients, old), is_valid(clients, new)] == [True, True]
    first, second = next(client.tokens for client in clients.list() if client.name == name)
    assert first.expires
    assert abs(first.expires - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=2)
    assert second.expires is None
    assert clients.revoke(name, first.id) == 1
    assert [is_valid(clients, old), is_valid(clients, new)] == [False, True]


def test_keeping_the_old_token_never_makes_it_live_longer(clients: Clients, name: str) -> None:
    """K06: one that ends soon ends then, however long the others are kept; one without an end is kept so long."""
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    old = clients.add(name, Role.CLIENT, expires=soon)
    new = clients.rotate(name, datetime.now(UTC) + timedelta(days=30), keep_s=3600)
    (ends,) = (token.expires for client in clients.list() if client.name == name for token in client.tokens[:1])
    assert ends is not None
    assert abs(ends - soon) < timedelta(seconds=0.01)
    eventually(lambda: not is_valid(clients, old))
    assert is_valid(clients, new)


def test_what_is_not_there_is_said(clients: Clients, name: str) -> None:
    for act in (clients.revoke, clients.rotate):
        with pytest.raises(NotFound, match="There is no client"):
            act(name)
    clients.add(name, Role.CLIENT)
    with pytest.raises(NotFound, match="has no token 'x'"):
        clients.revoke(name, "x")


def test_a_snapshot_is_taken_only_when_something_has_changed(clients: Clients, name: str) -> None:
    token = clients.add(name, Role.CLIENT)
    first = clients.snapshot()
    assert first
    assert clients.snapshot(first.generation) is None
    for change in (lambda: clients.rotate(name), lambda: clients.revoke(name)):
        change()
        later = clients.snapshot(first.generation)
        assert later
        assert later.generation > first.generation
        first = later
    parsed = parse(token)
    assert parsed
    assert parsed.id not in first.entries


def test_only_a_hash_of_the_secret_is_stored(tmp_path: Path) -> None:
    """K08, K09."""
    with closing(open_database("", tmp_path, wait_s=10)) as database:
        token = Clients(database).add("alice", Role.CLIENT)
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    parsed = parse(token)
    assert parsed
    assert parsed.id.encode() in stored
    assert parsed.digest in stored
    assert token.split("_")[2][:43].encode() not in stored


def test_the_files_are_for_their_user_alone(tmp_path: Path) -> None:
    """K09."""
    folder = tmp_path / "data"
    with closing(open_database("", folder, wait_s=10)) as database:
        Clients(database).add("alice", Role.CLIENT)
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes == {"modelserve.db": 0o600, "modelserve.db-wal": 0o600, "modelserve.db-shm": 0o600}


def test_the_file_of_an_older_version_loses_the_rights_of_others(tmp_path: Path) -> None:
    """K09."""
    path = tmp_path / "modelserve.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("VACUUM")
    path.chmod(0o664)
    open_database("", tmp_path, wait_s=10).close()
    assert path.stat().st_mode & 0o777 == 0o600
