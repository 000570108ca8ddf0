"""Which version the tables of a database have, and how they become those of this program.

    ""  ->  HEAD          an empty database gets the tables as they are now
    0001  ->  ...  ->  HEAD          what an older version has written goes through the migrations

Anything else was written by a newer modelserve. Alembic, which takes time and memory to load, is loaded only where
there is something to change.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, insert, inspect, text

from modelserve.jobs.tables import generation, metadata

__all__ = ["HEAD", "bring_up", "is_newer", "version"]

# The newest version under migrations/.
HEAD = "0005"

_KNOWN = ("", "0001", "0002", "0003", "0004", "0005")

# As Alembic makes it, which looks for it the next time.
_MAKE_VERSION = """
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""


def version(connection: Connection) -> str:
    """Return the version of the tables, "" where there are none of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def is_newer(version: str) -> bool:
    """Tell whether a version is none that this program knows."""
    return version not in _KNOWN


def bring_up(connection: Connection, version: str) -> None:
    """Bring the tables from this version to the newest, in the transaction that the connection is in."""
    if version:
        _upgrade(connection)
    else:
        _make(connection)


def _make(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)  # a table of that name is another program's
    connection.execute(insert(generation).values(id=1, number=0))
    connection.execute(text(_MAKE_VERSION))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Alembic reads the path through configparser, where a percent sign has a meaning.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
