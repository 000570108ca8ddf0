"""The data folders that a database knows: each by the mark that lies in the folder too, and that changes together."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select, update

from modelserve.jobs.database import Database
from modelserve.jobs.tables import folders, jobs

__all__ = ["Folders"]

# Of how many jobs it is asked at once whether one is known.
ASKED_AT_ONCE = 500


class Folders:
    """The data folders of one database; every method may raise what the store's methods do.

    Args:
        database: An open one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, place: str) -> str | None:
        """Return the mark of a data folder, None where it has never been seen."""
        with self._database.reading() as connection:
            found: str | None = connection.execute(select(folders.c.mark).where(folders.c.place == place)).scalar()
            return found

    def set_mark(self, place: str, before: str | None, mark: str) -> bool:
        """Give a data folder another mark, unless it has been given one meanwhile; tell whether it was."""
        same = update(folders).where(folders.c.place == place, folders.c.mark == before).values(mark=mark)
        with self._database.writing() as connection:
            if before is not None:
                return connection.execute(same).rowcount == 1
            connection.execute(insert(folders).values(place=place, mark=mark))
            return True

    def knows_any(self, uuids: Sequence[str]) -> bool:
        """Tell whether there is a job of one of these ids."""
        query = select(jobs.c.id).where(jobs.c.uuid.in_(uuids[:ASKED_AT_ONCE])).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None
