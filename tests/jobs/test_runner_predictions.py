"""The runner of jobs: background predictions, in the workers of their deployment."""

from __future__ import annotations

import asyncio
import json

from modelserve.discovery import ModelRef
from modelserve.jobs.job import Operation, Status
from tests.jobs.conftest import Open
from tests.jobs.house import END_S, House
from tests.runtime.workers import ask, until

STREAM = ModelRef("chaos-stream", "module", "modelserve_chaos_stream:ChaosStream")


async def test_the_answer_is_kept_and_described(house: House) -> None:
    job = await house.end_of(await house.predict("ok", n=2))
    body = house.runner.files.result(job.uuid).read_bytes()
    assert job.status is Status.DONE
    assert (job.output["content_type"], job.output["bytes"]) == ("application/json", len(body))
    assert b'"n":2' in body
    assert job.output["output"] == json.loads(body)


async def test_a_failure_is_an_error_that_says_no_more_than_a_prediction_would(house: House) -> None:
    job = await house.end_of(await house.predict("raise", text="hunter2"))
    assert job.status is Status.ERROR
    assert "hunter2" not in job.message
    assert not house.runner.files.result(job.uuid).exists()


async def test_a_worker_that_dies_of_it_is_an_error(house: House) -> None:
    assert (await house.end_of(await house.predict("exit3"))).status is Status.ERROR
    assert (await house.end_of(await house.predict("ok"))).status is Status.DONE


async def test_a_streamed_answer_is_kept_whole(open_house: Open) -> None:
    house = await open_house(STREAM)
    job = await house.end_of(await house.predict("", items=50))
    assert job.status is Status.DONE, job.message
    assert job.output["bytes"] == house.runner.files.result(job.uuid).stat().st_size > 0


async def test_one_that_is_cancelled_is_dropped(house: House) -> None:
    running, waiting = await house.predict("sleep", n=2), await house.predict("ok", text="dropped")
    await until(lambda: house.events("predict"), within_s=END_S)
    await house.runner.cancel(house.name, Operation.PREDICT, waiting.uuid)
    await house.runner.cancel(house.name, Operation.PREDICT, running.uuid)
    await until(lambda: not house.runner.running())
    assert (await house.end_of(await house.predict("ok", text="next"))).status is Status.DONE
    assert "dropped" not in [line["text"] for line in house.events("predict")]
    assert (await house.now(running)).status is Status.CANCELLED


async def test_a_full_queue_is_waited_for(open_house: Open) -> None:
    house = await open_house(max_queue=1)
    deployment = house.fleet.find(house.name)
    running = deployment.call(ask(0, "sleep", n=2))
    await until(lambda: house.events("predict"), within_s=END_S)
    waiting = deployment.call(ask(0))
    job = await house.predict("ok")
    assert (await house.end_of(job)).status is Status.DONE
    await asyncio.gather(running, waiting)


async def test_a_server_that_stops_lets_it_finish_or_queues_it_again(open_house: Open) -> None:
    house = await open_house()
    short, long = await house.predict("sleep", n=1), await house.predict("sleep", n=300)
    await until(lambda: house.events("predict"), within_s=END_S)
    await until(lambda: len(house.runner.running()) == 2)
    await asyncio.gather(house.fleet.drain(4), house.runner.drain(4))
    assert (await house.now(short)).status is Status.DONE
    assert (await house.now(long)).status is Status.QUEUED
