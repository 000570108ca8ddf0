"""Reads one value of a setting, from a text or from the settings file, as the server wants it."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import math
import os
import re
import shutil
from fractions import Fraction
from typing import Any

from modelserve import text as texts
from modelserve.errors import SettingsError
from modelserve.settings.fields import Field, Kind, describe_value, show

__all__ = [
    "beside",
    "check_base_path",
    "check_data_dir",
    "check_database",
    "check_file",
    "check_hosts",
    "check_networks",
    "check_origins",
    "check_python",
    "check_secret",
    "check_temp_dir",
    "database_beside",
    "model_beside",
    "program_beside",
    "read",
    "signing_key",
]

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    unit: 1024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)
}

_SWITCHES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

# The least and the most that github.com/standard-webhooks/standard-webhooks (spec, "Signature scheme") gives a key.
_KEY_BYTES = range(24, 65)

# A name, or an address of IPv4 or, in brackets, of IPv6; with a port or without.
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


def read(field: Field, value: Any, origin: str, *, is_text: bool, folder: str = "") -> Any:
    """Return the value as the server wants it.

    Args:
        field: The setting.
        value: What was given.
        origin: Where, in words that follow the setting's name.
        is_text: Whether a text is to be parsed, as it is from flags and the environment, or to be taken as one.
        folder: The folder of the settings file that has it, from which a relative path is one; "" for the working
            directory.

    Raises:
        SettingsError: It has the wrong type or is out of range.
    """
    try:
        found = _read(field, value, is_text and isinstance(value, str), folder)
    except (ValueError, TypeError, OverflowError) as error:
        if field.secret:  # nor may a traceback show it
            raise SettingsError(f"{field.name} {origin} must be {describe_value(field)}.") from None
        raise SettingsError(f"{field.name} {origin} is {show(value)}, but must be {describe_value(field)}.") from error
    if isinstance(found, str) and not texts.is_text(found):  # a relative path in a folder of such a name
        where = "" if field.secret else f" {texts.shown(found)},"
        raise SettingsError(f"{field.name} {origin} is the path{where} which has bytes that are no UTF-8.")
    return found


def beside(path: str, folder: str) -> str:
    """Return a path, from this folder where it is relative; "" as it is."""
    return os.path.join(folder, _expanded(path)) if path else ""


def _expanded(path: str) -> str:
    """Return a path with the home that ``~`` stands for; ValueError where nobody knows it, as in a container."""
    expanded = os.path.expanduser(path)
    if expanded == path and path.startswith("~") and not os.path.lexists(path):
        raise ValueError
    return expanded


def program_beside(text: str, folder: str) -> str:
    """Return the path of a program; a bare name, which is looked for on PATH, as it is."""
    return beside(text, folder) if "/" in text else text


def database_beside(text: str, folder: str) -> str:
    """Return the address of a database, with the path of a file of SQLite from this folder where it is relative."""
    scheme, separator, path = text.partition("sqlite:///")
    return f"{separator}{beside(path, folder)}" if separator and not scheme else text


def model_beside(text: str, folder: str) -> str:
    """Return what names a model, with the path of a file from this folder where it is relative."""
    place, colon, attribute = text.partition(":")
    is_file = place.endswith(".py") or "/" in place
    with contextlib.suppress(ValueError):  # there is no such home, and so no such file, which is said where it is read
        return f"{beside(place, folder)}{colon}{attribute}" if is_file else text
    return text


def check_base_path(text: str) -> str:
    """Return a path with its leading slash and without the trailing one; ValueError where it is none."""
    parts = [part for part in text.split("/") if part]
    if any(part in (".", "..") or not re.fullmatch(r"[A-Za-z0-9._~-]+", part) for part in parts):
        raise ValueError
    return "".join(f"/{part}" for part in parts)


def check_temp_dir(text: str) -> str:
    """Return a folder's absolute path; ValueError where it is none that can be written to."""
    if not text:
        return ""
    path = os.path.abspath(_expanded(text))
    if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
        raise ValueError
    return path


def check_data_dir(text: str) -> str:
    """Return a folder's absolute path; it is made, and looked at, only by a server that keeps jobs."""
    return os.path.abspath(_expanded(text)) if text else ""


def check_database(text: str) -> str:
    """Return a database's address; ValueError where it is none of those that jobs can be kept in."""
    if text and not re.match(r"(postgresql(\+psycopg)?://|sqlite:///).", text):
        raise ValueError
    return text


def check_hosts(text: str) -> str:
    """Return host names, separated by single commas and in lower case; ValueError where one is none."""
    hosts = [host.strip().lower() for host in text.split(",") if host.strip()]
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError
    return ",".join(hosts)


def check_file(text: str) -> str:
    """Return a file's absolute path; it is read, and complained of, by what needs it."""
    return os.path.abspath(_expanded(text)) if text else ""


def check_networks(text: str) -> str:
    """Return networks, separated by single commas; ValueError where one is none, or has bits set behind its own."""
    return ",".join(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


def check_origins(text: str) -> str:
    """Return origins as browsers write them, separated by single commas; ValueError where one is none."""
    origins = [origin.strip().rstrip("/").lower() for origin in text.split(",") if origin.strip()]
    if not all(_HOST.fullmatch(re.sub("^https?://", "", origin)) and "://" in origin for origin in origins):
        raise ValueError
    return ",".join(re.sub(r"^(http://.*):80$|^(https://.*):443$", r"\1\2", origin) for origin in origins)


def check_python(text: str) -> str:
    """Return an interpreter's absolute path, a bare name being looked for on PATH; ValueError where there is none."""
    if not text:
        return ""
    found = shutil.which(_expanded(text))
    if found is None:
        raise ValueError
    # Links are not resolved: by the path it is started with, an interpreter knows its virtual environment.
    return os.path.abspath(found)


def check_secret(text: str) -> str:
    """Return a secret that callbacks can be signed with; ValueError where it is none."""
    if text and len(signing_key(text)) not in _KEY_BYTES:
        raise ValueError
    return text


def signing_key(text: str) -> bytes:
    """Return the key of a secret: the bytes in base64 behind ``whsec_``, or else the text itself.

    Raises:
        ValueError: What is behind ``whsec_`` is no base64.
    """
    if not text.startswith("whsec_"):
        return text.encode()
    encoded = text.removeprefix("whsec_").rstrip("=")
    return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)


def _read(field: Field, value: Any, is_text: bool, folder: str) -> Any:
    match field.kind:
        case Kind.SWITCH:
            return _read_switch(value, is_text)
        case Kind.CHOICE:
            return field.choices[field.choices.index(value)]
        case Kind.TEXT:
            return _read_text(field, value, folder)
        case Kind.SIZE:
            number = _parse_size(value) if isinstance(value, str) else _typed(value, int)
        case Kind.WHOLE:
            number = _parse_whole(value) if is_text else _typed(value, int)
        case Kind.NUMBER:
            number = float(value) if is_text else float(_typed(value, int | float))
    return _in_bounds(field, number)


def _read_switch(value: Any, is_text: bool) -> bool:
    if is_text and value.lower() in _SWITCHES:
        return _SWITCHES[value.lower()]
    if isinstance(value, bool):
        return value
    raise ValueError


def _read_text(field: Field, value: Any, folder: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError
    if field.pattern and not re.fullmatch(field.pattern, value):
        raise ValueError
    if folder and field.beside:
        value = field.beside(value, folder)
    return field.check(value) if field.check else value


def _typed(value: Any, wanted: Any) -> Any:
    # True is an int to Python, but "port = true" is a mistake.
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise TypeError
    return value


def _parse_whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise ValueError
    return int(text)


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) *([A-Za-z]*)", text.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError
    return int(Fraction(match[1]) * _BYTES[match[2].lower()])


def _in_bounds(field: Field, number: float) -> float:
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    if not math.isfinite(number) or not low <= number <= high:
        raise ValueError
    return number
