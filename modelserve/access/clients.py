"""The clients and tokens in the database: added, listed, revoked, rotated; and read into a snapshot for the roll.

Every change is one transaction, which also raises the generation: by that number servers see that there is news. It
blocks. Every method raises StoreUnavailable where the database cannot be used now; then nothing has changed.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from modelserve.access import token
from modelserve.access.client import CLIENT_RULE, Client, Role, is_client_name
from modelserve.access.roll import Entry, Snapshot
from modelserve.errors import BadRequest, Conflict, NotFound
from modelserve.jobs.database import Database
from modelserve.jobs.tables import Now, clients, generation, tokens

__all__ = ["Clients", "Listed", "ListedToken"]

_VALID = or_(tokens.c.expires.is_(None), tokens.c.expires > Now())

_FOREVER_S = float("inf")


@dataclasses.dataclass(frozen=True)
class ListedToken:
    """A token as a list shows it, which is all that is known of it; times are UTC, ``expires`` None for never."""

    id: str
    created: datetime
    expires: datetime | None


@dataclasses.dataclass(frozen=True)
class Listed:
    """A client as a list shows it, with its valid tokens; ``deployments`` are empty for all."""

    name: str
    role: Role
    deployments: tuple[str, ...]
    created: datetime
    tokens: tuple[ListedToken, ...]


class Clients:
    """The clients of one database.

    Args:
        database: An open one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, role: Role, deployments: Iterable[str] = (), expires: datetime | None = None) -> str:
        """Add a client and return its token, which nobody can be told again.

        A client whose tokens are all revoked or expired may be added anew. One whose tokens were revoked is another one
        then: it has no jobs yet, whoever had the name before.

        Raises:
            BadRequest: The name is none that a client may have.
            Conflict: There is a client of this name with a valid token.
        """
        if not is_client_name(name):
            raise BadRequest(f"The name {name!r} must be {CLIENT_RULE}.")
        row = {"role": role.value, "deployments": _to_json(sorted(set(deployments)))}
        try:
            with self._database.writing() as connection:
                _count_change(connection)
                if connection.execute(select(tokens.c.id).where(tokens.c.client == name, _VALID)).first():
                    raise _taken(name)
                if not connection.execute(select(tokens.c.id).where(tokens.c.client == name)).first():
                    row["id"] = _new_id()
                if not connection.execute(update(clients).where(clients.c.name == name).values(row)).rowcount:
                    connection.execute(insert(clients).values(name=name, created=Now(), **row))
                return _add_token(connection, name, _seconds(expires))
        except IntegrityError as error:  # another program has added it at this moment
            raise _taken(name) from error

    def list(self) -> list[Listed]:
        """Return all clients by name, also those without a valid token."""
        by_name: dict[str, list[ListedToken]] = {}
        with self._database.reading() as connection:
            found = connection.execute(select(clients).order_by(clients.c.name)).mappings().all()
            for row in connection.execute(select(tokens).where(_VALID).order_by(tokens.c.created)).mappings():
                by_name.setdefault(row["client"], []).append(_listed_token(row))
        return [_listed(row, tuple(by_name.get(row["name"], ()))) for row in found]

    def revoke(self, name: str, token_id: str = "") -> int:
        """Revoke one token of a client, or all of them; return how many that were.

        The client stays in the list: a server with clients must not become open because the last one is revoked.

        Raises:
            NotFound: There is no such client, or it has no such token.
        """
        wanted = [tokens.c.client == name] + ([tokens.c.id == token_id] if token_id else [])
        with self._database.writing() as connection:
            _require(connection, name)
            _count_change(connection)
            count = connection.execute(delete(tokens).where(*wanted)).rowcount
            if token_id and not count:
                raise NotFound(f"The client {name!r} has no token {token_id!r}.")
        return count

    def rotate(self, name: str, expires: datetime | None = None, *, keep_s: float = 0.0) -> str:
        """Give a client a new token and return it; its others end.

        Args:
            name: The client.
            expires: When the new one does; None for as long after its making as the newest of the others.
            keep_s: How long the others stay valid.

        Raises:
            NotFound: There is no such client, or it has no valid token.
        """
        with self._database.writing() as connection:
            _require(connection, name)
            _count_change(connection)
            mine = (tokens.c.client == name, _VALID)
            old = connection.execute(select(tokens).where(*mine).order_by(tokens.c.created.desc())).mappings().all()
            if not old:
                raise NotFound(f"The client {name!r} has no valid token to be rotated: add it anew.")
            connection.execute(delete(tokens).where(tokens.c.client == name, ~_VALID))
            if keep_s:
                sooner = or_(tokens.c.expires.is_(None), tokens.c.expires > Now() + keep_s)
                connection.execute(update(tokens).where(*mine, sooner).values(expires=Now() + keep_s))
            else:
                connection.execute(delete(tokens).where(tokens.c.client == name))
            return _add_token(connection, name, _seconds(expires) or _as_long(old[0]))

    def snapshot(self, known: int = -1) -> Snapshot | None:
        """Return what a roll needs, None where nothing has changed since the generation that it knows."""
        with self._database.reading() as connection:
            number = connection.execute(select(generation.c.number)).scalar_one()
            if number == known:
                return None
            now = time.monotonic()
            its = (clients.c.id.label("client_id"), clients.c.role, clients.c.deployments)
            joined = select(tokens, *its, Now().label("now")).join(clients)
            rows = connection.execute(joined.where(_VALID)).mappings().all()
            has_clients = connection.execute(select(clients.c.name).limit(1)).first() is not None
        return Snapshot(number, {row["id"]: _entry(row, now) for row in rows}, has_clients)


def _count_change(connection: Connection) -> None:
    """First of all in a change, so that on PostgreSQL changes wait for each other."""
    connection.execute(update(generation).values(number=generation.c.number + 1))


def _require(connection: Connection, name: str) -> None:
    if connection.execute(select(clients.c.name).where(clients.c.name == name)).first() is None:
        raise NotFound(f"There is no client {name!r}.")


def _new_id() -> str:
    """Return an id that no client has had, and that is nobody's name."""
    return f"#{secrets.token_hex(16)}"


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a client {name!r} already: rotate its token, or revoke it first.")


def _add_token(connection: Connection, name: str, expires: float | ColumnElement[float] | None) -> str:
    made = token.make()
    row = {"id": made.id, "client": name, "digest": made.digest, "expires": expires}
    connection.execute(insert(tokens).values(**row, created=Now()))
    return made.text


def _as_long(old: Any) -> ColumnElement[float] | None:
    return None if old["expires"] is None else Now() + (old["expires"] - old["created"])


def _entry(row: Any, now: float) -> Entry:
    """Times of the database become monotonic ones: a clock that is set does not make a token live longer."""
    deployments = frozenset(_from_json(row["deployments"]))
    client = Client(row["client"], Role(row["role"]), deployments, row["id"], row["client_id"] or row["client"])
    left_s = _FOREVER_S if row["expires"] is None else row["expires"] - row["now"]
    return Entry(row["digest"], client, now + left_s)


def _listed(row: Any, its: tuple[ListedToken, ...]) -> Listed:
    deployments = tuple(_from_json(row["deployments"]))
    return Listed(row["name"], Role(row["role"]), deployments, _time(row["created"]), its)


def _listed_token(row: Any) -> ListedToken:
    return ListedToken(row["id"], _time(row["created"]), None if row["expires"] is None else _time(row["expires"]))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _from_json(text: str) -> Any:
    return msgspec.json.decode(text)
