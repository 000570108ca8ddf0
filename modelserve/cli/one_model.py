"""One model in workers of its own, for the commands that need no server."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from modelserve import discovery, logs
from modelserve.cli import screen
from modelserve.cli.flags import settings_from
from modelserve.runtime.fleet import Deployment, Fleet

__all__ = ["QUIET", "fleet_of", "only", "started"]

QUIET = {"log_level": "error"}


@contextlib.asynccontextmanager
async def started(model: str, flags: Mapping[str, Any]) -> AsyncIterator[Deployment]:
    """Start one worker for a model, wait until it is warm or has failed, and end it on leaving.

    Args:
        model: What ``modelserve run`` takes as MODEL.
        flags: The settings given as flags, by name.

    Raises:
        StartError: There is no such model, or a setting is wrong.
    """
    async with fleet_of(model, flags, own={"workers": 1}) as fleet:
        yield only(fleet)


@contextlib.asynccontextmanager
async def fleet_of(
    model: str, flags: Mapping[str, Any], *, defaults: Mapping[str, Any] = QUIET, own: Mapping[str, Any]
) -> AsyncIterator[Fleet]:
    """Start the workers of a model, wait until they are warm or have failed, and end them on leaving.

    Args:
        model: What ``modelserve run`` takes as MODEL.
        flags: The settings given as flags, by name.
        defaults: Other defaults of settings than the table's.
        own: Settings that the command decides, whatever else says so.

    Raises:
        StartError: There is no such model, or a setting is wrong.
    """
    chosen = settings_from(flags, defaults=defaults)
    refs = discovery.find([model], chosen.group, deployments=chosen.models, python_of=chosen.python_of)
    settings = dataclasses.replace(chosen.of(refs[0].name), **own)
    logs.configure(settings.log_level, settings.log_format)
    if flags.get("log_level") is None:  # the command itself says what goes wrong
        logging.getLogger("modelserve.runtime").setLevel(logging.CRITICAL)
    async with Fleet(refs, settings) as fleet:
        target = screen.console(sys.stderr)
        waiting = target.status(f"loading {refs[0].name} ...") if target.is_terminal else contextlib.nullcontext()
        with waiting:
            await fleet.started()
        yield fleet


def only(fleet: Fleet) -> Deployment:
    """Return the one deployment of a fleet."""
    (deployment,) = fleet.deployments.values()
    return deployment
