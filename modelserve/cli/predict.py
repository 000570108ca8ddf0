"""``modelserve predict``: one prediction, from flags made of the model's own arguments."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from modelserve.batch.media import check_accept
from modelserve.cli import screen
from modelserve.cli.arguments import CallBuilder, options
from modelserve.cli.complaints import flags_of, say_failure
from modelserve.cli.flags import settings_options
from modelserve.cli.one_model import started
from modelserve.cli.output import file_of, write
from modelserve.cli.scratch import temporary_folder
from modelserve.errors import NoModel, SettingsError
from modelserve.messages import Answer, Argument, Description, Part
from modelserve.regular_files import read_regular
from modelserve.runtime.fleet import Deployment, Streamed

__all__ = ["predict"]

EPILOG = """\b
Examples:
  modelserve predict digits --help                          the model's own flags
  modelserve predict digits --image seven.png --top-k 3
  modelserve predict digits --image seven.png --accept image/png --output chart.png
"""


class _Request(NamedTuple):
    """What the model's command line asked for."""

    values: list[tuple[Argument, list[str]]]
    accept: str
    output: str


@click.command(
    epilog=EPILOG,
    # What follows MODEL is the model's: its flags are known only once it is loaded.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
    options_metavar="[OPTIONS]",
)
@settings_options("group", "device", "temp_dir", "unknown_arguments", "nan_answers", "log_level", "log_format")
@click.argument("model")
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--ARG VALUE]... [--accept TYPE] [--output FILE]"
)
@click.pass_context
def predict(context: click.Context, /, model: str, arguments: Sequence[str], **flags: Any) -> int:
    """Start one worker, run one prediction and print the answer.

    MODEL is what "modelserve run" takes. What follows it are the model's own arguments: files are given by their path,
    lists by repeating the flag, arrays and objects as JSON or @FILE. OPTIONS stand before MODEL.
    """
    return asyncio.run(_predict(context, model, arguments, flags))


async def _predict(context: click.Context, model: str, arguments: Sequence[str], flags: dict[str, Any]) -> int:
    async with started(model, flags) as deployment:
        if deployment.description is None:
            if deployment.failure is not None:
                screen.show_failure(screen.console(sys.stderr), deployment.name, deployment.failure)
            return NoModel.exit_code
        command = _command(deployment.description)
        asked = command.main(list(arguments), f"{context.command_path} {model}", standalone_mode=False)
        if not isinstance(asked, _Request):  # --help was answered
            return int(asked)
        _check_accept(deployment.description, asked.accept)
        answer = await _call(deployment, asked)
    return _write(answer, asked.output, deployment.description)


def _check_accept(description: Description, accept: str) -> None:
    try:
        check_accept(description, accept)
    except SettingsError as error:  # over HTTP it is a 406, a failure of the call
        raise click.ClickException(error.message) from error


async def _call(deployment: Deployment, asked: _Request) -> Answer:
    with temporary_folder() as folder:
        builder = CallBuilder(Path(folder))
        for argument, values in asked.values:
            builder.add(argument, values)
        answer = await deployment.call(builder.build(asked.accept))
        if isinstance(answer, Streamed) and answer.parts is not None:
            return await _collected(answer, answer.parts)
        # A file lies in the worker's folder, which goes with the worker.
        return _with_body(answer)


async def _collected(answer: Answer, parts: AsyncIterator[Part]) -> Answer:
    """Return a streamed answer as a whole one, or as the failure that it ended with."""
    async for part in parts:
        answer.body += part.data
        answer.failure = part.failure
    return answer


def _command(description: Description) -> click.Command:
    """Return the model's own command, whose result is what was asked for."""
    known = options(description.predict)

    def collect(accept: str | None, output: str | None, **given: Any) -> _Request:
        values = [(known[name][0], _as_list(value)) for name, value in given.items() if value not in (None, ())]
        return _Request(values, accept or "", file_of(output))

    types = ", ".join(description.media_types)
    return click.Command(
        "predict",
        callback=collect,
        params=[
            *(option for _, option in known.values()),
            click.Option(["--accept"], metavar="TYPE", help=f"Media type of the answer: {types}."),
            click.Option(["--output"], metavar="FILE|-", help="Write the answer to this file."),
        ],
        help=f"{description.metadata.name}: {description.metadata.description}",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _with_body(answer: Answer) -> Answer:
    """Return the answer with the file's bytes in its body, as the file will be gone."""
    if answer.file is not None:
        answer.body = read_regular(answer.file.path)
        if answer.file.delete:
            os.unlink(answer.file.path)
    return answer


def _write(answer: Answer, output: str, description: Description) -> int:
    if answer.failure is not None:
        say_failure(answer.failure, flags_of(options(description.predict)))
        return 1
    write(answer.body, answer.content_type, output, is_stream=answer.stream)
    return 0
