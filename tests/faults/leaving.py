"""Clients that leave, politely or not, before they have an answer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

import psutil

from tests.faults.conftest import Chaos
from tests.faults.raw import begin
from tests.models.installed import side_log
from tests.running import eventually

__all__ = ["leave", "leave_in_mid_predict", "noted"]


def leave(connection: socket.socket, *, rudely: bool = False) -> None:
    """Close a connection; rudely is by a reset, as of a client that was killed."""
    if rudely:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def noted(chaos: Chaos, event: str) -> list[str]:
    """Return the texts of the calls of which the side log tells."""
    return [line["text"] for line in side_log(chaos.side_log, event)]


def leave_in_mid_predict(chaos: Chaos, model: str, call: Mapping[str, Any], *, rudely: bool = False) -> psutil.Process:
    """Begin a call, whose ``text`` nobody else has, leave once the model has it, and return the worker that runs it."""
    connection = begin(chaos.server, model, call)
    eventually(lambda: call["text"] in noted(chaos, "predict"), within_s=20)
    leave(connection, rudely=rudely)
    (line,) = [line for line in side_log(chaos.side_log, "predict") if line["text"] == call["text"]]
    return psutil.Process(line["pid"])
