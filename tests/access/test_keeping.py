"""A server's roll follows its database, whatever happens to that."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from modelserve.access.client import Role
from modelserve.access.clients import Clients
from modelserve.access.keeping import keep_roll
from modelserve.access.roll import Roll
from modelserve.errors import StoreBroken, StoreUnreachable, TooManyRequests, Unauthorized
from modelserve.jobs.opening import open_database
from modelserve.settings import Settings
from tests.postgres import Cluster


def add(folder: Path, name: str, url: str = "") -> str:
    """Add a client as another program does."""
    with closing(open_database(url, folder, wait_s=10)) as database:
        return Clients(database).add(name, Role.CLIENT)


def revoke(folder: Path, name: str, url: str = "") -> None:
    with closing(open_database(url, folder, wait_s=10)) as database:
        Clients(database).revoke(name)


def knows(roll: Roll, token: str) -> bool:
    """Tell whether a token is taken; each time from another address, where nobody has failed."""
    try:
        return roll.find(f"Bearer {token}", f"10.0.0.{time.monotonic_ns()}").token_id != ""
    except (Unauthorized, TooManyRequests):
        return False


async def becomes(check: Callable[[], bool], *, within_s: float) -> float:
    """Wait until a check is true, and return how long that took."""
    begin = time.monotonic()
    while not check():
        assert time.monotonic() - begin < within_s
        await asyncio.sleep(0.01)
    return time.monotonic() - begin


async def test_who_is_added_is_known_and_who_is_revoked_is_not_within_a_second(tmp_path: Path) -> None:
    """K06: a second on an idle machine; ten times that on a busy one."""
    token = add(tmp_path, "alice")
    async with keep_roll(Settings(data_dir=str(tmp_path))) as roll:
        assert knows(roll, token)
        other = await asyncio.to_thread(add, tmp_path, "bob")
        await becomes(lambda: knows(roll, other), within_s=10)
        await asyncio.to_thread(revoke, tmp_path, "alice")
        await becomes(lambda: not knows(roll, token), within_s=10)
        assert knows(roll, other)


async def test_the_same_on_postgresql(postgres: Cluster, tmp_path: Path) -> None:
    """K06."""
    url = postgres.database()
    token = add(tmp_path, "alice", url)
    async with keep_roll(Settings(data_dir=str(tmp_path), database=url)) as roll:
        assert knows(roll, token)
        postgres.terminate_connections()
        await asyncio.to_thread(revoke, tmp_path, "alice", url)
        await becomes(lambda: not knows(roll, token), within_s=10)


async def test_a_server_without_a_database_makes_none_and_finds_the_one_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with keep_roll(Settings(data_dir=str(folder))) as roll:
        assert roll.is_empty
        await asyncio.sleep(0)
        assert not folder.exists()
        token = await asyncio.to_thread(add, folder, "alice")
        await becomes(lambda: not roll.is_empty, within_s=10)
        assert knows(roll, token)


async def test_a_database_that_is_damaged_refuses_the_start_since_there_may_be_clients(tmp_path: Path) -> None:
    (tmp_path / "modelserve.db").write_bytes(b"no database at all\n" * 500)
    with pytest.raises(StoreBroken):
        async with keep_roll(Settings(data_dir=str(tmp_path))):
            pass


async def test_a_database_that_is_named_must_be_reached(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable):
        async with keep_roll(Settings(data_dir=str(tmp_path), database=f"sqlite:///{tmp_path}/none/x.db")):
            pass


async def test_while_the_database_cannot_be_read_clients_stay_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = add(tmp_path, "alice")
    path = tmp_path / "modelserve.db"
    async with keep_roll(Settings(data_dir=str(tmp_path))) as roll:
        os.replace(path, tmp_path / "away")
        await becomes(lambda: "unavailable, and clients stay as they were" in caplog.text, within_s=30)
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
        assert knows(roll, token)
        assert not roll.is_empty
        os.replace(tmp_path / "away", path)
        await asyncio.to_thread(revoke, tmp_path, "alice")
        await becomes(lambda: not knows(roll, token), within_s=30)


async def test_a_database_that_comes_later_and_is_none_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with keep_roll(Settings(data_dir=str(tmp_path))) as roll:
        (tmp_path / "modelserve.db").write_bytes(b"no database at all\n" * 500)
        await becomes(lambda: bool(caplog.records), within_s=10)
        assert roll.is_empty
    assert "damaged" in caplog.text
