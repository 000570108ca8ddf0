"""What a server says while a followed training is cancelled, or before it is begun, as no real one does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from modelserve.cli.train_there import train_there
from modelserve.errors import Reported
from tests.cli.answering import serving
from tests.cli.terminal import Terminal, terminal

UUID = "0" * 32


class Slow:
    """Tells of the end of its training only once it has refused to cancel it, with this status."""

    def __init__(self, refusal: int) -> None:
        self._refusal = refusal
        self._has_refused = asyncio.Event()

    async def get(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/openapi.json":
            return web.json_response({"paths": {"/v2/models/toy/train/": {"post": {}}}})
        if request.path.endswith("/result"):
            return web.json_response({"kept": True})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for status in ("running", "done"):
            await response.write(f"event: status\ndata: {json.dumps({'uuid': UUID, 'status': status})}\n\n".encode())
            await self._has_refused.wait()
        return response

    async def post(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"uuid": UUID, "status": "queued"})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        self._has_refused.set()
        return web.json_response({"message": "It cannot be cancelled.", "code": "refused"}, status=self._refusal)


def cancel(shown: Terminal) -> int:
    shown.wait_for("toy running")
    shown.press("\x03")
    shown.wait_for("Cancel the training?")
    shown.press("y\n")
    return shown.wait()


@pytest.mark.parametrize(
    ("refusal", "status", "text"),
    [(409, 0, '"kept": true'), (500, 1, "modelserve: It cannot be cancelled.")],
    ids=["it has ended", "it fails"],
)
async def test_a_training_that_cannot_be_cancelled(tmp_path: Path, refusal: int, status: int, text: str) -> None:
    slow = Slow(refusal)
    async with serving(GET=slow.get, POST=slow.post, DELETE=slow.delete) as remote:
        with terminal("train", "toy", "--url", remote.shown, folder=tmp_path) as shown:
            assert await asyncio.to_thread(cancel, shown) == status
    assert text in shown.shown


async def test_a_server_that_fails_before_the_training_is_told_in_its_words() -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        if request.path == "/openapi.json":
            return web.json_response([])
        return web.json_response({"message": "It broke.", "code": "error"}, status=500)

    async with serving(GET=fail) as remote:
        with pytest.raises(Reported, match=r"It broke\."):
            await train_there("modelserve train", "toy", [], url=remote.shown, token="", before={})
