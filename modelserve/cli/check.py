"""``modelserve check``: load, describe and warm a model once, and say what it is or what is wrong with it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from modelserve.cli import screen
from modelserve.cli.flags import settings_options
from modelserve.cli.one_model import fleet_of, only
from modelserve.cli.pickled import pickled_files
from modelserve.errors import NoModel

__all__ = ["check"]

# What the model is warned of is as much an answer as what is wrong with it.
TELLING = {"log_level": "warning"}

# Names of files in one warning.
SHOWN = 5

EPILOG = """\b
Examples:
  modelserve check digits
  modelserve check my_model.py:Model --device cpu
"""


@click.command(epilog=EPILOG)
@click.argument("model")
@settings_options("group", "device", "temp_dir", "unknown_arguments", "nan_answers", "log_level", "log_format")
def check(model: str, **flags: Any) -> int:
    """Start one worker, show what the model says of itself, warm it, and say what is wrong if anything is.

    The exit status is 0 for a model that can serve and 3 for one that cannot.
    """
    return asyncio.run(_check(model, flags))


async def _check(model: str, flags: dict[str, Any]) -> int:
    async with fleet_of(model, flags, defaults=TELLING, own={"workers": 1}) as fleet:
        deployment = only(fleet)
        if deployment.description is None:
            if deployment.failure is not None:
                screen.show_failure(screen.console(sys.stderr), deployment.name, deployment.failure)
            return NoModel.exit_code
        screen.show_description(screen.console(), deployment.description)
        _warn(pickled_files(fleet.ref(deployment.name)))
        click.echo(f"\n{deployment.name} is loaded and warm: modelserve run {model}")
        return 0


def _warn(pickled: list[str]) -> None:
    if pickled:
        more = f" and {len(pickled) - SHOWN} more" if len(pickled) > SHOWN else ""
        click.echo(
            f"Warning: {', '.join(pickled[:SHOWN])}{more}: loading a pickle runs the code in it. "
            "Keep weights as safetensors, or load them with torch.load(..., weights_only=True), where you trust them.",
            err=True,
        )
