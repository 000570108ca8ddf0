"""What goes wrong between the command line and a server is one sentence, and begins no training twice."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from aiohttp import web

from modelserve.cli.remote import Remote, Unreachable
from modelserve.cli.remote_jobs import RemoteJobs
from modelserve.errors import InvalidArguments, NotFound, Reported
from modelserve.messages import Call
from tests.cli.answering import answering, drop, serving


async def test_nobody_there_is_told_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with Remote(f"http://me:secret@127.0.0.1:{port}") as remote:
        with pytest.raises(Unreachable) as caught:
            await remote.get("/")
    assert caught.value.message == (
        f"No server can be reached at http://127.0.0.1:{port}: the connection was refused. 'modelserve run' starts one."
    )


async def test_a_host_that_is_none_is_told() -> None:
    async with Remote("http://nosuch.invalid:1") as remote:
        with pytest.raises(Unreachable, match=r"No server can be reached at http://nosuch\.invalid:1: "):
            await remote.get("/")


async def test_a_connection_that_breaks_is_told() -> None:
    async with serving(GET=drop) as remote:
        with pytest.raises(Unreachable, match="broke off"):
            await remote.get("/")


async def test_silence_is_told() -> None:
    async with serving(GET=silent) as remote, Remote(remote.shown, silence_s=0.2) as hasty:
        with pytest.raises(Unreachable, match="does not answer in time"):
            await hasty.get("/")


async def silent(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.Event().wait()
    return response


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (409, {"message": "It has ended.", "code": "conflict", "request_id": "1"}, "It has ended."),
        (503, {"message": "Not now.", "code": "store_unavailable", "request_id": "1"}, "Not now."),
        (422, {"message": "Not so.", "code": "invalid", "request_id": "1"}, "Not so."),
        (500, "Internal Server Error", "is no modelserve: it says 500 Internal Server Error."),
        (404, [], "is no modelserve: it says 404 Not Found."),
        (200, "hello", "is no modelserve: it sent text/plain, and no JSON."),
    ],
)
async def test_a_refusal_is_told_in_the_servers_words(status: int, body: Any, words: str) -> None:
    async with serving(GET=answering(status, body)) as remote:
        with pytest.raises(Reported) as caught:
            await remote.get("/")
    assert caught.value.message.endswith(words)


async def test_another_place_is_named_and_not_gone_to() -> None:
    async with serving(GET=answering(301, "", Location="https://there/")) as remote:
        with pytest.raises(Reported, match="names https://there/, which may be the --url to give"):
            await remote.get("/")


async def test_wrong_arguments_come_by_their_names() -> None:
    async with serving(GET=answering(422, {"code": ["Not a valid integer."]})) as remote:
        with pytest.raises(InvalidArguments) as caught:
            await remote.get("/")
    assert caught.value.fields == {"code": ["Not a valid integer."]}


async def test_a_post_whose_answer_was_lost_is_sent_again_under_the_same_key() -> None:
    """H20."""
    keys: list[str] = []

    async def train(request: web.Request) -> web.StreamResponse:
        keys.append(request.headers["Idempotency-Key"])
        await request.read()
        return await drop(request) if len(keys) < 3 else web.json_response({"uuid": "1"})

    async with serving(POST=train) as remote:
        job = await RemoteJobs(remote, "toy").submit(Call(), "a key")
    assert job == {"uuid": "1"}
    assert keys == ["a key"] * 3


async def test_a_server_that_does_not_come_back_is_not_waited_for_without_end() -> None:
    async with serving(POST=drop, GET=drop) as remote:
        jobs = RemoteJobs(remote, "toy", reconnect_s=0.5)
        with pytest.raises(Unreachable, match="broke off"):
            await jobs.submit(Call(), "a key")
        with pytest.raises(Unreachable, match="broke off"):
            await anext(jobs.follow("1"))


async def test_json_goes_as_json() -> None:
    async def train(request: web.Request) -> web.StreamResponse:
        return web.json_response({"uuid": [request.content_type, await request.json(), request.query["a"]]})

    call = Call(query="a=1", content_type="application/json", body=b'{"b": 2}')
    async with serving(POST=train) as remote:
        job = await RemoteJobs(remote, "toy").submit(call, "a key")
    assert job["uuid"] == ["application/json", {"b": 2}, "1"]


async def test_events_of_a_job_that_is_not_there_are_not_asked_for_again() -> None:
    async with serving(GET=answering(404, {"message": "No such job.", "code": "not_found"})) as remote:
        with pytest.raises(Reported, match="No such job"):
            await anext(RemoteJobs(remote, "toy").follow("1"))


async def test_a_training_that_is_refused_is_not_sent_again() -> None:
    asked = 0

    async def train(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.json_response({"message": "Full.", "code": "no_space"}, status=503)

    async with serving(POST=train) as remote:
        with pytest.raises(Reported, match="Full"):
            await RemoteJobs(remote, "toy").submit(Call(), "a key")
    assert asked == 1


class Stream:
    """Sends parts of a stream of events, one for each connection, and notes what the client has had."""

    def __init__(self, *parts: str) -> None:
        self._parts = list(parts)
        self.last_ids: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.last_ids.append(request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        part = self._parts.pop(0)
        await response.write(part.encode())
        return await drop(request) if self._parts and part.endswith("\n\n") else response


def event(name: str, data: Any, number: int = 0) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\n" + (f"id: {number}\n" if number else "") + f"data: {text}\n\n"


async def test_events_go_on_over_as_many_connections_as_it_takes() -> None:
    running, done = {"status": "running"}, {"status": "done"}
    stream = Stream(
        event("status", running), ": clean end\n", event("progress", {"progress": 0.5}), event("status", done)
    )
    async with serving(GET=stream.answer) as remote:
        found = [(event.name, json.loads(event.data)) async for event in RemoteJobs(remote, "toy").follow("1")]
    assert found == [("status", running), ("progress", {"progress": 0.5}), ("status", done)]


async def test_a_followed_log_goes_on_where_it_was_cut() -> None:
    stream = Stream(event("log", "one", 4), event("log", "two", 8), event("status", {"status": "lost"}))
    async with serving(GET=stream.answer) as remote:
        found = [event.data async for event in RemoteJobs(remote, "toy").follow_log("1", None)]
    assert found == ["one", "two", '{"status": "lost"}']
    assert stream.last_ids == ["", "4", "8"]


class Listing:
    """Lists jobs in pages of two at most."""

    def __init__(self, *uuids: str) -> None:
        self._uuids = uuids
        self.pages = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.pages += 1
        start = int(request.query.get("cursor", 0))
        end = start + min(2, int(request.query["limit"]))
        more = {"Link": f'<?limit=2&cursor={end}>; rel="next"'} if end < len(self._uuids) else {}
        return web.json_response([{"uuid": uuid} for uuid in self._uuids[start:end]], headers=more)


async def test_pages_are_read_to_the_last() -> None:
    listing = Listing("a1", "b2", "c3", "d4", "e5")
    async with serving(GET=listing.answer) as remote:
        found = [job["uuid"] async for page in RemoteJobs(remote, "toy").pages(2) for job in page]
    assert found == ["a1", "b2", "c3", "d4", "e5"]


@pytest.mark.parametrize(("prefix", "found"), [("d", "d4"), ("a2", "a2"), ("", "a1"), ("0" * 32, "0" * 32)])
async def test_the_beginning_of_an_id_is_enough(prefix: str, found: str) -> None:
    async with serving(GET=Listing("a1", "b2", "a2", "d4").answer) as remote:
        assert await RemoteJobs(remote, "toy").find(prefix) == found


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("a", "Several train jobs of toy begin with a: give more of the id."),
        ("c", "There is no train job of toy that begins with c"),
        ("../x", "There is no train job of toy that begins with ../x"),
    ],
)
async def test_a_beginning_that_is_none_or_several_is_told(prefix: str, words: str) -> None:
    async with serving(GET=Listing("a1", "b2", "a2", "d4").answer) as remote:
        with pytest.raises(NotFound) as caught:
            await RemoteJobs(remote, "toy").find(prefix)
    assert caught.value.message.startswith(words)


async def test_without_jobs_there_is_no_newest() -> None:
    async with serving(GET=Listing().answer) as remote:
        with pytest.raises(NotFound, match="There is no train job of toy at http"):
            await RemoteJobs(remote, "toy").find("")
