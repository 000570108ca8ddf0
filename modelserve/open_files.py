"""How many connections a server may have, by how many files its process may have open.

    max_connections, RLIMIT_NOFILE -> the number of connections      too few open files -> SettingsError

Each connection may cost two: itself, and the file that it sends or receives.
"""

from __future__ import annotations

import resource

from modelserve.errors import SettingsError

__all__ = ["count_connections", "raise_limit"]

# What a server with many workers needs without any connection: a pair of sockets and a process for each, the database,
# logs, the files of trainings.
OWN_FILES = 128

PER_CONNECTION = 2

# Connections without a setting, where open files allow.
MOST = 10_000

# A server that can serve fewer at the same time is not worth starting.
FEWEST = 16


def raise_limit(wanted: int = 0) -> None:
    """Allow this process as many open files as the connections need, within what the system allows it.

    Args:
        wanted: How many connections, 0 for as many as there may be without a setting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OWN_FILES + PER_CONNECTION * (wanted or MOST)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def count_connections(wanted: int = 0) -> int:
    """Return how many connections there may be.

    Args:
        wanted: How many the settings say, 0 for as many as there can be.

    Raises:
        SettingsError: This process may not have that many files open.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MOST if soft == resource.RLIM_INFINITY else (soft - OWN_FILES) // PER_CONNECTION
    least = wanted or FEWEST
    if soft != resource.RLIM_INFINITY and room < least:
        needed = OWN_FILES + PER_CONNECTION * least
        raise SettingsError(
            f"This process may have {soft} files open, but {least} connections need {needed}: raise the "
            f"limit with 'ulimit -n {needed}', or LimitNOFILE of its systemd unit."
        )
    return wanted or min(MOST, room)
