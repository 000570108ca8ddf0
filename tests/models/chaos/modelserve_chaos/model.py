"""The chaos model: each call says how it is to go wrong.

Switches, all read in the worker (modelserve_chaos_kit.switches):
    CHAOS_LOG       file that gets a JSON line for each import, warm and call
    CHAOS_IMPORT, CHAOS_ARGS, CHAOS_METADATA, CHAOS_WARM    a fault of modelserve_chaos_kit.faults
    CHAOS_IMPORT_S, CHAOS_WARM_S    how many seconds a healthy import and warm take
    CHAOS_EXIT_S    how many seconds the process takes to end, deaf to SIGTERM
    CHAOS_SCHEMA    1: a good response schema; invalid: one that is no schema; raise: reading it raises
    CHAOS_ACCEPT    media types with commas between: the model then declares `accept` with these choices
    CHAOS_ANSWER    the mode of a call that names none; else ok
"""

from __future__ import annotations

from typing import Any

from marshmallow.validate import OneOf
from modelserve_chaos_kit.faults import commit, exit_slowly, pause
from modelserve_chaos_kit.side_log import note
from modelserve_chaos_kit.switches import switch

from modelserve.v2 import fields

from .answers import ANSWER_MODES
from .asked import Asked, Mode
from .errors import ERROR_MODES
from .files import FILE_MODES
from .gpu import GPU_MODES
from .processes import PROCESS_MODES
from .training import TRAIN_MODES
from .upsets import UPSET_MODES

__all__ = ["MODES", "Chaos"]

note("import")
commit("CHAOS_IMPORT")
pause("CHAOS_IMPORT_S")
if switch("CHAOS_EXIT_S"):
    exit_slowly(float(switch("CHAOS_EXIT_S")))

MODES: dict[str, Mode] = {
    **ANSWER_MODES,
    **ERROR_MODES,
    **FILE_MODES,
    **GPU_MODES,
    **PROCESS_MODES,
    **UPSET_MODES,
}
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
        pause("CHAOS_WARM_S")
        note("warmed")

    def get_predict_args(self) -> dict[str, Any]:
        """Return the arguments of ``predict``, or fail as ``CHAOS_ARGS`` says."""
        note("args")
        commit("CHAOS_ARGS")
        default = switch("CHAOS_ANSWER", "ok")
        arguments: dict[str, Any] = {
            "mode": fields.Str(load_default=default, validate=OneOf(sorted(MODES))),
            "n": fields.Float(load_default=None, allow_none=True),
            "text": fields.Str(load_default=""),
            "data": fields.Raw(load_default=None, allow_none=True),
            "file": fields.File(load_default=None),
        }
        choices = switch("CHAOS_ACCEPT")
        if choices:
            arguments["accept"] = fields.Str(validate=OneOf(choices.split(",")))
        return arguments

    @property
    def schema(self) -> Any:
        """None, a good schema, or what ``CHAOS_SCHEMA`` asks for."""
        match switch("CHAOS_SCHEMA"):
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
        note("predict", mode=mode, text=text)
        answer = MODES[mode](Asked(mode, n, text, data, file))
        note("predicted", mode=mode, text=text)
        return answer

    def get_train_args(self) -> dict[str, Any]:
        """Return the arguments of ``train``."""
        return {
            "mode": fields.Str(load_default="ok", validate=OneOf(sorted(TRAIN_MODES))),
            "n": fields.Float(load_default=None, allow_none=True),
            "text": fields.Str(load_default=""),
            "file": fields.File(load_default=None),
        }

    def train(self, mode: str, n: float | None, text: str, file: Any) -> Any:
        """Do what ``mode`` says; the side log has ``train`` before and ``trained`` after."""
        note("train", mode=mode, text=text)
        output = TRAIN_MODES[mode](Asked(mode, n, text, None, file))
        note("trained", mode=mode, text=text)
        return output
