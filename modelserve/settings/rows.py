"""What the table of settings is written with: its two kinds of row, and the shape of a deployment's own table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from modelserve.settings.fields import Kind

__all__ = ["DeploymentTable", "each", "setting"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeploymentTable:
    """One table ``[deployments.NAME]``, checked.

    ``model`` is an installed name, a module or a file. ``environment`` is what its workers get besides the server's own
    environment; ``overrides`` are settings by name.
    """

    model: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def setting(kind: Kind, default: str | int | float | bool, help: str, **row: Any) -> Any:
    """Return a row that holds for the whole server."""
    if kind is Kind.SIZE:
        row = {"minimum": 1, "unit": "bytes", **row}
    told = {"kind": kind, "default": default, "help": help, **row}
    return dataclasses.field(default=default, repr=not row.get("secret"), metadata=told)


def each(kind: Kind, default: str | int | float | bool, help: str, **row: Any) -> Any:
    """Return a row that holds for every deployment whose own table does not say otherwise."""
    return setting(kind, default, help, per_deployment=True, **row)
