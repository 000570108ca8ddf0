"""A server whose standard streams are closed or full, and one that gets signals nobody has a use for."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.program import environment
from tests.running import Running, eventually, running

MODEL = "def predict():\n    print('said by the model')\n    return 1\n"

REDIRECTIONS = {
    "closed": "<&- >&- 2>&-",
    "output closed": ">&- 2>&-",
    "full": ">/dev/full 2>/dev/full",
    "gone": "> >(exit) 2> >(exit)",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "spoken.py"
    path.write_text(MODEL)
    return path


@pytest.mark.parametrize("redirection", REDIRECTIONS.values(), ids=REDIRECTIONS.keys())
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_server_that_nobody_hears_serves_and_ends_as_any_other(
    model: Path, tmp_path: Path, redirection: str, form: str
) -> None:
    """G13 and I06."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = f"exec {sys.executable} -m modelserve run {model} --port {port} --log-format {form} {redirection}"
    program = subprocess.Popen(["bash", "-c", line], cwd=tmp_path, env=environment(tmp_path), start_new_session=True)
    try:
        eventually(lambda: status_of(port, "GET", "/readyz") == 200, within_s=40)
        for _ in range(3):
            assert status_of(port, "POST", "/v2/models/spoken/predict/") == 200
        assert status_of(port, "POST", "/v2/models/spoken/predict/?nosuch=1") == 422
        program.terminate()
        assert program.wait(10) == 0
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait(10)


def status_of(port: int, method: str, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request(method, path)
        except ConnectionRefusedError:
            return 0
        return connection.getresponse().status


@pytest.fixture
def server(model: Path, tmp_path: Path) -> Iterator[Running]:
    with running([str(model)], folder=tmp_path) as server:
        yield server


def test_signals_without_a_meaning_have_no_effect(server: Running) -> None:
    """G11."""
    workers = {worker.pid for worker in server.workers()}
    for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM):
        server.process.send_signal(number)
        assert server.predict("spoken", {}).status == 200
    assert {worker.pid for worker in server.workers()} == workers
    assert server.terminate(within_s=10) == 0
