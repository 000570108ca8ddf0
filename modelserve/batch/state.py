"""What is kept beside an output while it is written, so that the same command goes on where it ended.

    OUT.jsonl.state: {"task": what was asked, "rows": 1200, "failed": 3, "bytes": 88211, "is_complete": false}

The counts are true of the first ``bytes`` of the output, which were on disk before the state was written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from modelserve.errors import SettingsError

__all__ = ["State", "check_task", "read_state", "state_path", "write_state"]

FORMAT = 1


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far an output has come. ``task`` is all that the answers depend on."""

    task: dict[str, Any]
    rows: int = 0
    failed: int = 0
    bytes: int = 0
    is_complete: bool = False
    format: int = FORMAT


def state_path(output: Path) -> Path:
    """Return where the state of an output lies."""
    return output.with_name(output.name + ".state")


def read_state(output: Path) -> State | None:
    """Return the state of an output, None where it has none.

    Raises:
        SettingsError: It cannot be read, or another version of modelserve wrote it.
    """
    path = state_path(output)
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}. --restart begins anew.") from error
    if state.format != FORMAT:
        raise SettingsError(f"{path} was written by another version of modelserve. --restart begins anew.")
    return state


def write_state(output: Path, state: State) -> None:
    """Put a new state in the place of the old one, whole and on disk.

    Raises:
        OSError: It cannot be written; the old one is still there.
    """
    path = state_path(output)
    new = path.with_name(path.name + ".new")
    with open(new, "wb") as file:
        file.write(msgspec.json.encode(state) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def check_task(output: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Check that an output was begun by the same task.

    Raises:
        SettingsError: It was not; the message names what is another.
    """
    others = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if others:
        raise SettingsError(
            f"{output} was begun with another {', '.join(others)}. "
            "--restart begins anew; another --output leaves it as it is."
        )
