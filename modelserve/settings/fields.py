"""One row of the table of settings: what its value is, and how both are said to people."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import Any

__all__ = ["PREFIX", "Field", "Kind", "describe_value", "show"]

PREFIX = "MODELSERVE_"


class Kind(Enum):
    """What a setting's value is, in the words of the reference page."""

    # any printable text
    TEXT = "text"
    # a whole number within the field's bounds
    WHOLE = "whole number"
    # a whole or decimal number within the field's bounds
    NUMBER = "number"
    # bytes, as a whole number or a text such as "64MiB"
    SIZE = "size"
    # true or false
    SWITCH = "true or false"
    # one of the field's choices
    CHOICE = "choice"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One row of the table.

    A text matches the whole ``pattern``; ``check`` returns it as the server wants it, or raises ValueError. ``right``
    says what a text must be. ``beside`` makes a relative path of the settings file one from that file's folder. With
    ``per_deployment``, a deployment's own table may set it too. The value of one that is ``secret`` is never shown.
    ``aliases`` are further spellings on the command line.
    """

    name: str = ""
    kind: Kind
    default: str | int | float | bool
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    check: Callable[[str], str] | None = None
    right: str = ""
    beside: Callable[[str, str], str] | None = None
    per_deployment: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The command line's spelling, such as ``--grace-s``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's spelling, such as ``MODELSERVE_GRACE_S``."""
        return PREFIX + self.name.upper()

    @property
    def shown_default(self) -> str:
        """The default for people: sizes in KiB to GiB, texts as they are, "" for an empty text."""
        if self.kind is Kind.SWITCH:
            return str(self.default).lower()
        if self.kind is Kind.SIZE:
            return _show_size(int(self.default))
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def describe_value(field: Field) -> str:
    """Say what a value of the field must be, in words that follow "must be"."""
    if field.right:
        return field.right
    if field.kind is Kind.CHOICE:
        return " or ".join(field.choices) if len(field.choices) == 2 else f"one of {', '.join(field.choices)}"
    if field.kind is Kind.SIZE:
        return f'a size of at least {field.minimum:g} byte, such as 1048576, "64MiB" or "1 GB"'
    if field.maximum is not None:
        return f"a {field.kind.value} from {field.minimum:.15g} to {field.maximum:.15g}"
    return f"a {field.kind.value} of at least {field.minimum:.15g}" if field.minimum is not None else field.kind.value


def show(value: Any) -> str:
    """Return a wrong value as a sentence may hold it: on one line, cut where it is long."""
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _show_size(size: int) -> str:
    for unit, power in (("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if size >= 1024**power and size % 1024**power == 0:
            return f"{size // 1024**power} {unit}"
    return str(size)
