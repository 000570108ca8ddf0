"""What tests of jobs ask of a server with the chaos model: trainings, and predictions that nobody waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.models.installed import side_log
from tests.running import Reply, Running, eventually

__all__ = ["BEGIN_S", "ENDED", "TRAIN", "ask", "becomes", "is_begun", "kept", "processes", "shown", "train"]

# A training begins in half a second on an idle machine, at a low priority; tests run on busy ones.
BEGIN_S = 40

TRAIN = "/v2/models/chaos/train/"

ENDED = ("done", "error", "cancelled", "lost")


def ask(server: Running, arguments: Mapping[str, Any], path: str = TRAIN, headers: Mapping[str, str] = {}) -> Reply:
    """Send arguments as JSON."""
    return server.request("POST", path, json.dumps(arguments).encode(), {"Content-Type": "application/json", **headers})


def train(server: Running, mode: str, **arguments: Any) -> str:
    """Start a training and return its job's id."""
    reply = ask(server, {"mode": mode, **arguments})
    assert reply.status == 200, reply.body
    return str(reply.json()["uuid"])


def shown(server: Running, uuid: str, path: str = TRAIN) -> dict[str, Any]:
    """Return a job as clients see it."""
    reply = server.get(f"{path}{uuid}")
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json()
    return found


def becomes(server: Running, uuid: str, *statuses: str, path: str = TRAIN) -> dict[str, Any]:
    """Wait until a job has one of these statuses, and return it."""
    eventually(lambda: shown(server, uuid, path)["status"] in statuses, within_s=BEGIN_S)
    return shown(server, uuid, path)


def is_begun(log: Path, text: str = "") -> bool:
    """Tell whether the model's train has been called, with this text where one is given."""
    return any(not text or line["text"] == text for line in side_log(log, "train"))


def processes(log: Path) -> list[psutil.Process]:
    """Return the processes that trainings of the mode ``children`` have started, and that live."""
    pids = [pid for line in side_log(log, "children") for pid in line["pids"]]
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def kept(server: Running) -> list[Path]:
    """Return the folders of files that came with requests for jobs."""
    return list(server.data.glob("jobs/*/uploads"))
