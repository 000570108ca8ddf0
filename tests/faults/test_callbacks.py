"""The callbacks of a whole server that is killed before they are taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.faults.conftest import Serve
from tests.faults.trainings import TRAIN, ask, becomes
from tests.running import Running, eventually
from tests.web.receiver import SECRET, receiving
from tests.web.v2.asking import MODEL

# Where a server dies in the middle of a try, the next one is made after 30 s.
LEASE_S = 30


def called_back(server: Running) -> dict[str, float]:
    """Return the counts of tries by their outcome."""
    lines = server.get("/metrics").body.decode().splitlines()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith("modelserve_callbacks_total"))
    return {labels.split('"')[1]: float(count) for labels, count in found}


@pytest.mark.timeout(240)
def test_a_job_is_told_of_although_the_server_was_killed_after_its_end(serve: Serve, tmp_path: Path) -> None:
    """H01, H02."""
    authority = Authority(tmp_path)
    env = {"MODELSERVE_CALLBACK_SECRET": SECRET, "SSL_CERT_FILE": str(authority.trusted)}
    with receiving(503, tls=authority.issue("localhost", "127.0.0.1")) as receiver:
        options = ["chaos", "--callback-hosts", receiver.host]
        server = serve(*options, **env)
        refused = ask(server, {"mode": "ok"}, f"{TRAIN}?callback_url=http://169.254.169.254/")
        assert list(refused.invalid()) == ["callback_url"]
        reply = ask(server, {"mode": "ok"}, f"{TRAIN}?callback_url={receiver.url.replace('?', '%3F')}")
        ended = becomes(server, reply.json()["uuid"], "done")
        eventually(lambda: "a callback failed (1 of 8)" in server.log, within_s=40)
        assert called_back(server) == {"failed": 1}
        server.process.kill()
        server.process.wait(10)
        assert SECRET not in server.log + server.stdout
        again = serve(*options, **env)
        eventually(lambda: called_back(again) == {"delivered": 1}, within_s=LEASE_S + 30)
        assert receiver.verified() == [ended, ended]
        assert [message.body for message in receiver.messages] == [again.get(f"{TRAIN}{ended['uuid']}").body] * 2


def test_a_server_that_could_not_sign_does_not_start() -> None:
    command = [sys.executable, "-m", "modelserve", "run", "--port", "0", "--callback-hosts", "hooks.example.org", MODEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "callbacks are always signed" in done.stderr
