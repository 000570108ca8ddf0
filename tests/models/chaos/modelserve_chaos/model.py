"""The chaos model: each call says how it is to go wrong.

Environment variables, all read in the worker:
    CHAOS_LOG       file that gets a JSON line for each import, warm and call (see side_log.py)
    CHAOS_IMPORT, CHAOS_ARGS, CHAOS_METADATA, CHAOS_WARM    a fault of faults.py: raise, valueerror, attributeerror,
                    exit, sysexit, hang, segv
    CHAOS_WARM_S    how many seconds a healthy warm takes
    CHAOS_SCHEMA    1: a good response schema; invalid: one that is no schema; raise: reading it raises
    CHAOS_ACCEPT    media types with commas between: the model then declares `accept` with these choices
    CHAOS_ANSWER    the mode of a call that names none; else ok
"""

from __future__ import annotations

import os
import time
from typing import Any

from marshmallow.validate import OneOf

from modelserve.v2 import fields

from .answers import ANSWER_MODES
from .asked import Asked, Mode
from .errors import ERROR_MODES
from .faults import commit
from .files import FILE_MODES
from .processes import PROCESS_MODES
from .side_log import note

__all__ = ["MODES", "Chaos"]

note("import")
commit("CHAOS_IMPORT")

MODES: dict[str, Mode] = {**ANSWER_MODES, **ERROR_MODES, **FILE_MODES, **PROCESS_MODES}
"""Every mode by its name."""


class Chaos:
    """Not a BaseModel on purpose: modelserve asks for no base class."""

    def get_metadata(self) -> dict[str, str]:
        """Return the metadata, or fail as ``CHAOS_METADATA`` says."""
        note("metadata")
        commit("CHAOS_METADATA")
        return {"id": "chaos", "name": "Chaos", "description": "Misbehaves on demand."}

    def warm(self) -> None:
        """Take ``CHAOS_WARM_S`` seconds, or fail as ``CHAOS_WARM`` says."""
        note("warm")
        commit("CHAOS_WARM")
        time.sleep(float(os.environ.get("CHAOS_WARM_S", "0")))
        note("warmed")

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of ``predict``, or fail as ``CHAOS_ARGS`` says."""
        note("args")
        commit("CHAOS_ARGS")
        default = os.environ.get("CHAOS_ANSWER", "ok")
        arguments: dict[str, Any] = {
            "mode": fields.Str(load_default=default, validate=OneOf(sorted(MODES))),
            "n": fields.Float(load_default=None, allow_none=True),
            "text": fields.Str(load_default=""),
            "data": fields.Raw(load_default=None, allow_none=True),
            "file": fields.File(load_default=None),
        }
        choices = os.environ.get("CHAOS_ACCEPT", "")
        if choices:
            arguments["accept"] = fields.Str(validate=OneOf(choices.split(",")))
        return arguments

    @property
    def schema(self) -> Any:
        """None, a good schema, or what ``CHAOS_SCHEMA`` asks for."""
        match os.environ.get("CHAOS_SCHEMA", ""):
            case "":
                return None
            case "1":
                return {
                    "mode": fields.Str(required=True),
                    "n": fields.Float(required=True, allow_none=True),
                    "text": fields.Str(required=True),
                    "data": fields.Raw(required=True, allow_none=True),
                }
            case "invalid":
                return {"mode": "this is no field"}
            case word:
                raise RuntimeError(f"CHAOS_SCHEMA={word} asked for this")

    def predict(self, mode: str, n: float | None, text: str, data: Any, file: Any, accept: str = "") -> Any:
        """Do what ``mode`` says; the side log has ``predict`` before and ``predicted`` after."""
        note("predict", mode, text=text)
        answer = MODES[mode](Asked(mode, n, text, data, file))
        note("predicted", mode, text=text)
        return answer
