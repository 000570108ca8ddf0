"""The jobs of one model on a server: begun, listed, followed, cancelled, fetched.

Remote -> RemoteJobs -> the objects of HTTP.md as dicts, events, pieces of bytes
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from modelserve.cli.remote import Remote, Unreachable
from modelserve.cli.remote_events import RECONNECT_S, Pauses, follow_events
from modelserve.cli.sse import Event
from modelserve.cli.upload import form_of
from modelserve.errors import NotFound
from modelserve.messages import Call

__all__ = ["ENDED", "RemoteJobs"]

# What a job is in the end; see modelserve.jobs.job.
ENDED = frozenset({"done", "error", "cancelled", "lost"})

# A search by the beginning of an id reads so many at once, the most that the server gives.
SEARCH_LIMIT = 1000

PREFIX = re.compile(r"[0-9a-f]{1,32}")

Job = Mapping[str, Any]


class RemoteJobs:
    """The jobs of one operation of one model.

    Args:
        remote: The server.
        model: The deployment's name.
        operation: "train" or "predict".
        reconnect_s: How long a server that has gone is waited for.

    Each method raises what ``Remote.ask`` does.
    """

    def __init__(
        self, remote: Remote, model: str, operation: str = "train", *, reconnect_s: float = RECONNECT_S
    ) -> None:
        self._remote = remote
        self._model = model
        self._operation = operation
        self._reconnect_s = reconnect_s
        self._path = f"/v2/models/{quote(model, safe='')}/{operation}/"

    async def submit(self, call: Call, key: str) -> Job:
        """Begin a training and return its job.

        Args:
            call: Its arguments; the files are read from where they lie.
            key: The Idempotency-Key. It is sent with each attempt, so that a connection that breaks begins none twice.
        """
        headers = {**call.headers, "Idempotency-Key": key, **({"Accept": call.accept} if call.accept else {})}
        if call.body:
            headers["Content-Type"] = call.content_type
        pauses = Pauses(self._reconnect_s)
        while True:
            try:
                with contextlib.ExitStack() as files:
                    asking = self._remote.ask(
                        "POST", self._path, query=call.query, headers=headers, body=lambda: form_of(call, files)
                    )
                    async with asking as response:
                        job: Job = await self._remote.read(response)
                        return job
            except Unreachable:
                if not await pauses.wait():
                    raise

    def pages(self, limit: int) -> AsyncGenerator[list[Job]]:
        """Yield them, newest first, so many at a time."""
        return self._paged(self._path, limit)

    async def find(self, prefix: str) -> str:
        """Return the id that begins so; the newest one's for "".

        Raises:
            NotFound: There is none, or more than one.
        """
        if len(prefix) == 32 and PREFIX.fullmatch(prefix):
            return prefix
        found: list[str] = []
        async with contextlib.aclosing(self._search(prefix)) as uuids:
            async for uuid in uuids:
                found.append(uuid)
                if len(found) > (1 if prefix else 0):
                    break
        if len(found) > 1:
            raise NotFound(f"Several {self._operation} jobs of {self._model} begin with {prefix}: give more of the id.")
        if not found:
            which = f" that begins with {prefix}" if prefix else ""
            raise NotFound(f"There is no {self._operation} job of {self._model}{which} at {self._remote.shown}.")
        return found[0]

    async def get(self, uuid: str) -> Job:
        """Return one, with its result."""
        job: Job = await self._remote.get(self._path + uuid)
        return job

    async def cancel(self, uuid: str) -> Job:
        """Cancel one, and return it."""
        async with self._remote.ask("DELETE", self._path + uuid) as response:
            job: Job = await self._remote.read(response)
            return job

    async def artifacts(self, uuid: str) -> list[Mapping[str, Any]]:
        """Return name, size and media type of each file that it has kept."""
        found: list[Mapping[str, Any]] = []
        async with contextlib.aclosing(self._paged(f"{self._path}{uuid}/artifacts", SEARCH_LIMIT)) as pages:
            async for page in pages:
                found += page
        return found

    def artifact(self, uuid: str, name: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Return the answer with one of these files, to be entered."""
        return self._remote.ask("GET", f"{self._path}{uuid}/artifacts/{quote(name)}")

    def result(self, uuid: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Return the answer with its result, to be entered."""
        return self._remote.ask("GET", f"{self._path}{uuid}/result")

    def log(self, uuid: str, tail: int | None) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Return the answer with its last ``tail`` lines, all for None, to be entered."""
        return self._remote.ask("GET", f"{self._path}{uuid}/log", query={"tail": tail})

    def follow_log(self, uuid: str, tail: int | None) -> AsyncGenerator[Event]:
        """Yield an event ``log`` for lines that are written, and in the end one ``status``."""
        return self._events(f"{self._path}{uuid}/log", {"follow": 1, "tail": tail})

    def follow(self, uuid: str) -> AsyncGenerator[Event]:
        """Yield events ``status``, ``progress`` and ``metrics`` until it has ended, which the last status says."""
        return self._events(f"{self._path}{uuid}/events", {})

    def _events(self, path: str, query: Mapping[str, Any]) -> AsyncGenerator[Event]:
        """Yield events to the end of the job."""

        def is_last(event: Event) -> bool:
            return event.name == "status" and json.loads(event.data)["status"] in ENDED

        return follow_events(self._remote, path, query, is_last=is_last, reconnect_s=self._reconnect_s)

    async def _paged(self, path: str, limit: int) -> AsyncGenerator[list[Mapping[str, Any]]]:
        """Yield the pages of a list, as each one's ``Link`` header leads to the next."""
        cursor: str | None = ""
        while cursor is not None:
            async with self._remote.ask("GET", path, query={"limit": limit, "cursor": cursor}) as response:
                page: list[Mapping[str, Any]] = await self._remote.read(response)
                following = response.links.get("next")
                cursor = None if following is None else URL(str(following["url"])).query["cursor"]
            yield page

    async def _search(self, prefix: str) -> AsyncGenerator[str]:
        if prefix and not PREFIX.fullmatch(prefix):
            return
        async with contextlib.aclosing(self.pages(SEARCH_LIMIT if prefix else 1)) as pages:
            async for page in pages:
                for job in page:
                    if job["uuid"].startswith(prefix):
                        yield job["uuid"]
