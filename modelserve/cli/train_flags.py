"""The flags of ``modelserve train``: its own, which may stand before or after MODEL, and the model's.

what follows MODEL + the model's arguments  ->  Wanted
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from modelserve.cli.arguments import options
from modelserve.cli.complaints import flags_of
from modelserve.cli.token import TOKEN_HELP
from modelserve.messages import Argument

__all__ = ["Address", "Wanted", "own_options", "parsed", "value_of"]

# Flags of the command itself; an argument of that name gets --arg-NAME.
RESERVED = frozenset({"--url", "--token-file", "--artifacts", "--json", "--follow", "--no-follow", "--help", "-h"})


class Wanted(NamedTuple):
    """What the command line asked for; ``flags`` are the arguments' flags by name, for messages."""

    values: list[tuple[Argument, list[str]]]
    flags: dict[str, str]
    artifacts: str
    as_json: bool
    is_followed: bool

    @property
    def shown_values(self) -> dict[str, str | list[str]]:
        """The values by argument as they were written."""
        return {argument.name: texts if len(texts) > 1 else texts[0] for argument, texts in self.values}


class Address(click.ParamType[str]):
    """The address of a server, without a slash at its end."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address, or fail with a sentence."""
        text = str(value).rstrip("/")
        try:
            parts = urlsplit(text)
            is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_right = False
        if not is_right or parts.query or parts.fragment:
            self.fail(f"{value!r} is no address such as http://127.0.0.1:5000.", param, ctx)
        return text


def own_options(before: Mapping[str, Any]) -> list[click.Parameter]:
    """Return the command's own options; ``before`` has those given before MODEL, which hold unless given again."""
    return [
        click.Option(
            ["--url"], type=Address(), default=before.get("url"), metavar="URL", help="Train on the server there."
        ),
        click.Option(["--token-file"], default=before.get("token_file"), metavar="FILE", help=TOKEN_HELP),
        click.Option(
            ["--artifacts"],
            default=before.get("artifacts"),
            metavar="FOLDER",
            help="Where the files go that the training keeps.",
        ),
        click.Option(
            ["--follow/--no-follow"],
            default=before.get("follow", True),
            help="With --no-follow and --url, return once the server has taken the training.",
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            default=before.get("as_json", False),
            help="Print a JSON object for each event and, as the last, for the job.",
        ),
    ]


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """Return a flag's value among words that cannot be parsed yet, since the model's flags are not known."""
    found = None
    for word, following in zip(words, [*words[1:], None], strict=False):
        name, equals, value = word.partition("=")
        if name == flag:
            found = value if equals else following
    return found


def parsed(
    arguments: Sequence[Argument], words: Sequence[str], *, name: str, help: str, before: Mapping[str, Any]
) -> Wanted | None:
    """Return what the words after MODEL ask for, None where they asked for help and got it.

    Args:
        arguments: Those of the model's ``train``.
        words: What follows MODEL.
        name: The command as the user wrote it, for messages.
        help: What stands above the flags.
        before: The command's own options that stood before MODEL.
    """
    known = options(arguments, RESERVED)

    def collect(artifacts: str | None, follow: bool, as_json: bool, **given: Any) -> Wanted:
        values = [(known[key][0], _as_list(given[key])) for key in known if given[key] not in (None, ())]
        return Wanted(values, flags_of(known), artifacts or "", as_json, follow)

    command = click.Command(
        "train",
        callback=collect,
        params=[*(option for _, option in known.values()), *own_options(before)],
        help=help,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    wanted = command.main(list(words), name, standalone_mode=False)
    return wanted if isinstance(wanted, Wanted) else None  # the status of --help


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
