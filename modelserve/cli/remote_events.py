"""Follows a server's events over as many connections as that takes.

path of a route that sends events -> Event ... until one is the last, or the server has been gone for too long
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from modelserve.cli.remote import Remote, Unreachable
from modelserve.cli.sse import Event, Events
from modelserve.errors import Reported

__all__ = ["RECONNECT_S", "Pauses", "follow_events"]

# A server that starts again is waited for so long, at pauses that double.
RECONNECT_S = 60.0
FIRST_PAUSE_S = 0.25
LAST_PAUSE_S = 4.0


async def follow_events(
    remote: Remote,
    path: str,
    query: Mapping[str, Any],
    *,
    is_last: Callable[[Event], bool] = lambda event: False,
    reconnect_s: float = RECONNECT_S,
) -> AsyncGenerator[Event]:
    """Yield events to the last one; without an ``is_last`` there is none.

    Raises:
        Reported: The server refuses.
        Unreachable: It has gone, and has not come back in time.
    """
    pauses, headers, is_over = Pauses(reconnect_s), dict[str, str](), False
    while not is_over:
        try:
            async with remote.ask("GET", path, query=query, headers=headers) as response:
                events = Events()
                async for piece in response.content.iter_any():
                    pauses = Pauses(reconnect_s)
                    for event in events.feed(piece):
                        yield event
                        headers = {"Last-Event-ID": event.id} if event.id else {}
                        is_over = is_last(event)
            if not is_over:  # the server stops, or a proxy has had enough
                raise Unreachable(f"The connection to {remote.shown} ended before the events did.")
        except (Unreachable, Reported) as error:
            if error.status != Unreachable.status or not await pauses.wait():
                raise


class Pauses:
    """Waits longer each time, until it has been long enough."""

    def __init__(self, left_s: float) -> None:
        self._next_s = FIRST_PAUSE_S
        self._left_s = left_s

    async def wait(self) -> bool:
        """Wait, and tell whether it is worth another try."""
        if self._left_s <= 0:
            return False
        await asyncio.sleep(self._next_s)
        self._left_s -= self._next_s
        self._next_s = min(2 * self._next_s, LAST_PAUSE_S)
        return True
