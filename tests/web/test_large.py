"""Where large answers wait when there is no room for them in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from modelserve.errors import NoSpace
from modelserve.held import Bound
from modelserve.messages import Answer
from modelserve.web.large import LargeAnswers
from modelserve.web.rooms import SLOW_S, Guest, Room, Rooms

SIZE = 2 << 20


@pytest.mark.parametrize("is_slow", [True, False], ids=["somebody is slow", "nobody is slow"])
async def test_a_disk_that_takes_nothing_has_slow_readers_make_way_in_memory(tmp_path: Path, is_slow: bool) -> None:
    """X5."""
    (tmp_path / "file").touch()
    rooms = Rooms(*(Room(Bound(what, SIZE)) for what in ("receiving", "files", "sending")))
    answers, cut = LargeAnswers(rooms, str(tmp_path / "file" / "folder")), list[bool]()
    earlier = _guest(rooms.sending, lambda: cut.append(True), is_slow=is_slow)

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = Answer(0, "application/octet-stream", body=b"x" * SIZE)
            return await answers.send(request, answer, "id", {}, is_own=True)
        except NoSpace:
            return web.Response(status=503)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert (response.status, len(await response.read())) == ((200, SIZE) if is_slow else (503, 0))
    assert cut == ([True] if is_slow else [])
    earlier.close()
    assert [bound.held for bound in rooms.bounds()] == [0, 0, 0]


def _guest(room: Room, cut: Callable[[], None], *, is_slow: bool) -> Guest:
    guest = room.guest(cut)
    assert guest.take(SIZE)
    if is_slow:
        time.sleep(SLOW_S + 0.1)
    return guest
