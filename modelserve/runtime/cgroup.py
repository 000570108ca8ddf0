"""Reads how much the control groups of this process let it use, of version 1 and 2: what a container may have.

    /proc/self/cgroup, /proc/self/mountinfo  ->  the folders of our group and those around it  ->  the least limit

See cgroups(7), and Documentation/admin-guide/cgroup-v2.rst and cgroup-v1 of Linux. How many CPUs there are is another
question, which sched_getaffinity(2) answers; a cpuset is in that already.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["cpu_limit", "memory_limit"]

# Version 1 says by a number near 2**63 that there is no limit.
NO_LIMIT_BYTES = 1 << 60


class _Mount(NamedTuple):
    """One mounted hierarchy: its file system, its controllers where it is of version 1, what is mounted and where."""

    kind: str
    controllers: list[str]
    root: str
    place: str


def cpu_limit(root: Path = Path("/")) -> float:
    """Return how many CPUs' time this process and those around it may use together; infinity where nobody says.

    Args:
        root: Below which ``proc`` and ``sys`` lie.
    """
    limits = [_quota(folder) for folder in _folders(root, "cpu")]
    return min((limit for limit in limits if limit > 0), default=math.inf)


def memory_limit(root: Path = Path("/")) -> float:
    """Return how many bytes they may use together; infinity where nobody says."""
    names = ("memory.max", "memory.limit_in_bytes")
    limits = [_number(folder / name) for folder in _folders(root, "memory") for name in names]
    return min((limit for limit in limits if 0 < limit < NO_LIMIT_BYTES), default=math.inf)


def _quota(folder: Path) -> float:
    """Return how many CPUs a group may use, 0 where it does not say."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    with contextlib.suppress(ValueError, ArithmeticError):  # "max", or what no kernel says
        return int(quota) / int(period)
    return 0.0


def _number(path: Path) -> int:
    with contextlib.suppress(ValueError):
        return int(_text(path))
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):  # the root of a hierarchy has no limits, and a container may hide all of them
        return ""


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of our group and of those around it, as far up as they are mounted, in every hierarchy."""
    groups = _groups(_text(root / "proc/self/cgroup"))
    for mount in _mounts(_text(root / "proc/self/mountinfo")):
        if mount.kind == "cgroup2":
            path = groups.get("")
        else:
            path = groups.get(controller) if controller in mount.controllers else None
        if path is not None:
            top = root / mount.place.lstrip("/")
            own = top / _below(path, mount.root)
            yield from (own, *(folder for folder in own.parents if folder.is_relative_to(top)))


def _groups(text: str) -> dict[str, str]:
    """Return the path of our group by controller, that of version 2 by ""."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return {name: line[2] for line in lines if len(line) == 3 for name in line[1].split(",")}


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) > 4 and len(kinds) > 2 and kinds[0] in ("cgroup", "cgroup2"):
            yield _Mount(kinds[0], kinds[2].split(","), _unescaped(fields[3]), _unescaped(fields[4]))


def _below(path: str, root: str) -> PurePosixPath:
    """Return a group's path from what is mounted; where it is not below that, what is mounted is all we can see."""
    own = PurePosixPath(path)
    if ".." in own.parts or not own.is_relative_to(root):
        return PurePosixPath()
    return own.relative_to(root)


def _unescaped(text: str) -> str:
    """Return a path as it is: mountinfo has blanks and backslashes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
