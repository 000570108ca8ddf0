"""``modelserve train``: one training, on a server or here, from flags made of the model's own arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from modelserve.cli.flags import settings_options
from modelserve.cli.token import read_token
from modelserve.cli.train_flags import Address, own_options, value_of
from modelserve.cli.train_here import train_here

__all__ = ["train"]

EPILOG = """\b
Examples:
  modelserve train digits --help                             the model's own flags
  modelserve train digits --epochs 5 --artifacts out         here, without a server
  modelserve train digits --epochs 5 --url http://host:5000  on a server, and follow it
"""

OWN = ("url", "token_file", "artifacts", "follow", "as_json")


@click.command(
    epilog=EPILOG,
    # What follows MODEL is the model's: its flags are known only once it is loaded, or its server asked.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
    options_metavar="[OPTIONS]",
)
@settings_options("group", "device", "temp_dir", "unknown_arguments", "log_level", "log_format")
@click.argument("model")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--ARG VALUE]...")
@click.pass_context
def train(context: click.Context, /, model: str, arguments: Sequence[str], **flags: Any) -> int:
    """Train a model and print what its train method returns.

    With --url the server there trains MODEL, one of its deployments, as a job that goes on without this command. It is
    followed, and Ctrl-C asks whether to cancel it; a second one leaves it running.

    Without --url it is trained here by a process of its own, with the device and the other settings given before MODEL.
    The first Ctrl-C asks the training to stop, the second one ends it.

    What follows MODEL are the arguments of its train method: files are given by their path, lists by repeating the
    flag, arrays and objects as JSON or @FILE.
    """
    before = {name: flags.pop(name) for name in OWN}
    url = value_of("--url", arguments) or before["url"]
    if url:
        from modelserve.cli.train_there import train_there  # the web framework is loaded only where it is needed

        address = Address().convert(url, None, context)
        token = read_token(value_of("--token-file", arguments) or before["token_file"] or "")
        there = train_there(context.command_path, model, arguments, url=address, token=token, before=before)
        return asyncio.run(there)
    return asyncio.run(train_here(context.command_path, model, arguments, settings=flags, before=before))


train.params.extend(own_options({}))
