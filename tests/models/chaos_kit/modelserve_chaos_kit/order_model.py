"""What the streaming models share: all but ``predict``.

The side log has ``predict`` when a generator begins, ``item`` before each item, and ``closed`` when it ends, however it
ends: ``how`` is "end", "closed" or the error's name, ``sent`` how many items it gave. ``CHAOS_SCHEMA`` set to 1
declares a schema that items of the kind ``dict`` fit.
"""

from __future__ import annotations

from typing import Any

from marshmallow.validate import OneOf, Range

from modelserve.v2 import fields

from .faults import commit
from .items import FAILURES, KINDS
from .side_log import note
from .switches import switch

__all__ = ["OrderModel"]


class OrderModel:
    """A model whose calls order items; see items.Order for the arguments."""

    id = ""

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata."""
        return {"id": self.id, "name": "Chaos in streams", "description": "Misbehaves on demand."}

    def warm(self) -> None:
        """Say in the side log that it ran, and fail as ``CHAOS_WARM`` says."""
        note("warm")
        commit("CHAOS_WARM")

    def get_predict_args(self) -> dict[str, Any]:
        """Return one field for each attribute of an Order, with its default."""
        return {
            "items": fields.Int(load_default=3, validate=Range(min=0)),
            "kind": fields.Str(load_default="dict", validate=OneOf(list(KINDS))),
            "delay_s": fields.Float(load_default=0.0),
            "size": fields.Int(load_default=1, validate=Range(min=0)),
            "fail_at": fields.Int(load_default=None, allow_none=True),
            "failure": fields.Str(load_default="raise", validate=OneOf(list(FAILURES))),
            "text": fields.Str(load_default=""),
            "close_s": fields.Float(load_default=0.0),
            "deaf": fields.Bool(load_default=False),
        }

    @property
    def schema(self) -> dict[str, Any] | None:
        """What items of the kind ``dict`` are, where ``CHAOS_SCHEMA`` is 1; else None."""
        if switch("CHAOS_SCHEMA") != "1":
            return None
        return {"number": fields.Int(required=True), "text": fields.Str(required=True)}
