"""A client: who calls, and what it may."""

from __future__ import annotations

import dataclasses
import enum
import re

__all__ = ["ANYBODY", "CLIENT_RULE", "ROLES", "Client", "Right", "Role", "is_client_name"]

# In words that follow "must be". A name stands in HTTP Basic, where a colon ends it, in headers and in logs.
CLIENT_RULE = "1 to 64 letters, digits, '.', '_', '-' or '@', and begin with a letter or a digit"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Right(enum.IntEnum):
    """What a route needs; each right includes those below it."""

    # Nothing: open to all.
    NONE = 0
    # To call a model, and to see one's own jobs.
    CALL = 1
    # To train a model and to reload it.
    TRAIN = 2
    # Everything, the jobs and logs of all clients too.
    ADMIN = 3


class Role(enum.StrEnum):
    """What a client is to the operator."""

    # It calls models.
    CLIENT = "client"
    # It also trains and reloads them.
    DEPLOYER = "deployer"
    # It may do everything.
    ADMIN = "admin"


ROLES = {Role.CLIENT: Right.CALL, Role.DEPLOYER: Right.TRAIN, Role.ADMIN: Right.ADMIN}


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Who calls, proven by a token.

    ``deployments`` are those that it may call and see, all where there is none. ``token_id`` is the public part of the
    token that it came with. ``id`` is never given twice, where a name may be: by it, what it has left is its own.
    """

    name: str
    role: Role
    deployments: frozenset[str] = frozenset()
    token_id: str = ""
    id: str = ""

    @property
    def right(self) -> Right:
        """The highest right that its role gives."""
        return ROLES[self.role]

    def may(self, right: Right, deployment: str = "") -> bool:
        """Tell whether it has a right, at this deployment where one is given.

        What concerns the whole server, and so every deployment, is not for a client of some: no deployment is given
        there, and any right above CALL refused.
        """
        if ROLES[self.role] < right:
            return False
        if not self.deployments:
            return True
        return deployment in self.deployments if deployment else right <= Right.CALL


# Who calls a server that has no clients.
ANYBODY = Client("", Role.ADMIN)


def is_client_name(text: str) -> bool:
    """Tell whether a client may have this name."""
    return _NAME.fullmatch(text) is not None
