"""``modelserve run`` says where it serves, to people and to programs, and ends when told to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.cli.program import environment, modelserve

TOY = Path(__file__).with_name("toy.py")


@contextlib.contextmanager
def _running(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "modelserve", "run", "--port", "0", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=-1, stderr=-1, text=True, start_new_session=True
    ) as program:
        try:
            yield program
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)


def _ready_line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline()


def test_the_ready_line_the_banner_and_the_statuses(tmp_path: Path) -> None:
    with _running(f"{TOY}:Toy", f"{TOY}:NoWeights", folder=tmp_path) as program:
        line = _ready_line(program)
        match = re.fullmatch(r"modelserve ready on (http://127\.0\.0\.1:\d+)\n", line)
        assert match, line
        with urllib.request.urlopen(f"{match[1]}/v2/models/", timeout=10) as answer:
            assert {model["id"] for model in json.load(answer)["models"]} == {"toy", "noweights"}
        program.send_signal(signal.SIGTERM)
        rest, said = program.communicate(timeout=30)
    assert (program.returncode, rest) == (0, "")
    assert f"modelserve listens on {match[1]}\n" in said
    assert all(f"{match[1]}{page}\n" in said for page in ("/api", "/redoc", "/openapi.json"))
    assert "toy, noweights  (starting)" in said
    assert "  toy        ready\n" in said
    assert f"  noweights  failed: modelserve check {TOY}:NoWeights says why\n" in said


def test_with_json_logs_standard_error_holds_nothing_else(tmp_path: Path) -> None:
    with _running(f"{TOY}:Toy", "--log-format", "json", folder=tmp_path) as program:
        assert _ready_line(program).startswith("modelserve ready on ")
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert program.returncode == 0
    messages = [json.loads(line)["message"] for line in said.splitlines()]
    assert any("/api" in message and "starting toy" in message for message in messages)
    assert "ready: toy ready" in messages


def test_when_no_model_can_start_the_status_is_3(tmp_path: Path) -> None:
    done = modelserve("run", f"{TOY}:NoWeights", "--port", "0", folder=tmp_path)
    assert (done.status, done.out) == (3, "")
    assert "modelserve: noweights could not be started" in done.err


def test_a_port_in_use_is_status_4_and_one_sentence(tmp_path: Path) -> None:
    """FAULTS B13."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = modelserve("run", f"{TOY}:Toy", "--port", str(port), folder=tmp_path)
    assert (done.status, done.out) == (4, "")
    assert done.err.startswith("modelserve: ")
    assert str(port) in done.err
    assert done.err.count("\n") == 1
