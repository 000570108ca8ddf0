"""The table of settings: the ``Settings`` class itself, one row for each setting, most of them in its bases."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

from modelserve.settings.access_rows import AccessRows
from modelserve.settings.fields import Field, Kind
from modelserve.settings.job_rows import JobRows
from modelserve.settings.rows import DeploymentTable, setting
from modelserve.settings.running_rows import RunningRows
from modelserve.settings.values import beside, check_temp_dir

__all__ = ["BY_NAME", "FIELDS", "Settings"]


@dataclasses.dataclass(frozen=True)
class Settings(AccessRows, JobRows, RunningRows):
    """Every setting of one server, checked; made once by ``load_settings`` and passed down.

    ``deployments`` holds the tables of the settings file by deployment; ``environment`` is empty but in what :meth:`of`
    returns.
    """

    temp_dir: str = setting(
        Kind.TEXT,
        "",
        "Folder in which the server makes its private temporary folder. Empty: the system's.",
        check=check_temp_dir,
        beside=beside,
        right="an existing folder that can be written to",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(Kind.CHOICE, "info", "Least level to log.")
    log_format: Literal["text", "json"] = setting(Kind.CHOICE, "text", "Form of a log line on standard error.")
    log_lines: int = setting(
        Kind.WHOLE,
        2000,
        "Last lines of each deployment's log that are held in memory; its file has more.",
        minimum=1,
        maximum=100_000,
        unit="lines",
    )
    access_log: bool = setting(
        Kind.SWITCH, False, "Whether each request is a line of the log, with its status and its times."
    )
    debug_endpoint: bool = setting(
        Kind.SWITCH, False, "Whether GET /v2/debug/ gives administrators the last lines of the log of every deployment."
    )
    seldon_metrics: bool = setting(
        Kind.SWITCH, False, "Whether /metrics has predict requests under the names of Seldon's executor too."
    )
    strict: bool = setting(Kind.SWITCH, False, "Exit with status 3 when any model fails to start.")
    title: str = setting(
        Kind.TEXT,
        "modelserve",
        "Title of the pages and of the OpenAPI documents.",
        pattern=r"(?=.*\S).{1,200}",
        right="a printable text of 1 to 200 characters",
    )
    deployments: Mapping[str, DeploymentTable] = dataclasses.field(default_factory=dict, hash=False)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def of(self, name: str) -> Settings:
        """Return the settings of one deployment: these, with what its table says in their place; computed once."""
        return self._by_deployment.get(name, self)

    @property
    def models(self) -> dict[str, str]:
        """The model behind each deployment that has a table."""
        return {name: table.model for name, table in self.deployments.items()}

    def python_of(self, name: str) -> str:
        """Return the interpreter that runs one deployment's workers, "" for the server's own."""
        return self.of(name).python

    @functools.cached_property
    def _by_deployment(self) -> dict[str, Settings]:
        return {
            name: dataclasses.replace(self, **table.overrides, deployments={}, environment=table.environment)
            for name, table in self.deployments.items()
        }


def _field(row: dataclasses.Field[Any], annotation: Any) -> Field:
    choices = get_args(annotation) if row.metadata["kind"] is Kind.CHOICE else ()
    return Field(name=row.name, choices=choices, **row.metadata)


_HINTS = get_type_hints(Settings)
FIELDS = tuple(_field(row, _HINTS[row.name]) for row in dataclasses.fields(Settings) if row.metadata)
BY_NAME = {field.name: field for field in FIELDS}
