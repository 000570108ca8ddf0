"""Models that tell who has called them, for tests of clients: one in turn, one asynchronous, one in batches."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelserve.v2 import CurrentCall, current_call, current_calls, fields

__all__ = ["Who", "WhoAsync", "WhoBatch"]


def _header(name: str) -> Any:
    return fields.Str(data_key=name, load_default="", metadata={"location": "headers"})


def _told(call: CurrentCall) -> dict[str, Any]:
    left_s = None if call.deadline is None else call.deadline - time.monotonic()
    return {"client": call.client, "request_id": call.request_id, "headers": dict(call.headers), "left_s": left_s}


class Who:
    """Tells what it knows of a call, as a thread of its own sees it too."""

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Who", "description": "Tells who has called."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return the headers that say who calls, and what would be a token."""
        return {"user": _header("X-Forwarded-User"), "authorization": _header("Authorization"), "x": fields.Int()}

    def get_train_args(self) -> dict[str, Any]:
        """Return an argument."""
        return {"x": fields.Int(load_default=0), "user": _header("X-Forwarded-User")}

    def train(self, x: int, user: str) -> Any:
        """Return who has begun the training."""
        return _told(current_call()) | {"user": user}

    def predict(self, user: str, authorization: str, x: int = 0) -> Any:
        """Return who has called; fail for a negative number."""
        if x < 0:
            raise RuntimeError("below zero")
        with ThreadPoolExecutor(1) as pool:
            in_thread = pool.submit(current_call).result()
        told = {"user": user, "authorization": authorization, "in_thread": in_thread.client}
        return _told(current_call()) | told


class WhoAsync:
    """Answers many calls at a time, each held back until another has come in where it is told to wait."""

    def __init__(self) -> None:
        self._others = 0

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Who", "description": "Tells who has called, many at a time."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return the header that says who calls, and how many calls to wait for."""
        return {"user": _header("X-Forwarded-User"), "together": fields.Int(load_default=1)}

    async def predict(self, user: str, together: int) -> Any:
        """Return who has called, before others come, after, and on a thread."""
        self._others += 1
        before = current_call().client
        while self._others < together:
            await asyncio.sleep(0.01)
        in_thread = await asyncio.to_thread(current_call)
        return _told(current_call()) | {"before": before, "in_thread": in_thread.client, "user": user}


class WhoBatch:
    """Answers calls together."""

    max_batch_size = 8

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Who", "description": "Tells who has called, of a whole batch."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return a number."""
        return {"x": fields.Int(load_default=0)}

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Return who made each call, and what ``current_call`` says; wait a while, for others to come."""
        time.sleep(0.2)
        told = current_calls()
        try:
            one = current_call().client
        except RuntimeError as error:
            one = str(error)
        return [{"client": call.client, "of": len(told), "one": one} for call, _ in zip(told, calls, strict=True)]
