"""Reads the tables ``[deployments.NAME]`` of the settings file: what one deployment has of its own.

[deployments.digits-large]
model = "digits"
workers = 4
environment = { DIGITS_WEIGHTS = "large.npz" }
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from modelserve.errors import SettingsError
from modelserve.names import NAME_RULE, is_name
from modelserve.settings.fields import show
from modelserve.settings.rows import DeploymentTable
from modelserve.settings.table import BY_NAME
from modelserve.settings.values import model_beside, read

__all__ = ["TABLES", "read_tables"]

# The key under which the tables stand.
TABLES = "deployments"

_MODEL = "model"
_ENVIRONMENT = "environment"
_KEYS = (_MODEL, _ENVIRONMENT, *(name for name, field in BY_NAME.items() if field.per_deployment))

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What a worker's placement sets whatever else says so; the setting ``device`` is the way to choose.
_PLANNED = "CUDA_VISIBLE_DEVICES"


def read_tables(tables: Any, file: str, folder: str) -> dict[str, DeploymentTable]:
    """Return the deployments' tables by name, in the file's order.

    Args:
        tables: What stands under ``deployments`` in the file.
        file: The file's name, for messages.
        folder: The file's folder, from which relative paths are ones.

    Raises:
        SettingsError: A name, a key or a value is wrong; the message names table and key.
    """
    if not isinstance(tables, dict):
        raise SettingsError(f"{TABLES} in {file} is {show(tables)}, but must be tables such as [{TABLES}.digits].")
    return {name: _read_table(name, table, file, folder) for name, table in tables.items()}


def _read_table(name: str, table: Any, file: str, folder: str) -> DeploymentTable:
    if not is_name(name):
        raise SettingsError(f"The deployment name {show(name)} in {file} is not valid: it must be {NAME_RULE}.")
    if not isinstance(table, dict):
        raise SettingsError(f"{name} in [{TABLES}] in {file} is {show(table)}, but must be a table [{TABLES}.{name}].")
    origin = f"in [{TABLES}.{name}] in {file}"
    own = {key: value for key, value in table.items() if key not in (_MODEL, _ENVIRONMENT)}
    return DeploymentTable(
        model=model_beside(_read_model(table.get(_MODEL, name), origin), folder),
        environment=_read_environment(
            table.get(_ENVIRONMENT, {}), origin, f"in [{TABLES}.{name}.{_ENVIRONMENT}] in {file}"
        ),
        overrides={key: _read_setting(key, value, origin, folder) for key, value in own.items()},
    )


def _read_model(value: Any, origin: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise SettingsError(
            f"{_MODEL} {origin} is {show(value)}, but must be an installed name, a module or a file such as "
            '"digits", "my_package.model:Model" or "my_model.py".'
        )
    return value


def _read_setting(key: str, value: Any, origin: str, folder: str) -> Any:
    if key in _KEYS:
        return read(BY_NAME[key], value, origin, is_text=False, folder=folder)
    if key in BY_NAME:
        raise SettingsError(f"{key} {origin} is a setting of the whole server: write it at the top of the file.")
    near = difflib.get_close_matches(key.lower().replace("-", "_"), _KEYS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}."
    raise SettingsError(f"{show(key)} {origin} is no setting of a deployment; {hint}")


def _read_environment(variables: Any, origin: str, inside: str) -> Mapping[str, str]:
    """Return the variables. No message shows a value: it may be a secret."""
    if not isinstance(variables, dict):
        raise SettingsError(f'{_ENVIRONMENT} {origin} must be a table of texts, such as {{ LEVEL = "1" }}.')
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise SettingsError(
                f"{show(name)} {inside} is no name of a variable: it must be letters, digits and '_', and not begin "
                "with a digit."
            )
        if name == _PLANNED:
            raise SettingsError(f"{name} {inside} is set by modelserve itself: choose GPUs by device, as in cuda:0,2.")
        if not isinstance(value, str) or "\0" in value:
            raise SettingsError(f'{name} {inside} must be a text: write {name} = "...".')
    return variables
