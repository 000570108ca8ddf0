"""The tables of the store, and the clock that all its times come from.

    jobs       one row for each job, small: what a list shows
    requests   what is needed to run a job; goes when it ends
    outputs    what a job has returned, where it is small enough
    points     the metrics of each step, for plots
    owners     when each server last said that it lives, how often it has, and what it serves
    folders    the data folders that belong to this database, each with the mark that it has too
    callbacks  which ended jobs are still to be posted to their callback_url, and what became of it
    clients    who may call, and what
    tokens     by what a client is known; of the secret only a hash
    generation one number, which grows with each change to clients and tokens

Times are seconds since 1970 in UTC, by the database's own clock: servers that share a database share its clock. A job's
place in every order is its ``id``, a number that grows, so that two jobs of one millisecond have an order too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = [
    "Now",
    "callbacks",
    "clients",
    "folders",
    "generation",
    "jobs",
    "metadata",
    "outputs",
    "owners",
    "points",
    "requests",
    "tokens",
]

metadata = MetaData()

# SQLite numbers rows by itself only where the type is spelt INTEGER; it is as wide as BIGINT there.
_Number = BigInteger().with_variant(Integer, "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("uuid", String(32), nullable=False, unique=True),
    Column("deployment", Text, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    # The number of its end, which grows from end to end whatever the clock does; null before, and for older ends.
    Column("ended", BigInteger),
    Column("message", Text, nullable=False),
    Column("progress", Double),
    Column("metrics", Text, nullable=False),
    # The number of the last step, and how many points are kept of them.
    Column("step", BigInteger, nullable=False),
    Column("points", Integer, nullable=False),
    Column("output_bytes", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("place", String(32), nullable=False),
    Column("retries", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", String(32), nullable=False),
    Column("callback_url", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    # A hash of the client's Idempotency-Key, null for none: nulls are never equal.
    Column("key", String(64)),
    Column("args", Text, nullable=False),
    # The id of the client that submitted it, "" where nobody had to say.
    Column("client", Text, nullable=False, server_default=""),
    # What validated it, "" where that is not known: no other model runs it.
    Column("model", Text, nullable=False, server_default=""),
    # The size of what is needed to run it, while that is kept.
    Column("request_bytes", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("deployment", "operation", "key", name="one_job_of_a_key"),
    # Lists: newest first. The queue: the oldest of those that may be taken, found without reading a row.
    Index("jobs_of_a_list", "deployment", "operation", "id"),
    Index("jobs_of_a_client", "client", "deployment", "operation", "id"),
    Index("jobs_in_a_queue", "status", "id", "deployment", "operation", "place"),
    Index("jobs_by_their_end", "ended"),
    sqlite_autoincrement=True,  # a number is never given twice, so a cursor never points to another job
)

requests = Table(
    "requests",
    metadata,
    Column("job", _Number, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("request", LargeBinary, nullable=False),
)

outputs = Table(
    "outputs",
    metadata,
    Column("job", _Number, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("output", LargeBinary, nullable=False),
)

points = Table(
    "points",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("job", _Number, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("metrics", Text, nullable=False),
    Index("points_of_a_job", "job", "id"),
)

owners = Table(
    "owners",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("beat", Double, nullable=False),
    # Grows with each beat. Others watch whether it changes, by clocks of their own: no clock of a database is steady.
    Column("beats", BigInteger, nullable=False, server_default="0"),
    # JSON: the models that it serves, as jobs name them, by deployment.
    Column("serves", Text, nullable=False, server_default=""),
)

# A data folder and its database know each other by the mark, which changes with each tidying.
folders = Table(
    "folders",
    metadata,
    Column("place", String(32), primary_key=True),
    Column("mark", String(32), nullable=False),
)

# One row for each job that has ended and has a callback_url.
callbacks = Table(
    "callbacks",
    metadata,
    Column("job", _Number, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # How often it was tried. A try begins by counting it, so of two servers only one can begin it.
    Column("tries", Integer, nullable=False),
    # When it is to be tried next, or, during a try, when that has failed without a word; null once it is over.
    Column("due", Double),
    # What became of it, "" until it is over.
    Column("outcome", String(16), nullable=False),
    Index("callbacks_that_are_due", "due"),
)

# A client whose tokens are all revoked stays: as long as there is a row, nobody calls without a token.
clients = Table(
    "clients",
    metadata,
    Column("name", String(64), primary_key=True),
    # Whose the jobs are, never given twice. Clients of before this was kept have their name, which no new id can be.
    Column("id", String(64), nullable=False, server_default=""),
    Column("role", String(16), nullable=False),
    # JSON: the names of the deployments that it may call, an empty list for all.
    Column("deployments", Text, nullable=False),
    Column("created", Double, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("client", String(64), ForeignKey("clients.name", ondelete="CASCADE"), nullable=False),
    # SHA-256 of the secret.
    Column("digest", LargeBinary(32), nullable=False),
    Column("created", Double, nullable=False),
    # Null for one that does not expire.
    Column("expires", Double),
    Index("tokens_of_a_client", "client"),
)

# One row, of id 1.
generation = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)


class Now(FunctionElement[float]):
    """The database's clock at this statement, in seconds since 1970 in UTC, exact to a millisecond or better."""

    type = Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def _now_of_sqlite(element: Now, compiler: SQLCompiler, **options: Any) -> str:
    return "round((julianday('now') - 2440587.5) * 86400.0, 3)"


@compiles(Now, "postgresql")
def _now_of_postgresql(element: Now, compiler: SQLCompiler, **options: Any) -> str:
    # Not now(): that is when the transaction began, which may have waited for a lock since.
    return "extract(epoch from clock_timestamp())::double precision"
