"""The settings of a server: one table of fields, and how a value is found for each.

    flags > MODELSERVE_* environment > modelserve.toml > default   ->   Settings (frozen)

The table is the ``Settings`` class itself. Flags, environment names, checks and the reference page are made from it,
so that a new setting is one new line. A key that is not in the table is an error, never dropped.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from modelserve.errors import SettingsError

__all__ = ["CONFIG_FILE", "CONFIG_VARIABLE", "FIELDS", "Field", "Kind", "Settings", "describe_value", "load_settings"]

PREFIX = "MODELSERVE_"
CONFIG_VARIABLE = "MODELSERVE_CONFIG"
CONFIG_FILE = "modelserve.toml"

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    unit: 1024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)
}

# Kubernetes sets these in every pod beside a Service that is called "modelserve"; they are no settings of ours.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK_NAME = re.compile(r"MODELSERVE_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_LINK_PORT = re.compile(r"(tcp|udp|sctp)://\S+")


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
    says what a text should be.
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


def _setting(kind: Kind, default: str | int | float | bool, help: str, **row: Any) -> Any:
    if kind is Kind.SIZE:
        row = {"minimum": 1, "unit": "bytes", **row}
    return dataclasses.field(default=default, metadata={"kind": kind, "default": default, "help": help, **row})


def _check_base_path(text: str) -> str:
    parts = [part for part in text.split("/") if part]
    if any(part in (".", "..") or not re.fullmatch(r"[A-Za-z0-9._~-]+", part) for part in parts):
        raise ValueError
    return "".join(f"/{part}" for part in parts)


def _check_temp_dir(text: str) -> str:
    if not text:
        return ""
    path = os.path.abspath(os.path.expanduser(text))
    if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
        raise ValueError
    return path


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every setting of one server, checked; made once by ``load_settings`` and passed down."""

    host: str = _setting(
        Kind.TEXT,
        "127.0.0.1",
        "Address to listen on. 0.0.0.0 is every IPv4 address of the machine.",
        pattern=r"[A-Za-z0-9._:%-]{1,253}",
        right="a host name or an IP address",
    )
    port: int = _setting(Kind.WHOLE, 5000, "Port to listen on. 0 takes any free one.", minimum=0, maximum=65535)
    base_path: str = _setting(
        Kind.TEXT,
        "",
        "Prefix of every route, for a server behind a proxy that shares one address.",
        check=_check_base_path,
        right='a path such as "/models/v1"',
    )
    workers: int = _setting(Kind.WHOLE, 1, "Worker processes per model.", minimum=1, maximum=4096, unit="processes")
    device: str = _setting(
        Kind.TEXT,
        "auto",
        "Where models run: auto, cpu, cuda, or the GPUs to use, such as cuda:0,2.",
        pattern=r"auto|cpu|cuda(:[0-9]{1,4}(,[0-9]{1,4})*)?",
        right='auto, cpu, cuda or a list such as "cuda:0,2"',
    )
    grace_s: float = _setting(
        Kind.NUMBER,
        30.0,
        "How long running calls may take to finish when the server is told to stop.",
        minimum=0,
        unit="seconds",
    )
    max_body_bytes: int = _setting(
        Kind.SIZE, 64 * 1024**2, "Largest JSON or form body of a request; it is held in memory."
    )
    max_upload_bytes: int = _setting(
        Kind.SIZE, 1024**3, "Largest multipart body of a request with all its files; they are written to disk."
    )
    max_queue: int = _setting(
        Kind.WHOLE,
        1000,
        "Calls that may wait for one deployment; a further one is answered 503 queue_full.",
        minimum=1,
        unit="calls",
    )
    unknown_arguments: Literal["error", "ignore"] = _setting(
        Kind.CHOICE, "error", "What happens to an argument that the model does not declare."
    )
    nan_answers: Literal["error", "null"] = _setting(
        Kind.CHOICE, "error", "What happens to NaN and infinity in an answer, which JSON cannot say."
    )
    temp_dir: str = _setting(
        Kind.TEXT,
        "",
        "Folder in which the server makes its private temporary folder. Empty: the system's.",
        check=_check_temp_dir,
        right="an existing folder that can be written to",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(Kind.CHOICE, "info", "Least level to log.")
    log_format: Literal["text", "json"] = _setting(Kind.CHOICE, "text", "Form of a log line on standard error.")
    strict: bool = _setting(Kind.SWITCH, False, "Exit with status 3 when any model fails to start.")
    title: str = _setting(
        Kind.TEXT,
        "modelserve",
        "Title of the pages and of the OpenAPI documents.",
        pattern=r"(?=.*\S).{1,200}",
        right="a printable text of 1 to 200 characters",
    )


def _field(row: dataclasses.Field[Any], annotation: Any) -> Field:
    choices = get_args(annotation) if row.metadata["kind"] is Kind.CHOICE else ()
    return Field(name=row.name, choices=choices, **row.metadata)


_HINTS = get_type_hints(Settings)
FIELDS = tuple(_field(row, _HINTS[row.name]) for row in dataclasses.fields(Settings))
_BY_NAME = {field.name: field for field in FIELDS}


def load_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    toml_path: Path | str | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings, each from the first place that has it.

    Args:
        flags: What the command line or a Python caller gave, by field name; None counts as not given.
        environ: The environment; of it only names that start with ``MODELSERVE_`` are looked at.
        toml_path: The file to read. None: ``MODELSERVE_CONFIG``, else ``modelserve.toml`` here where there is one.
        defaults: Other defaults than the table's, already checked.

    Raises:
        SettingsError: A key is unknown, a value has the wrong type or is out of range, or the file cannot be read.
    """
    found: dict[str, Any] = dict(defaults or {})
    for name, value, origin, is_text in _given(flags, environ, toml_path):
        field = _BY_NAME.get(name)
        if field is None:
            raise SettingsError(_unknown(name, value, origin))
        try:
            found[name] = _read(field, value, is_text)
        except (ValueError, TypeError, OverflowError) as error:
            raise SettingsError(f"{name} {origin} is {_show(value)}, but must be {describe_value(field)}.") from error
    return Settings(**found)


_Given = tuple[str, Any, str, bool]  # name, value, where it came from in words, whether it is text to be parsed


def _given(flags: Mapping[str, Any], environ: Mapping[str, str], toml_path: Path | str | None) -> Iterator[_Given]:
    """Yield every given value, the weakest first, so that a later one replaces it."""
    path = _config_path(environ, toml_path)
    if path is not None:
        for key, value in _read_toml(path).items():
            yield key, value, f"in {path}", False
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE and not _is_service_link(variable, text):
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
        return tomllib.loads(path.read_bytes().decode())
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
    near = difflib.get_close_matches(name.lower().removeprefix(PREFIX.lower()).replace("-", "_"), _BY_NAME, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_BY_NAME)}."
    what = "table" if isinstance(value, dict) else "setting"
    return f"{_show(name)} {origin} is no {what} of modelserve; {hint}"


def _read(field: Field, value: Any, is_text: bool) -> Any:
    """Return the value as the server wants it; raises ValueError or TypeError where it does not fit."""
    is_text = is_text and isinstance(value, str)
    match field.kind:
        case Kind.SWITCH:
            return _read_switch(value, is_text)
        case Kind.CHOICE:
            return field.choices[field.choices.index(value)]
        case Kind.TEXT:
            return _read_text(field, value)
        case Kind.SIZE:
            number = _parse_size(value) if isinstance(value, str) else _typed(value, int)
        case Kind.WHOLE:
            number = _parse_whole(value) if is_text else _typed(value, int)
        case Kind.NUMBER:
            number = float(value) if is_text else float(_typed(value, int | float))
    return _in_bounds(field, number)


def _read_switch(value: Any, is_text: bool) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if is_text and value.lower() in words:
        return words[value.lower()]
    if isinstance(value, bool):
        return value
    raise ValueError


def _read_text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError
    if field.pattern and not re.fullmatch(field.pattern, value):
        raise ValueError
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


def describe_value(field: Field) -> str:
    """Say what a value of the field must be, in words that follow "must be"."""
    if field.right:
        return field.right
    if field.kind is Kind.CHOICE:
        return " or ".join(field.choices) if len(field.choices) == 2 else f"one of {', '.join(field.choices)}"
    if field.kind is Kind.SIZE:
        return f'a size of at least {field.minimum:g} byte, such as 1048576, "64MiB" or "1 GB"'
    if field.maximum is not None:
        return f"a {field.kind.value} from {field.minimum:g} to {field.maximum:g}"
    return f"a {field.kind.value} of at least {field.minimum:g}" if field.minimum is not None else field.kind.value


def _show(value: Any) -> str:
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _show_size(size: int) -> str:
    for unit, power in (("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if size >= 1024**power and size % 1024**power == 0:
            return f"{size // 1024**power} {unit}"
    return str(size)
