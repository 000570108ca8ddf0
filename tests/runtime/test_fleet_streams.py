"""Real generators behind the fleet: parts in order, the slow reader, the reader that leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from modelserve.discovery import ModelRef
from modelserve.messages import Call
from modelserve.runtime.fleet import Deployment, Fleet, Streamed
from modelserve.runtime.interface import FIRST_PARTS
from modelserve.runtime.streams import Stream
from modelserve.settings import Settings
from tests.models.installed import side_log
from tests.runtime.workers import until

REFS = [
    ModelRef("sync", "module", "modelserve_chaos_stream:ChaosStream"),
    ModelRef("async", "module", "modelserve_chaos_async.stream:ChaosAsyncStream"),
]


@pytest.fixture
def log(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in packages.values():
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    return tmp_path / "side.log"


@pytest.fixture(params=REFS, ids=lambda ref: str(ref.name))
async def model(request: pytest.FixtureRequest, log: Path, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with Fleet([request.param], Settings(temp_dir=str(tmp_path))) as fleet:
        await fleet.started()
        (deployment,) = fleet.deployments.values()
        yield deployment


async def begin(model: Deployment, **arguments: object) -> Stream:
    answer = await model.call(Call(accept="application/x-ndjson", query=urlencode(arguments)))
    assert isinstance(answer, Streamed), answer.failure
    assert answer.parts is not None
    return answer.parts


async def test_every_item_comes_once_and_in_order(model: Deployment) -> None:
    parts = [part async for part in await begin(model, items=500)]
    lines = b"".join(part.data for part in parts).splitlines()
    assert len(lines) == 500
    assert b"499" in lines[-1]
    assert parts[-1].last
    assert parts[-1].failure is None


async def test_a_reader_that_stops_reading_stops_the_generator(model: Deployment, log: Path) -> None:
    parts = await begin(model, items=10_000, kind="text", size=100_000)
    await until(lambda: parts.is_held)
    made = len(side_log(log, "item"))
    assert made <= 2 * FIRST_PARTS
    await asyncio.sleep(0.2)
    assert len(side_log(log, "item")) == made
    parts.close()
    await until(lambda: side_log(log, "closed"))


async def test_closing_ends_the_generator_soon(model: Deployment, log: Path) -> None:
    """E07."""
    parts = await begin(model, items=10_000, delay_s=0.01)
    await anext(parts)
    parts.close()
    since = time.monotonic()
    (closed,) = await until(lambda: side_log(log, "closed"))
    assert time.monotonic() - since < 3
    assert closed["how"] != "end"
    again = [part async for part in await begin(model, items=2)]
    assert again[-1].failure is None


async def test_a_worker_that_dies_in_mid_stream_ends_it_uncleanly(model: Deployment) -> None:
    parts = [part async for part in await begin(model, items=5, fail_at=3, failure="exit3")]
    assert parts[-1].last
    assert parts[-1].failure is not None
    assert parts[-1].failure.code == "worker_died"
    assert [part async for part in await begin(model, items=1)][-1].failure is None
