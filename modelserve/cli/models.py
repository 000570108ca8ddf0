"""``modelserve models``: what is installed; imports no model."""

from __future__ import annotations

import json
from typing import Any

import click

from modelserve import discovery
from modelserve.cli import screen
from modelserve.cli.flags import settings_from, settings_options
from modelserve.names import GROUPS

__all__ = ["models"]


@click.command(epilog="Example: modelserve models --json")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@settings_options("group")
def models(as_json: bool, **flags: Any) -> int:
    """List the installed models and the packages they come from."""
    settings = settings_from(flags)
    refs = discovery.installed(settings.group)
    if as_json:
        rows = [
            {"name": ref.name, "group": ref.group, "target": ref.target, "distribution": ref.distribution}
            for ref in refs
        ]
        click.echo(json.dumps(rows, indent=2))
    elif refs:
        titles = ("model", "target", "package", "version", "summary")
        rows_shown = [
            (ref.name, ref.target, *map(ref.distribution.get, ("name", "version", "summary"))) for ref in refs
        ]
        screen.show_table(screen.console(), titles, [[cell or "" for cell in row] for row in rows_shown])
    else:
        groups = settings.group or " or ".join(GROUPS)
        click.echo(f"No model is installed. A package is one that has an entry point in the group {groups}.")
    return 0
