"""What a server tells its operator: in its log, in its metrics, and by ``modelserve status`` and ``reload``."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from http.client import HTTPConnection
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.program import Done, modelserve
from tests.running import Running, eventually

__all__ = ["assert_told_of_death", "command", "counted", "faults_logged", "shown", "status"]


def command(server: Running, *arguments: str) -> Done:
    """Run a command that finds this server among all of the user's: ``command(server, "reload", "chaos")``."""
    to_it = [*arguments, "--port", str(server.port)]
    return modelserve(*to_it, folder=server.folder, variables={"TMPDIR": str(server.temp)})


def shown(server: Running, deployment: str) -> dict[str, Any]:
    """Return what ``modelserve status --json`` says of a deployment."""
    done = command(server, "status", "--json")
    assert (done.status, done.err) == (0, "")
    (found,) = [each for each in json.loads(done.out)["deployments"] if each["name"] == deployment]
    return dict(found)


def status(server: Running, deployment: str) -> dict[str, Any]:
    """Return what :func:`shown` does, without a command: twenty times as fast, for what asks often."""
    connection = HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        at = os.open(server.temp / f"modelserve-control-{os.getuid()}", os.O_RDONLY)
        try:
            connection.sock.settimeout(20)
            connection.sock.connect(f"/proc/self/fd/{at}/{server.port}.sock")  # its own path may be too long
        finally:
            os.close(at)
        connection.request("GET", "/status")
        told = json.loads(connection.getresponse().read())
    (found,) = [each for each in told["deployments"] if each["name"] == deployment]
    return dict(found)


def counted(server: Running, metric: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels among theirs."""
    families = text_string_to_metric_families(server.get("/metrics").body.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == metric]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def faults_logged(server: Running, request_id: str) -> list[str]:
    """Return the log's records of a fault in which a request is named; there is one at least."""

    def found() -> list[str]:
        lines = [line for line in server.log.splitlines() if request_id in line]
        return [line for line in lines if " ERROR " in line or " WARNING " in line]

    return eventually(found)


def assert_told_of_death(server: Running, deployment: str, *, reason: str, words: str) -> None:
    """Assert that the only death of a worker so far, and its reason, are in all three places."""
    eventually(lambda: counted(server, "modelserve_worker_exits_total", deployment=deployment) == 1)
    assert counted(server, "modelserve_worker_exits_total", deployment=deployment, reason=reason) == 1
    assert len([line for line in server.log.splitlines() if " worker " in line and words in line]) == 1
    last_exit = shown(server, deployment)["last_exit"]
    assert last_exit["reason"] == reason
    assert words in last_exit["detail"]
