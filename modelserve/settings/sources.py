"""Finds each setting's value: flags > MODELSERVE_* environment > modelserve.toml > default."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelserve.errors import SettingsError
from modelserve.settings.deployments import TABLES, read_tables
from modelserve.settings.fields import PREFIX, show
from modelserve.settings.table import BY_NAME, Settings
from modelserve.settings.values import read

__all__ = ["CONFIG_FILE", "CONFIG_VARIABLE", "TOKEN_VARIABLE", "load_settings"]

CONFIG_VARIABLE = "MODELSERVE_CONFIG"
CONFIG_FILE = "modelserve.toml"

# What commands show to a server that they ask; no setting of one, and nothing for its workers.
TOKEN_VARIABLE = "MODELSERVE_TOKEN"

# Kubernetes sets these in every pod beside a Service that is called "modelserve"; they are no settings of ours.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK_NAME = re.compile(r"MODELSERVE_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_LINK_PORT = re.compile(r"(tcp|udp|sctp)://\S+")


def load_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    toml_path: Path | str | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings, each from the first place that has it, with the deployments' tables of the file.

    Args:
        flags: What the command line or a Python caller gave, by field name; None counts as not given.
        environ: The environment; of it only names that start with ``MODELSERVE_`` are looked at.
        toml_path: The file to read. None: ``MODELSERVE_CONFIG``, else ``modelserve.toml`` here where there is one.
        defaults: Other defaults than the table's, already checked.

    Raises:
        SettingsError: A key is unknown, a value has the wrong type or is out of range, or the file cannot be read.
    """
    path = _config_path(environ, toml_path)
    in_file = _read_toml(path) if path is not None else {}
    folder = os.path.dirname(os.path.abspath(path)) if path is not None else ""
    tables = read_tables(in_file.pop(TABLES, {}), str(path), folder)
    found: dict[str, Any] = dict(defaults or {})
    for name, value, origin, is_text in _given(flags, environ, in_file, path):
        field = BY_NAME.get(name)
        if field is None:
            raise SettingsError(_unknown(name, value, origin))
        found[name] = read(field, value, origin, is_text=is_text, folder="" if is_text else folder)
    return Settings(**found, deployments=tables)


_Given = tuple[str, Any, str, bool]  # name, value, where it came from in words, whether it is text to be parsed


def _given(
    flags: Mapping[str, Any], environ: Mapping[str, str], in_file: Mapping[str, Any], path: Path | None
) -> Iterator[_Given]:
    """Yield every given value, the weakest first, so that a later one replaces it."""
    for key, value in in_file.items():
        yield key, value, f"in {path}", False
    for variable, text in environ.items():
        if variable in (CONFIG_VARIABLE, TOKEN_VARIABLE) or _is_service_link(variable, text):
            continue
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX)
            yield name.lower() if name.isupper() else variable, text, f"from {variable} in the environment", True
    for name, value in flags.items():
        if value is not None:
            yield name, value, f"given as --{name.replace('_', '-')}", True


def _config_path(environ: Mapping[str, str], toml_path: Path | str | None) -> Path | None:
    named = toml_path or environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return Path(CONFIG_FILE) if Path(CONFIG_FILE).exists() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"The settings file {path} is not UTF-8 at byte {error.start}.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from error


def _is_service_link(variable: str, text: str) -> bool:
    if variable == "MODELSERVE_PORT":
        return _SERVICE_LINK_PORT.fullmatch(text) is not None
    return _SERVICE_LINK_NAME.fullmatch(variable) is not None


def _unknown(name: str, value: Any, origin: str) -> str:
    known = [*BY_NAME, TABLES] if isinstance(value, dict) else list(BY_NAME)
    near = difflib.get_close_matches(name.lower().removeprefix(PREFIX.lower()).replace("-", "_"), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    what = "table" if isinstance(value, dict) else "setting"
    return f"{show(name)} {origin} is no {what} of modelserve; {hint}"
