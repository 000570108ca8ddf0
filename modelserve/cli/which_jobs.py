"""Which jobs a command is about, and whether it is to speak to people or to programs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Which"]


class Which(NamedTuple):
    """The jobs of one ``operation`` ("train" or "predict") of the deployment ``model`` on the server at ``url``.

    ``token`` is sent to the server, "" for none.
    """

    url: str
    model: str
    operation: str
    as_json: bool
    token: str = ""
