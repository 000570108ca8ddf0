"""A model that writes to its worker's channel itself: its worker is replaced, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelserve.frames import encode
from modelserve.messages import Answer, Answers, Failed, Part, Stage
from tests.faults.aftermath import aftermath
from tests.faults.confined import confined
from tests.running import Running, eventually, running

LIAR = '''
"""Sends bytes to the server by every socket that its process has."""

import os
import socket
import stat
import time

from modelserve.v2 import fields


class Liar:
    def get_predict_args(self):
        return {"mode": fields.Str(load_default="ok"), "says": fields.Str(load_default="")}

    def predict(self, mode, says):
        if says:
            for number in map(int, os.listdir("/proc/self/fd")):
                if is_socket(number):
                    socket.socket(fileno=os.dup(number)).sendall(bytes.fromhex(says))
            time.sleep(1)
        return mode


def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


class Honest(Liar):
    pass
'''

NEVER = 1 << 40

LIMITS = ("--restart-budget", "100", "--predict-timeout-s", "4")

# How a call may end: whoever has said half of something and then an answer has not answered, as if it slept.
ENDS = [(200, None), (500, "worker_died"), (500, "model_error"), (504, "predict_timeout")]


def framed(*messages: Answers | Part | Stage | Failed) -> bytes:
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))


# What a hostile worker may say.
LIES = {
    "nothing sensible": b"\x93garbage" * 50,
    "a text": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a head of 4 GiB": bytes([0xFF] * 4 + [0] * 4),
    "4096 bodies of 4 GiB": bytes([0, 0, 0, 1, 0, 0, 16, 0]) + bytes([0, 0, 0, 0, 255, 255, 255, 255]) * 4096,
    "half a frame": framed(Answers([Answer(1, body=b"x" * 1000)]))[:500],
    "answers to calls that there are not": framed(Answers([Answer(NEVER), Answer(0), Answer(NEVER)])),
    "parts of a stream that there is not": framed(Part(NEVER, b"x"), Part(NEVER, b"x", last=True)),
    "that it starts": framed(Stage("load")),
    "that it could not start": framed(Failed("warm", "It failed.", "")),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("lying")
    (folder / "models.py").write_text(LIAR)
    (folder / "modelserve.toml").write_text(
        "".join(f'[deployments.{name.lower()}]\nmodel = "models.py:{name}"\n' for name in ("Liar", "Honest"))
    )
    with running([*LIMITS], folder=folder, within=confined(folder, alone=True)) as server:
        yield server


@pytest.mark.parametrize("lie", LIES)
def test_whatever_a_worker_says_it_is_answered_for_and_nobody_else_notices(server: Running, lie: str) -> None:
    """X7, Y29."""
    with aftermath(server, "honest", workers=2):
        lying = server.predict_soon("liar", {"says": LIES[lie].hex()})
        assert [server.predict("honest", {}).status for _ in range(20)] == [200] * 20
        reply = lying.result(20)
        assert (reply.status, reply.json().get("code")) in ENDS
        eventually(lambda: server.predict("liar", {}).status == 200, within_s=20)
    assert "Traceback" not in server.log
