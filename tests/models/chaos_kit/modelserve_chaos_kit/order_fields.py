"""The arguments and the schema of the streaming models."""

from __future__ import annotations

from typing import Any

from marshmallow.validate import OneOf, Range

from modelserve.v2 import fields

from .items import FAILURES, KINDS
from .switches import switch

__all__ = ["order_fields", "order_schema"]


def order_fields() -> dict[str, Any]:
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


def order_schema() -> dict[str, Any] | None:
    """Return the schema of items of the kind ``dict`` where ``CHAOS_SCHEMA`` is 1, else None."""
    if switch("CHAOS_SCHEMA") != "1":
        return None
    return {"number": fields.Int(required=True), "text": fields.Str(required=True)}
