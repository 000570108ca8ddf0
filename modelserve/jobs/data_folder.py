"""Where a server keeps its jobs, by its setting ``data_dir``."""

from __future__ import annotations

from pathlib import Path

from modelserve.errors import SettingsError, StoreUnreachable
from modelserve.text import is_text, shown

__all__ = ["DATABASE_FILE", "data_folder", "has_database"]

# The database in it, where the settings name no other.
DATABASE_FILE = "modelserve.db"

HOMELESS = (
    "There is no data folder, since this user has no home: give one with --data-dir, or serve without jobs "
    "(train = false)."
)


def data_folder(data_dir: str) -> Path:
    """Return the data folder, which need not be there; "" is the user's own folder for data, as the system has it.

    Raises:
        SettingsError: Its name is no text.
        StoreUnreachable: It is the user's own, and the user has no home, as in a container that runs under any number.
    """
    if data_dir:
        return Path(data_dir)
    import platformdirs  # only where it is asked

    try:
        path = platformdirs.user_data_path("modelserve", appauthor=False)
    except RuntimeError as error:
        raise StoreUnreachable(HOMELESS) from error
    if not path.is_absolute():  # so does an older platformdirs say it
        raise StoreUnreachable(HOMELESS)
    if not is_text(str(path)):
        raise SettingsError(f"The data folder {shown(str(path))} has bytes that are no UTF-8: set --data-dir.")
    return path


def has_database(database: str, data_dir: str) -> bool:
    """Tell whether there is a database, by these settings; one that is named is, until it turns out otherwise."""
    if database:
        return True
    try:
        return (data_folder(data_dir) / DATABASE_FILE).exists()
    except StoreUnreachable:
        return False
