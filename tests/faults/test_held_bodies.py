"""Bodies of calls that are looked at for jobs, and of calls at workers, are counted and bounded: Y22."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.aftermath import MIB, aftermath
from tests.faults.told import counted, status
from tests.running import Reply, Running, eventually, running

MODEL = """
import asyncio, ctypes
from modelserve.v2 import fields

def get_metadata():
    return {"name": "holder", "description": "Keeps what it is given for a while."}

def get_predict_args():
    return {"s": fields.Float(load_default=0), "text": fields.Str(load_default=""), "mode": fields.Str(load_default="")}

get_train_args = get_predict_args

def train(s, text, mode):
    return {}
"""

# It keeps Python's lock, so that nothing else of the worker runs meanwhile, and nothing is validated.
DEAF = "\ndef predict(s, text, mode):\n    ctypes.PyDLL(None).sleep(int(s))\n    return len(text)\n"
BESIDE = """
max_concurrency = 50

async def predict(s, text, mode):
    await asyncio.sleep(s)
    return len(text)
"""

BODY = 10 * MIB
LIMIT = 40 * MIB

# All bodies have been received once, and what is freed of so large a heap is not all given back to the system.
MORE_BYTES = 15 * BODY

ARGUMENTS = ("--max-queue-bytes", "40MiB", "--max-body-bytes", "20MiB")


def ask(server: Running, path: str, s: float = 0.0, size: int = BODY, *, headers: Mapping[str, str] = {}) -> Reply:
    body = json.dumps({"s": s, "text": "x" * size}).encode()
    told = {"Content-Type": "application/json", **headers}
    return server.request("POST", f"/v2/models/holder/{path}/", body, told, timeout_s=40)


def held(server: Running, what: str) -> float:
    return counted(server, "modelserve_held_bytes", what=what)


@pytest.mark.parametrize("prefer", ["", "respond-async"], ids=["trainings", "background predictions"])
def test_bodies_that_wait_to_be_looked_at_are_bounded_and_let_go_with_their_clients(
    tmp_path: Path, prefer: str
) -> None:
    """Y22."""
    (tmp_path / "holder.py").write_text(MODEL + DEAF)
    path, headers = ("predict", {"Prefer": prefer}) if prefer else ("train", {})
    headers["X-Timeout-S"] = "4"
    with (
        running([str(tmp_path / "holder.py"), *ARGUMENTS], folder=tmp_path) as server,
        aftermath(server, "holder", jobs=True, more_bytes=MORE_BYTES),
        ThreadPoolExecutor(20) as clients,
    ):
        busy = clients.submit(ask, server, "predict", 8, 1)
        eventually(lambda: status(server, "holder")["workers"][0]["calls"])
        asked = [clients.submit(ask, server, path, headers=headers) for _ in range(10)]
        eventually(lambda: held(server, "validating") > 3 * BODY)
        assert status(server, "holder")["validating_bytes"] <= LIMIT
        answers = sorted(call.result().status for call in asked)
        assert answers == [503] * 7 + [504] * 3
        assert held(server, "validating") < 2 * BODY, "but for the one that is at the worker they are let go"
        assert busy.result().status == 200
        eventually(lambda: not held(server, "validating"))


def test_bodies_at_a_worker_are_counted_and_bounded(tmp_path: Path) -> None:
    """Y22."""
    (tmp_path / "holder.py").write_text(MODEL + BESIDE)
    with (
        running([str(tmp_path / "holder.py"), *ARGUMENTS], folder=tmp_path) as server,
        aftermath(server, "holder", more_bytes=MORE_BYTES),
        ThreadPoolExecutor(20) as clients,
    ):
        calls = [clients.submit(ask, server, "predict", 4) for _ in range(14)]
        eventually(lambda: held(server, "queued") and held(server, "working") > LIMIT - BODY)
        told = status(server, "holder")
        assert LIMIT - BODY < told["working_bytes"] < LIMIT + 2 * BODY
        assert told["queue_bytes"] <= LIMIT
        small = clients.submit(ask, server, "predict", 0, 1)
        answers = [call.result().status for call in calls]
        assert set(answers) == {200, 503}
        assert answers.count(200) >= 7
        assert small.result().status == 200
        eventually(lambda: not held(server, "working") and not held(server, "queued"))
