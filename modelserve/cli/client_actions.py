"""What the subcommands of ``modelserve clients`` do. Each prints its answer and returns the exit status.

Settings -> the database, opened as the server does -> Clients -> standard output

A token is all that goes to standard output where it is asked for, so that it can go straight into a file. Everything
else is said on standard error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from modelserve.access.client import Role
from modelserve.access.clients import Clients, Listed
from modelserve.cli import screen
from modelserve.jobs.data_folder import data_folder, has_database
from modelserve.jobs.opening import open_database
from modelserve.settings import Settings

__all__ = ["add", "list_clients", "revoke", "rotate"]

# How long a database that another program has locked, or that does not answer, is waited for.
WAIT_S = 10.0

COLUMNS = ("client", "role", "deployments", "token", "expires")


def add(
    settings: Settings,
    name: str,
    role: Role,
    deployments: Sequence[str],
    expires: datetime | None,
    *,
    as_json: bool,
) -> int:
    """Add a client and print its token."""
    with _opened(settings) as (found, where):
        token = found.add(name, role, deployments, expires)
        _print_token(name, token, as_json=as_json)
        _say(f"{name} is added in {where}. This token is shown only now; keep it as a password.")
    return 0


def rotate(settings: Settings, name: str, expires: datetime | None, keep: timedelta, *, as_json: bool) -> int:
    """Print a new token of a client."""
    with _opened(settings) as (found, _):
        token = found.rotate(name, expires, keep_s=keep.total_seconds())
        _print_token(name, token, as_json=as_json)
    _say("This token is shown only now; keep it as a password.")
    return 0


def revoke(settings: Settings, name: str, token_id: str, *, as_json: bool) -> int:
    """Revoke one token of a client, or all for ""."""
    with _opened(settings) as (found, _):
        count = found.revoke(name, token_id)
    if as_json:
        _print_json({"name": name, "revoked": count})
    _say(f"{count} {'token is' if count == 1 else 'tokens are'} revoked.")
    return 0


def list_clients(settings: Settings, *, as_json: bool) -> int:
    """List all clients."""
    listed: list[Listed] = []
    if has_database(settings.database, settings.data_dir):  # only to look is no reason to make one
        with _opened(settings) as (found, _):
            listed = found.list()
    if as_json:
        _print_json([_as_json(client) for client in listed])
    elif listed:
        screen.show_table(screen.console(), COLUMNS, [row for client in listed for row in _rows(client)])
    else:
        _say("There are no clients: everybody who reaches the server may do everything.")
    return 0


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Clients, str]]:
    """Open the database for the block; give the clients in it, and where it is in words."""
    database = open_database(settings.database, data_folder(settings.data_dir), wait_s=WAIT_S)
    with contextlib.closing(database):
        yield Clients(database), database.where


def _rows(client: Listed) -> Iterator[tuple[str, ...]]:
    """Yield a row for each token; a client without one has a row that says so."""
    known = (client.name, client.role.value, ", ".join(client.deployments) or "all")
    for token in client.tokens:
        yield (*known, token.id, "never" if token.expires is None else token.expires.isoformat(timespec="seconds"))
    if not client.tokens:
        yield (*known, "none is valid", "")


def _as_json(client: Listed) -> dict[str, Any]:
    tokens = [
        {"id": token.id, "created": _time(token.created), "expires": token.expires and _time(token.expires)}
        for token in client.tokens
    ]
    return {
        "name": client.name,
        "role": client.role.value,
        "deployments": list(client.deployments),
        "created": _time(client.created),
        "tokens": tokens,
    }


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _print_token(name: str, token: str, *, as_json: bool) -> None:
    if as_json:
        _print_json({"name": name, "token": token})
    else:
        click.echo(token)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
