"""``modelserve train`` without a server: one process of its own is started, trains, and goes; nothing is stored.

MODEL -> Fleet.training -> its Description -> flags -> Call -> LocalTraining -> what there is to say of its end
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from modelserve import discovery, logs
from modelserve.cli import screen
from modelserve.cli.arguments import CallBuilder, WrongUse
from modelserve.cli.complaints import say_failure
from modelserve.cli.flags import settings_from
from modelserve.cli.following import showing
from modelserve.cli.interrupts import INTERRUPTED
from modelserve.cli.local_training import Ear, End, LocalTraining
from modelserve.cli.one_model import QUIET
from modelserve.cli.output import write
from modelserve.cli.scratch import temporary_folder
from modelserve.cli.train_flags import Wanted, parsed, value_of
from modelserve.errors import NoModel, NotImplementedByModel
from modelserve.messages import Call, Description
from modelserve.runtime.fleet import Fleet
from modelserve.runtime.interface import Replica, StartFailed

__all__ = ["train_here"]

# A process that has nothing more to do may take this long to end by itself.
WAIT_S = 1.0

# The call's id is unique within the process that takes it, and it takes one.
CALL_ID = 1


class _Place(NamedTuple):
    """The folders and the file of one training."""

    uploads: Path
    log: Path
    artifacts: Path
    is_kept: bool


async def train_here(
    command: str, model: str, words: Sequence[str], *, settings: Mapping[str, Any], before: Mapping[str, Any]
) -> int:
    """Run a training in a process of its own and return the exit status.

    Args:
        command: The command as the user wrote it, for messages.
        model: What ``modelserve run`` takes as MODEL.
        words: What follows it.
        settings: The settings given as flags, by name.
        before: The command's own options that stood before MODEL.

    Raises:
        StartError: There is no such model, or a setting is wrong.
        NotImplementedByModel: The model cannot be trained.
    """
    with temporary_folder() as folder:
        place = _place(Path(folder), value_of("--artifacts", words) or before.get("artifacts") or "")
        async with _fleet(model, settings) as (fleet, name), _replica(fleet, name, place) as (replica, ear):
            description = await _description(replica, ear, name)
            if description is None:
                return NoModel.exit_code
            if "train" not in description.implements:
                raise NotImplementedByModel(f"{model} has no train method, so it cannot be trained.")
            title = f"Train {description.metadata.name}: {description.metadata.description}"
            wanted = parsed(description.train, words, name=f"{command} {model}", help=title, before=before)
            if wanted is None:
                return 0
            end = await _end(replica, ear, _call(wanted, place), name=name, wanted=wanted, place=place)
        return _say(end, wanted, place)


def _place(folder: Path, artifacts: str) -> _Place:
    """Make the folders; without a name for it, the one of artifacts goes with the others."""
    kept = Path(artifacts).absolute() if artifacts else folder / "artifacts"
    (folder / "uploads").mkdir()
    (folder / "log").touch()
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"--artifacts {artifacts}: the folder cannot be made ({error.strerror}).") from error
    return _Place(folder / "uploads", folder / "log", kept, bool(artifacts))


@contextlib.asynccontextmanager
async def _fleet(model: str, flags: Mapping[str, Any]) -> AsyncIterator[tuple[Fleet, str]]:
    """Yield a fleet without workers that predict, and the model's name in it."""
    chosen = settings_from(flags, defaults=QUIET)
    refs = discovery.find([model], chosen.group, deployments=chosen.models, python_of=chosen.python_of)
    settings = dataclasses.replace(chosen.of(refs[0].name), workers=0)
    logs.configure(settings.log_level, settings.log_format)
    if flags.get("log_level") is None:  # the command itself says what goes wrong
        logging.getLogger("modelserve.runtime").setLevel(logging.CRITICAL)
    async with Fleet(refs, settings) as fleet:
        yield fleet, refs[0].name


@contextlib.asynccontextmanager
async def _replica(fleet: Fleet, name: str, place: _Place) -> AsyncIterator[tuple[Replica, Ear]]:
    replica = fleet.training(name, 0, log_path=str(place.log), artifacts=str(place.artifacts))
    try:
        yield replica, Ear()
    finally:
        await replica.stop(WAIT_S)


async def _description(replica: Replica, ear: Ear, name: str) -> Description | None:
    """Start the process and return what the model says of itself, None where it could not and that has been said."""
    with screen.progress() as show:
        show(f"loading {name} ...")
        try:
            return await replica.start(ear)
        except StartFailed as error:
            failed = error.failed
    screen.show_failure(screen.console(sys.stderr), name, failed)
    return None


def _call(wanted: Wanted, place: _Place) -> Call:
    builder = CallBuilder(place.uploads)
    for argument, values in wanted.values:
        builder.add(argument, values)
    call = builder.build("")
    call.id = CALL_ID
    return call


async def _end(replica: Replica, ear: Ear, call: Call, *, name: str, wanted: Wanted, place: _Place) -> End:
    with showing(name, as_json=wanted.as_json) as display:
        training = LocalTraining(replica, ear, display, wait_s=WAIT_S)
        return await training.run(call, place.log)


def _say(end: End, wanted: Wanted, place: _Place) -> int:
    """Say how the training ended, and return the exit status."""
    lost = 0 if place.is_kept else sum(path.is_file() for path in place.artifacts.rglob("*"))
    if lost:
        click.echo(f"artifacts written: {lost}. They are gone; --artifacts FOLDER keeps them.", err=True)
    if wanted.as_json:
        click.echo(json.dumps({**end.job(), "args": wanted.shown_values}))
    elif end.failure is not None:
        # The traceback stands in the log, which has been shown.
        say_failure(msgspec.structs.replace(end.failure, log=""), wanted.flags)
    elif end.status == "done":
        write(end.output + b"\n", "application/json", "")
    return {"done": 0, "cancelled": INTERRUPTED}.get(end.status, 1)
