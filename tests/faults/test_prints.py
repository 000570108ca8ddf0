"""What a model writes to its standard output harms neither who reads it nor other models. Rows X6, X23."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.running import Running, eventually, running

# It finds the mark of its records, as any model can that looks for it.
MODEL = """
import logging, os
from modelserve.v2 import fields
def get_predict_args():
    return {"text": fields.Str(load_default=""), "passed": fields.Bool(load_default=False),
            "size": fields.Int(load_default=0)}
def predict(text, passed, size):
    mark = next(h.formatter._mark for h in logging.getLogger().handlers if hasattr(h.formatter, "_mark"))
    line = (mark if passed else "").encode() + text.encode() + b"\\n"
    lines = line * max(1, 65536 // len(line)) if size else line
    for _ in range(max(1, size // len(lines))):
        data = lines
        while data:
            data = data[os.write(1, data):]
    return 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a server with two deployments of the same model."""
    folder = tmp_path_factory.mktemp("printing")
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(MODEL)
    with running(["one.py", "two.py"], folder=folder) as found:
        yield found


def failures(server: Running) -> dict[str, float]:
    """Return how often each part of the server has failed."""
    text = server.get("/metrics").body.decode()
    return {
        part: float(count)
        for part, count in re.findall(r'^modelserve_internal_failures_total{part="(.*?)"} (\S+)', text, re.M)
    }


@pytest.mark.parametrize(
    "text", ['{"fields":{},"levelno":"x","msg":"odd-1"}', "[" * 60_000 + "odd-2"], ids=["types", "depth"]
)
def test_a_line_that_only_looks_like_a_record_is_text_and_everybody_is_heard_on(server: Running, text: str) -> None:
    """X6."""
    assert server.predict("one", {"text": text, "passed": True}).status == 200
    assert server.predict("two", {"text": "x" * 99, "size": 3_000_000}).status == 200  # more than its pipe holds
    words = f"after {text[-6:-2]}"
    eventually(lambda: server.predict("one", {"text": words}).status == 200 and words in server.log)
    assert f"INFO print {text[:35]}" in server.log
    assert not any(failures(server).values())


@pytest.mark.parametrize("width", [20, 100, 60_000])
def test_a_flood_of_prints_is_dropped_and_does_not_slow_the_model(server: Running, width: int) -> None:
    """X23: 100 MB; the reader would take 8 s for it if it looked at each line."""

    def seconds() -> float:
        since_s = time.monotonic()
        assert server.predict("one", {"text": "x" * (width - 1), "size": 100_000_000}).status == 200
        return time.monotonic() - since_s

    before = cpu_s(server)
    fastest_s = min(seconds() for _ in range(3))
    assert fastest_s < 3.0
    assert cpu_s(server) - before < 6.0
    assert server.predict("two", {}).status == 200


def cpu_s(server: Running) -> float:
    """Return how long the server itself has had a processor."""
    times = psutil.Process(server.process.pid).cpu_times()
    return times.user + times.system


TRAINER = """
import os, sys
def train():
    print("first")
    piece = b"x" * 1_000_000
    for _ in range(300):
        os.write(1, piece)
    for percent in range(20):
        print(f"{percent} %", end="\\r", flush=True)
    print("last")
    return 1
"""


def test_the_log_of_a_training_that_prints_without_end_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    """X17: 300 MB without a line end, and a progress bar."""
    (tmp_path / "trainer.py").write_text(TRAINER)
    path = "/v2/models/trainer/train/"
    with running(["trainer.py"], folder=tmp_path) as server:
        uuid = server.request("POST", path, b"{}", {"Content-Type": "application/json"}).json()["uuid"]
        followed = server.get(f"{path}{uuid}/log?follow=1").body
        assert server.get(f"{path}{uuid}").json()["status"] == "done"
        log = server.data / "jobs" / uuid / "log"
        eventually(lambda: log.stat().st_blocks * 512 <= 33 * 1024**2)
        whole = server.get(f"{path}{uuid}/log").body
        tail = server.get(f"{path}{uuid}/log?tail=10").body
        begun = server.get(f"{path}{uuid}/log?tail=0").body
    assert log.stat().st_size > 300_000_000
    assert whole.startswith(b"first\nxxx")
    assert whole.endswith(b"18 %\r19 %\rlast\n")
    assert len(re.findall(rb"\n\.\.\. \d+ bytes of the log were left out \.\.\.\n", whole)) == 1
    assert len(whole) < 34 * 1024**2
    assert tail == b"".join(b"%d %%\r" % percent for percent in range(11, 20)) + b"last\n"
    assert begun == b""
    assert b"data: 18 %\ndata: 19 %\ndata: last\n" in followed
