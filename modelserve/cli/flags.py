"""Flags made from the table of settings, and the settings made from flags."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from modelserve.settings import CONFIG_VARIABLE, FIELDS, Field, Kind, Settings, load_settings

__all__ = ["settings_from", "settings_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def settings_options(*names: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds ``--config`` and the flags of these settings, of all where none is named.

    The flags' values are texts: the table reads them, so that a wrong one is told in the same words from everywhere.
    """
    fields = [field for field in FIELDS if not names or field.name in names]

    def decorate(command: _Command) -> _Command:
        # The last one applied is the first one shown.
        for field in reversed(fields):
            command = click.option(*_spelling(field), field.name, **_option(field))(command)
        return click.option("--config", metavar="FILE", help=_CONFIG_HELP)(command)

    return decorate


def settings_from(flags: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings from a command's flags, the environment and the settings file.

    Args:
        flags: The values of the flags that ``settings_options`` added, by name.
        defaults: Other defaults than the table's.

    Raises:
        SettingsError: One of them is unknown or wrong.
    """
    given = {name: value for name, value in flags.items() if name != "config"}
    return load_settings(given, os.environ, flags.get("config"), defaults=defaults)


_CONFIG_HELP = f"Settings file.  [default: ${CONFIG_VARIABLE}, else modelserve.toml where there is one]"


def _spelling(field: Field) -> tuple[str, ...]:
    return (f"{field.flag}/--no-{field.flag[2:]}",) if field.kind is Kind.SWITCH else (field.flag, *field.aliases)


def _option(field: Field) -> dict[str, Any]:
    unit = f" {field.unit}" if field.unit and field.kind is not Kind.SIZE else ""
    text = f"{field.help}  [default: {field.shown_default or 'empty'}{unit}]"
    if field.kind is Kind.SWITCH:
        return {"default": None, "help": text}
    return {"type": str, "metavar": _metavar(field), "help": text}


def _metavar(field: Field) -> str:
    if field.choices:
        return "|".join(field.choices)
    return {Kind.WHOLE: "NUMBER", Kind.NUMBER: "NUMBER", Kind.SIZE: "SIZE"}.get(field.kind, "TEXT")
