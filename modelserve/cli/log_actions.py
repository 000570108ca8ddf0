"""What ``modelserve logs`` does, once the web framework is loaded."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import quote

from modelserve.cli.log_shown import print_lines, print_text
from modelserve.cli.remote import Remote
from modelserve.cli.remote_events import follow_events

__all__ = ["follow_log", "print_log"]


def print_log(url: str, token: str, model: str, tail: int | None, *, as_json: bool) -> None:
    """Print a deployment's log as it is now; its last lines, or for None all that the files hold."""

    async def action() -> None:
        remote = Remote(url, token=token)
        async with remote, remote.ask("GET", _path(model), query={"tail": tail}) as response:
            await print_text(response, as_json=as_json)

    asyncio.run(action())


def follow_log(url: str, token: str, model: str, tail: int | None, *, as_json: bool) -> None:
    """Print a deployment's log as it grows, until interrupted."""

    async def action() -> None:
        async with Remote(url, token=token) as remote:
            query = {"follow": 1, "tail": tail}
            async with contextlib.aclosing(follow_events(remote, _path(model), query)) as events:
                async for event in events:
                    print_lines(event.data.split("\n"), as_json=as_json)

    asyncio.run(action())


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}/log"
