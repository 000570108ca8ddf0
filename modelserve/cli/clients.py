"""``modelserve clients``: who may call a server; added, listed, revoked and given new tokens in its database.

Here are only the commands and their flags. What they do stands in client_actions.py, which is loaded with the library
for databases once one of them runs. Nothing here asks a server: it need not run, and if it does, it sees the change.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from modelserve.access.client import CLIENT_RULE, Role, is_client_name
from modelserve.cli.flags import settings_from, settings_options
from modelserve.names import NAME_RULE, is_name

__all__ = ["clients"]

EPILOG = """\b
Examples:
  modelserve clients add alice
  modelserve clients add ci --role deployer --deployment digits --expires 90d
  modelserve clients list
  modelserve clients rotate ci --keep 1h           the old token is valid for an hour more
  modelserve clients revoke alice
"""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")


class Span(click.ParamType[timedelta]):
    """A time such as 90d, of minutes, hours, days or weeks."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the time, or fail with a sentence."""
        found = _SPAN.fullmatch(str(value))
        if found is None or not int(found[1]):
            self.fail(f"{value!r} must be a time such as 45m, 12h, 90d or 4w.", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


class Moment(click.ParamType[datetime]):
    """When something ends: a time from now on, or a date."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment in UTC, where a date that names no time zone begins, or fail with a sentence."""
        now = datetime.now(UTC)
        try:
            found = _SPAN.fullmatch(str(value))
            moment = now + Span().convert(value, param, ctx) if found else datetime.fromisoformat(str(value))
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} must be a time such as 12h or 90d, or a date such as 2030-01-31.", param, ctx)
        if moment <= now:
            self.fail(f"{value!r} has passed already.", param, ctx)
        return moment


class Name(click.ParamType[str]):
    """A name that fits a rule."""

    def __init__(self, name: str, is_right: Any, rule: str) -> None:
        self.name = name
        self._is_right = is_right
        self._rule = rule

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with a sentence."""
        if not self._is_right(str(value)):
            self.fail(f"{value!r} must be {self._rule}.", param, ctx)
        return str(value)


_where = settings_options("data_dir", "database")
_name = click.argument("name", type=Name("client", is_client_name, CLIENT_RULE))
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_expires = click.option("--expires", type=Moment(), metavar="WHEN", help="When the token ends: 12h, 90d, 2030-01-31.")


@click.group(epilog=EPILOG)
def clients() -> None:
    """Say who may call a server, in its database; as soon as there is a client, everybody needs a token.

    Run it as the user that the server runs as, with the same settings: it finds the database as the server does.
    """


@clients.command("add", epilog="Example: modelserve clients add ci --role deployer --deployment digits --expires 90d")
@_name
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.CLIENT.value,
    show_default=True,
    help="client: calls models; deployer: also trains and reloads them; admin: everything.",
)
@click.option(
    "--deployment",
    "deployments",
    type=Name("deployment", is_name, NAME_RULE),
    multiple=True,
    metavar="NAME",
    help="A deployment that it may call; repeatable.  [default: all]",
)
@_expires
@_as_json
@_where
def _add(
    name: str, role: str, deployments: tuple[str, ...], expires: datetime | None, as_json: bool, **flags: Any
) -> int:
    """Add a client and print its token, which is shown only this once."""
    from modelserve.cli.client_actions import add

    return add(settings_from(flags), name, Role(role), deployments, expires, as_json=as_json)


@clients.command("list", epilog="Example: modelserve clients list --json")
@_as_json
@_where
def _list(as_json: bool, **flags: Any) -> int:
    """List the clients and their valid tokens, by the tokens' public ids."""
    from modelserve.cli.client_actions import list_clients

    return list_clients(settings_from(flags), as_json=as_json)


@clients.command("revoke", epilog="Example: modelserve clients revoke alice")
@_name
@click.option("--token", "token_id", default="", metavar="ID", help="Only the token of this id.  [default: all]")
@_as_json
@_where
def _revoke(name: str, token_id: str, as_json: bool, **flags: Any) -> int:
    """Revoke a client's tokens; a running server refuses them within a second."""
    from modelserve.cli.client_actions import revoke

    return revoke(settings_from(flags), name, token_id, as_json=as_json)


@clients.command("rotate", epilog="Example: modelserve clients rotate ci --keep 1h")
@_name
@click.option("--keep", type=Span(), metavar="TIME", help="How long the old ones stay valid: 45m, 12h.  [default: 0]")
@_expires
@_as_json
@_where
def _rotate(name: str, keep: timedelta | None, expires: datetime | None, as_json: bool, **flags: Any) -> int:
    """Give a client a new token, which is shown only this once; the old ones end.

    Without --expires it is valid for as long as the old one was.
    """
    from modelserve.cli.client_actions import rotate

    return rotate(settings_from(flags), name, expires, keep or timedelta(0), as_json=as_json)
