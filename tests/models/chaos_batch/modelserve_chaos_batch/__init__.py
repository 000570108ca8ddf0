"""The batching model that misbehaves on demand.

A call's ``mode`` says how its item goes: ok, raise, exit3, sleep (``n`` seconds), or how the whole batch does that it
is in: too_few, too_many, not_a_list. ``CHAOS_LOG`` names a file that gets one JSON line for each batch: pid, event,
the modes and texts of its calls, and the time. ``CHAOS_BATCH_SIZE`` is ``max_batch_size``; else 8.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from marshmallow.validate import OneOf

from modelserve.v2 import fields

__all__ = ["ChaosBatch"]

_ITEM_MODES = ("ok", "raise", "exit3", "sleep")
_BATCH_MODES = ("too_few", "too_many", "not_a_list")


class ChaosBatch:
    """Answers each item with its own text, so that a test sees when answers go to the wrong caller."""

    max_batch_size = int(os.environ.get("CHAOS_BATCH_SIZE", "8"))

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata."""
        return {"id": "chaos-batch", "name": "Chaos in batches", "description": "Misbehaves on demand."}

    def warm(self) -> None:
        """Say in the side log that it ran."""
        _note("warm", [])

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of one call."""
        return {
            "mode": fields.Str(load_default="ok", validate=OneOf([*_ITEM_MODES, *_BATCH_MODES])),
            "n": fields.Float(load_default=0.0),
            "text": fields.Str(load_default=""),
        }

    def predict_batch(self, calls: list[dict[str, Any]]) -> Any:
        """Answer ``{"text", "batch", "pid"}`` for each call, ``batch`` being how many ran together."""
        _note("predict", calls)
        answers = [_answer(call, len(calls)) for call in calls]
        for mode in (call["mode"] for call in calls):
            if mode == "too_few":
                return answers[:-1]
            if mode == "too_many":
                return [*answers, answers[-1]]
            if mode == "not_a_list":
                return {"answers": answers}
        return answers


def _answer(call: dict[str, Any], together: int) -> dict[str, Any]:
    if call["mode"] == "raise":
        raise RuntimeError(f"password=hunter2 for {call['text']}")
    if call["mode"] == "exit3":
        os._exit(3)
    if call["mode"] == "sleep":
        time.sleep(call["n"])
    return {"text": call["text"], "batch": together, "pid": os.getpid()}


def _note(event: str, calls: list[dict[str, Any]]) -> None:
    path = os.environ.get("CHAOS_LOG")
    if not path:
        return
    modes, texts = [call["mode"] for call in calls], [call["text"] for call in calls]
    line = {"event": event, "pid": os.getpid(), "modes": modes, "texts": texts, "monotonic_s": time.monotonic()}
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # One write to a file opened for appending: lines of several processes never mix.
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
