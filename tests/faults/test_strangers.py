"""Jobs that wait for a model that is not served any more, or whose name another model has now."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelserve.jobs.job import NewJob, Operation
from modelserve.jobs.store import Store
from tests.faults.conftest import Serve
from tests.faults.trainings import TRAIN, becomes, shown, train
from tests.running import Running, eventually, running

SOON_S = 40.0


def wait_for(folder: Path, *jobs: NewJob) -> None:
    """Store jobs, as a server did that is there no more."""
    with contextlib.closing(Store.open("", folder)) as store:
        for job in jobs:
            store.add(job)


def commanded(server: Running, *arguments: str) -> str:
    """Return what ``modelserve jobs`` prints."""
    command = [sys.executable, "-m", "modelserve", "jobs", *arguments, "--url", f"http://127.0.0.1:{server.port}"]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True).stdout


@pytest.mark.timeout(180)
def test_jobs_of_no_deployment_are_seen_and_cancelled_and_of_another_model_are_ended(
    serve: Serve, tmp_path: Path
) -> None:
    """Y13: and where trainings were switched off for a deployment."""
    gone = [NewJob(f"{n}" * 32, "gone", Operation.TRAIN, model="chaos:gone") for n in (1, 2)]
    other = NewJob("3" * 32, "chaos", Operation.TRAIN, model="another:chaos")
    wait_for(tmp_path / "data", *gone, other)
    server = serve("chaos")
    path = "/v2/models/chaos/train/" + other.uuid
    eventually(lambda: server.get(path).json()["status"] == "error", within_s=SOON_S)
    assert server.get(path).json()["message"].startswith("Another model is served under this name")
    assert "another:chaos" in server.log
    eventually(lambda: "2 jobs wait for a deployment that no server serves" in server.log, within_s=SOON_S)
    assert gone[0].uuid[:8] in commanded(server, "list", "gone")
    commanded(server, "cancel", "gone", gone[0].uuid)
    assert server.request("DELETE", f"/v2/models/gone/train/{gone[1].uuid}").status == 200
    assert {job["status"] for job in server.get("/v2/models/gone/train/").json()} == {"cancelled"}
    assert server.get("/v2/models/never/train/").status == 404
    assert server.request("POST", "/v2/models/gone/train/", b"{}", {"Content-Type": "application/json"}).status == 404


@pytest.mark.timeout(180)
def test_a_reload_to_another_model_ends_what_waits_for_the_one_before(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    """Y13: what is validated from then on is for the new one, and what runs already goes on."""
    site = shutil.copytree(packages["chaos"], tmp_path / "own")
    with running(["chaos"], folder=tmp_path, visible=[site], env={"CHAOS_LOG": str(tmp_path / "log")}) as server:
        before = train(server, "heed", n=4000)
        becomes(server, before, "running")
        waiting = train(server, "ok")
        (metadata,) = site.glob("modelserve_chaos-*.dist-info/METADATA")
        metadata.write_text(metadata.read_text().replace("Name: modelserve-chaos", "Name: another"))
        server.process.send_signal(signal.SIGHUP)
        assert becomes(server, waiting, "error")["message"].startswith("Another model is served under this name")
        assert "another:chaos is served" in server.log
        after = train(server, "ok")
        assert shown(server, before)["status"] == "running"
        assert server.request("DELETE", f"{TRAIN}{before}").status == 200
        becomes(server, after, "done")
