"""What the tidying removes, by the settings."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sqlalchemy import select, update

from modelserve.jobs.files import JobFiles
from modelserve.jobs.job import Status
from modelserve.jobs.store import Store
from modelserve.jobs.tables import jobs, owners
from modelserve.jobs.thread import AsyncStore
from modelserve.jobs.tidying import Tidying
from modelserve.settings import Settings
from tests.jobs.store_contract import a_job

HOUR_S = 3600.0


async def names() -> list[str]:
    return ["m"]


async def test_jobs_are_kept_for_days_and_not_for_hours(tmp_path: Path) -> None:
    with closing(Store.open("", tmp_path)) as opened:
        uuids = {}
        for hours in (3, 47, 49):
            uuid = uuids[hours] = opened.add(a_job("m")).uuid
            opened.move(uuid, Status.CANCELLED)
            back = update(jobs).where(jobs.c.uuid == uuid).values(finished=jobs.c.finished - hours * HOUR_S)
            with opened.database.writing() as connection:
                connection.execute(back)
        store = AsyncStore(opened)
        await Tidying(store, JobFiles(tmp_path), Settings(keep_jobs_days=2), deployments=names, runs=set).tidy()
        left = {job.uuid for job in opened.list("m", "train", limit=9).jobs}
        await store.close()
    assert left == {uuids[3], uuids[47]}


async def test_servers_that_have_gone_long_ago_are_forgotten(tmp_path: Path) -> None:
    with closing(Store.open("", tmp_path)) as opened:
        for owner in ("lives", "gone"):
            opened.servers.beat(owner)
        with opened.database.writing() as connection:
            connection.execute(update(owners).where(owners.c.id == "gone").values(beat=1.0))
        store = AsyncStore(opened)
        await Tidying(store, JobFiles(tmp_path), Settings(), deployments=names, runs=set).tidy()
        with opened.database.reading() as connection:
            left = list(connection.execute(select(owners.c.id)).scalars())
        await store.close()
    assert left == ["lives"]
