"""``modelserve check``: load, describe and warm a model once, and say what it is or what is wrong with it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from modelserve.cli import screen
from modelserve.cli.flags import settings_options
from modelserve.cli.one_model import started
from modelserve.errors import NoModel

__all__ = ["check"]

EPILOG = """\b
Examples:
  modelserve check digits
  modelserve check my_model.py:Model --device cpu
"""


@click.command(epilog=EPILOG)
@click.argument("model")
@settings_options("device", "temp_dir", "unknown_arguments", "nan_answers", "log_level", "log_format")
def check(model: str, **flags: Any) -> int:
    """Start one worker, show what the model says of itself, warm it, and say what is wrong if anything is.

    The exit status is 0 for a model that can serve and 3 for one that cannot.
    """
    return asyncio.run(_check(model, flags))


async def _check(model: str, flags: dict[str, Any]) -> int:
    async with started(model, flags) as deployment:
        if deployment.description is None:
            if deployment.failure is not None:
                screen.show_failure(screen.console(sys.stderr), deployment.name, deployment.failure)
            return NoModel.exit_code
        screen.show_description(screen.console(), deployment.description)
        click.echo(f"\n{deployment.name} is loaded and warm: modelserve run {model}")
        return 0
