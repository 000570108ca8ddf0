"""Where a server keeps its jobs, by its setting ``data_dir``."""

from __future__ import annotations

from pathlib import Path

__all__ = ["data_folder"]


def data_folder(data_dir: str) -> Path:
    """Return the data folder, which need not be there; "" is the user's own folder for data, as the system has it."""
    if data_dir:
        return Path(data_dir)
    import platformdirs  # only where it is asked

    return platformdirs.user_data_path("modelserve", appauthor=False)
