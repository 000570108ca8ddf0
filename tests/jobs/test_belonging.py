"""A data folder and a database that belong together, and all the ways in which they do not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from modelserve.jobs.belonging import Belonging
from modelserve.jobs.files import JobFiles
from modelserve.jobs.store import Store
from modelserve.jobs.thread import AsyncStore
from modelserve.jobs.tidying import ORPHAN_S, Tidying
from modelserve.settings import Settings
from tests.jobs.store_contract import a_job

Open = Callable[[str], AsyncStore]
OLD_S = 1000 * 24 * 3600.0


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Open]:
    """Yield what opens a database by its name."""
    async with AsyncExitStack() as stack:

        def opened(name: str) -> AsyncStore:
            store = AsyncStore(Store.open(f"sqlite:///{tmp_path}/{name}.db", tmp_path / "data"))
            stack.push_async_callback(store.close)
            return store

        yield opened


def leave(files: JobFiles, uuid: str, *, age_s: float = OLD_S) -> Path:
    """Leave the weights of a training, as old as this."""
    folder = files.make(uuid)
    (files.artifacts(uuid) / "weights").write_text("dear")
    then = time.time() - age_s
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
    return folder


async def tidy(store: AsyncStore, files: JobFiles) -> None:
    """Tidy as a server does that starts, and an hour later."""

    async def none() -> list[str]:
        return []

    tidying = Tidying(store, files, Settings(), deployments=none, runs=set)
    for _ in range(2):
        await tidying.tidy()


async def test_what_is_left_without_a_job_goes_where_folder_and_database_belong_together(
    database: Open, tmp_path: Path
) -> None:
    store, files = database("a"), JobFiles(tmp_path / "data")
    await tidy(store, files)
    left = leave(files, uuid4().hex)
    await tidy(store, files)
    assert not left.exists()


async def test_nothing_is_swept_under_another_database(
    database: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Y11: however often it is looked, and whatever jobs come; the way back is told, and works."""
    files, uuid = JobFiles(tmp_path / "data"), uuid4().hex
    await tidy(database("a"), files)
    left, other = leave(files, uuid), database("b")
    for _ in range(2):
        await other.add(a_job("m"))
        await tidy(other, files)
    assert left.exists()
    assert "do not belong together" in caplog.text
    assert str(files.mark) in caplog.text
    files.mark.unlink()
    await tidy(other, files)
    assert left.exists(), "from now on they belong together, and what is older is not sure yet"
    await tidy(other, files)


async def test_nothing_is_swept_at_the_first_meeting_with_a_database_that_knows_none_of_the_jobs(
    database: Open, tmp_path: Path
) -> None:
    """Y11: a folder of an older version, which has no mark; also once that database has jobs in it."""
    files, store = JobFiles(tmp_path / "data"), database("b")
    left = leave(files, uuid4().hex)
    await tidy(store, files)
    known = await store.add(a_job("m"))
    leave(files, known.uuid)
    await tidy(store, files)
    assert left.exists()
    for _ in range(2):
        files.mark.unlink(missing_ok=True)
        await tidy(store, files)
    await tidy(store, files)
    assert not left.exists(), "the operator has said so"
    assert files.folder(known.uuid).exists()


async def test_a_folder_of_an_older_version_belongs_to_the_database_that_knows_its_jobs(
    database: Open, tmp_path: Path
) -> None:
    files, store = JobFiles(tmp_path / "data"), database("a")
    known = await store.add(a_job("m"))
    leave(files, known.uuid)
    left = leave(files, uuid4().hex)
    await tidy(store, files)
    await tidy(store, files)
    assert (left.exists(), files.folder(known.uuid).exists()) == (False, True)


async def test_nothing_is_swept_under_a_database_that_was_restored(database: Open, tmp_path: Path) -> None:
    """Y11: it is the same one, as it was before the jobs came whose files lie here."""
    files = JobFiles(tmp_path / "data")
    store = AsyncStore(Store.open(f"sqlite:///{tmp_path}/a.db", tmp_path / "data"))
    await tidy(store, files)
    await store.close()
    shutil.copy(tmp_path / "a.db", tmp_path / "backup.db")
    await tidy(database("a"), files)
    left = leave(files, uuid4().hex)
    await tidy(database("backup"), files)
    assert left.exists()


async def test_what_is_younger_than_the_last_mark_is_not_sure(database: Open, tmp_path: Path) -> None:
    """Y11: a backup that was made since may have the same mark and not the job."""
    files, store = JobFiles(tmp_path / "data"), database("a")
    belonging = Belonging(store, files)
    assert await belonging.confirm() is None, "they have just met"
    sure_s = await belonging.confirm()
    assert sure_s is not None
    folder = leave(files, uuid4().hex, age_s=0.0)
    assert folder.stat().st_mtime > sure_s


async def test_each_of_several_servers_has_a_folder_of_its_own_on_one_database(database: Open, tmp_path: Path) -> None:
    """Y11: and what one has left is none of the others' business."""
    store = database("a")
    folders = [JobFiles(tmp_path / name) for name in ("data", "second")]
    for files in folders:
        await tidy(store, files)
    left = [leave(files, uuid4().hex) for files in folders]
    await tidy(store, folders[1])
    assert [folder.exists() for folder in left] == [True, False]
    await tidy(store, folders[0])
    assert not left[0].exists()


async def test_a_copy_of_a_folder_sweeps_nothing(database: Open, tmp_path: Path) -> None:
    """Y11: two folders say that they are the same, and only one has what the database was told last."""
    store, files = database("a"), JobFiles(tmp_path / "data")
    await tidy(store, files)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    await tidy(store, files)
    copy = JobFiles(tmp_path / "copy")
    left = leave(copy, uuid4().hex, age_s=max(OLD_S, ORPHAN_S))
    await tidy(store, copy)
    assert left.exists()
