"""The batching model: a call's ``mode`` says how its item goes, or how the whole batch does that it is in.

``CHAOS_LOG`` names a file that gets one JSON line for each warm and each batch, with the modes and texts of its calls.
``CHAOS_WARM`` is a fault of modelserve_chaos_kit.faults, ``CHAOS_BATCH_SIZE`` is ``max_batch_size``; else 8.
"""

from __future__ import annotations

import os
from typing import Any

from marshmallow.validate import OneOf
from modelserve_chaos_kit.faults import commit
from modelserve_chaos_kit.side_log import note
from modelserve_chaos_kit.switches import switch

from modelserve.v2 import fields

from .modes import BATCH_MODES, ITEM_MODES, Call

__all__ = ["ChaosBatch"]


class ChaosBatch:
    """Answers each item with its own text, so that a test sees when answers go to the wrong caller."""

    max_batch_size = int(switch("CHAOS_BATCH_SIZE", "8"))

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata."""
        return {"id": "chaos-batch", "name": "Chaos in batches", "description": "Misbehaves on demand."}

    def warm(self) -> None:
        """Say in the side log that it ran, and fail as ``CHAOS_WARM`` says."""
        note("warm", modes=[], texts=[])
        commit("CHAOS_WARM")

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of one call."""
        return {
            "mode": fields.Str(load_default="ok", validate=OneOf([*ITEM_MODES, *BATCH_MODES])),
            "n": fields.Float(load_default=0.0),
            "text": fields.Str(load_default=""),
        }

    def predict_batch(self, calls: list[Call]) -> Any:
        """Answer ``{"text", "batch", "pid"}`` for each call, ``batch`` being how many ran together."""
        self._note(calls)
        answers = [_answer(call, len(calls)) for call in calls]
        for call in calls:
            if call["mode"] in BATCH_MODES:
                return BATCH_MODES[call["mode"]](calls, answers)
        return answers

    def _note(self, calls: list[Call]) -> None:
        note("predict", modes=[call["mode"] for call in calls], texts=[call["text"] for call in calls])


def _answer(call: Call, together: int) -> Any:
    failure = ITEM_MODES.get(call["mode"], ITEM_MODES["ok"])(call)
    if isinstance(failure, Exception):
        return failure
    return {"text": call["text"], "batch": together, "pid": os.getpid()}
