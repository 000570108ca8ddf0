"""The batching model with a ``batch_key``, and with more than one media type to answer in.

Calls of one ``key`` and one chosen media type may share a batch. The key ``raise`` raises, the key ``unhashable`` is
none. As text, an answer is the call's own text.
"""

from __future__ import annotations

from typing import Any

from marshmallow.validate import OneOf
from modelserve_chaos_kit.side_log import note

from modelserve.v2 import fields

from .model import ChaosBatch
from .modes import Call

__all__ = ["ChaosKeyed"]

_JSON, _TEXT = "application/json", "text/plain"


class ChaosKeyed(ChaosBatch):
    """Its side log has the keys and the media types of each batch too."""

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata."""
        return {"id": "chaos-keyed", "name": "Chaos in kinds", "description": "Misbehaves on demand."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of one call."""
        return {
            **super().get_predict_args(),
            "key": fields.Str(load_default=""),
            "accept": fields.Str(load_default=_JSON, validate=OneOf([_JSON, _TEXT])),
        }

    def batch_key(self, call: Call) -> Any:
        """Return the call's own key."""
        if call["key"] == "raise":
            raise RuntimeError(f"password=hunter2 for {call['text']}")
        return ["no", "hash"] if call["key"] == "unhashable" else call["key"]

    def predict_batch(self, calls: list[Call]) -> Any:
        """Answer as ``chaos-batch`` does, or with the text alone."""
        answers = super().predict_batch(calls)
        if not isinstance(answers, list) or calls[0]["accept"] == _JSON:
            return answers
        return [answer["text"] if isinstance(answer, dict) else answer for answer in answers]

    def _note(self, calls: list[Call]) -> None:
        each = {name + "s": [call[name] for call in calls] for name in ("mode", "text", "key", "accept")}
        note("predict", **each)
