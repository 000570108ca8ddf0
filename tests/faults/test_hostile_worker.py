"""Workers that say what no worker says: the server takes neither harm nor memory, and replaces them. X7, Y29."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.aftermath import MIB, aftermath
from tests.faults.told import counted, status
from tests.running import Running, eventually, running

MODEL = """
import os, struct, sys, threading
from modelserve import frames
from modelserve.messages import Answer, Answers, Description, Metadata, Part, Ready, Scraped
from modelserve.v2 import fields

with open("/proc/self/cmdline") as file:
    CHANNEL = int(next(word for word in file.read().split("\\0") if word.count(",") == 2).split(",")[0])
READY = Ready(Description(Metadata("h", "h", "h")))

def get_metadata():
    return {"name": "hostile", "description": "Writes to the channel itself."}

def get_predict_args():
    return {"mode": fields.Str(load_default="ok"), "key": fields.Str(load_default="")}

def pairs(*numbers):
    return struct.pack(f"!{len(numbers)}I", *numbers)

def said(*said):
    return b"".join(bytes(buffer) for message in said for buffer in frames.encode(message))

MODES = {
    "head": lambda: pairs(0xFFFFFFFF, 0),
    "bodies": lambda: pairs(100, 4096) + b"".join(pairs(place, 0x0FFFFFFF) for place in range(4096)),
    "body": lambda: pairs(100, 1) + pairs(0, 0xFFFFFFFF),
    "garbage": lambda: bytes(range(256)) * 40,
    "nested": lambda: pairs(60_000, 0) + b"\\x91" * 60_000,
    "list": lambda: pairs(14, 0) + b"\\x93\\xa7answers" + b"\\xdd\\xff\\xff\\xff\\xff",
    "stranger": lambda: said(Answers([Answer(10**12)])),
    "ready": lambda: said(READY),
    "part": lambda: said(Part(10**12, b"x")),
    "large_part": lambda: said(Part(10**12, bytes(200_000))),
    "scraped": lambda: said(Scraped()),
}

def predict(mode, key):
    if mode != "ok":
        os.write(CHANNEL, MODES[mode]())
        threading.Event().wait(20)  # until it is ended
    return mode
"""

MODES = [line.split('"')[1] for line in MODEL.splitlines() if line.startswith('    "') and ": lambda:" in line]

# A model whose workers die young gets the next one later and later, so there are several.
NAMES = ("first", "second", "third")

CASES = list(zip(MODES, itertools.cycle(NAMES), strict=False))

# What the server may take for what is announced: a head of its largest size, and what it has anyway.
MORE_BYTES = 60 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    for name in NAMES:
        (folder / f"{name}.py").write_text(MODEL)
    scripts = [str(folder / f"{name}.py") for name in NAMES]
    arguments = [*scripts, "--restart-budget", "1000", "--predict-timeout-s", "15"]
    with running(arguments, folder=folder) as server:
        eventually(lambda: server.get("/readyz").status == 200, within_s=40)
        with aftermath(server, NAMES[0], workers=len(NAMES), models=len(NAMES), more_bytes=MORE_BYTES):
            yield server


@pytest.mark.parametrize(("mode", "name"), CASES, ids=MODES)
def test_a_worker_that_writes_what_no_worker_writes_is_replaced(server: Running, mode: str, name: str) -> None:
    """X7, Y29: only its own call fails, and no memory is taken for what it says will come."""
    peak = server_peak(server)
    exits = counted(server, "modelserve_worker_exits_total", deployment=name, reason="broken")
    reply = server.predict(name, {"mode": mode})
    assert (reply.status, reply.json()["code"]) == (500, "worker_died")
    eventually(lambda: counted(server, "modelserve_worker_exits_total", deployment=name, reason="broken") == exits + 1)
    eventually(lambda: server.predict(name, {"mode": "ok"}).status == 200, within_s=20)
    told = status(server, name)
    assert told["last_exit"]["reason"] == "broken"
    assert "ended because it " in told["last_exit"]["detail"]
    assert server_peak(server) < peak + MORE_BYTES


def server_peak(server: Running) -> int:
    """Return the most memory that the server has ever had."""
    told = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", told, re.MULTILINE)[1]) * 1024  # type: ignore[index]
