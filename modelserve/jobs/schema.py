"""Which version the tables of a database have, and how they become those of this program.

    ""  ->  0001  ->  ...  ->  HEAD          and anything else was written by a newer modelserve

Alembic, which takes a while to load, is loaded only where there is something to change.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

__all__ = ["HEAD", "is_newer", "upgrade", "version"]

# The newest version under migrations/.
HEAD = "0003"

_KNOWN = ("", "0001", "0002", "0003")


def version(connection: Connection) -> str:
    """Return the version of the tables, "" where there are none of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def is_newer(version: str) -> bool:
    """Tell whether a version is none that this program knows."""
    return version not in _KNOWN


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest version, in the transaction that the connection is in."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Alembic reads the path through configparser, where a percent sign has a meaning.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
