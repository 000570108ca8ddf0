"""Each step of trainings and background predictions is made to fail in the server: the job has an end all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.conftest import Chaos
from tests.faults.injected import Injection
from tests.faults.trainings import BEGIN_S, ENDED, TRAIN, ask, becomes
from tests.running import Running, eventually, running

pytestmark = pytest.mark.timeout(300)

PREDICT = "/v2/models/chaos/predict/"
ASYNC = {"Prefer": "respond-async"}

JOBS = "modelserve.jobs"
TRAINING = f"{JOBS}.training_run:TrainingRun"
PREDICTION = f"{JOBS}.prediction_run:PredictionRun"

# Where a job is made, and then those that both kinds go through.
MADE = ("modelserve.web.v2.submit:Submit._new_job", f"{JOBS}.files:JobFiles.keep_request", f"{JOBS}.store:Store.add")
SHARED = (
    f"{JOBS}.store:Store.take",
    f"{JOBS}.store:Store.request",
    f"{JOBS}.runs:Runs.make",
    f"{JOBS}.recorder:Recorder._write",
    f"{JOBS}.files:JobFiles.settle",
    f"{JOBS}.store:Store.move",
    f"{JOBS}.ends:Ends.gone",
)
OF_TRAININGS = (
    f"{TRAINING}._begin",
    f"{TRAINING}._hear",
    f"{TRAINING}._end",
    f"{TRAINING}.close",
    f"{JOBS}.store:Store.report",
)
OF_PREDICTIONS = (f"{PREDICTION}.close", f"{PREDICTION}._run", f"{PREDICTION}._answer", f"{PREDICTION}._keep")

STEPS = [
    *((path, step) for path in (TRAIN, PREDICT) for step in (*MADE, *SHARED)),
    *((TRAIN, step) for step in OF_TRAININGS),
    *((PREDICT, step) for step in OF_PREDICTIONS),
]


@pytest.fixture(scope="module")
def injection(tmp_path_factory: pytest.TempPathFactory) -> Injection:
    return Injection(tmp_path_factory.mktemp("injected"), sorted({step for _, step in STEPS}))


@pytest.fixture(scope="module")
def chaos(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, injection: Injection) -> Iterator[Chaos]:
    """Yield one server for all steps; what must hold after a fault does after them."""
    folder = tmp_path_factory.mktemp("injected-chaos")
    visible, arguments = [injection.visible, packages["chaos"]], ["chaos", "--train-workers", "1"]
    started = running(arguments, folder=folder, visible=visible, env=dict(injection.env))
    with started as server, aftermath(server, jobs=True):
        yield Chaos(server, folder / "side.log")


def submit(server: Running, path: str) -> str:
    """Submit a job; return its id, "" where that is refused."""
    reply = ask(server, {"mode": "steps", "n": 3} if path == TRAIN else {"mode": "ok"}, path, ASYNC)
    assert reply.status in (200, 202, 500, 503), reply.body
    return str(reply.json()["uuid"]) if reply.status < 500 else ""


@pytest.mark.parametrize(("path", "step"), STEPS, ids=lambda value: value.rpartition("/v2/models/chaos/")[2])
def test_a_job_has_an_end_whatever_step_fails(chaos: Chaos, injection: Injection, path: str, step: str) -> None:
    """X2, X3: it can be read, those who follow it are told, its slot is free, and no file is left."""
    server = chaos.server
    folders = set(server.data.glob("jobs/*"))
    with injection.armed(step, "RuntimeError") as fired:
        uuid = submit(server, path)
        if uuid:
            becomes(server, uuid, *ENDED, path=path)
        eventually(fired, within_s=BEGIN_S)
    if uuid:
        assert b"event: status" in server.get(f"{path}{uuid}/events").body, "it ends"
    else:
        eventually(lambda: set(server.data.glob("jobs/*")) == folders)
    assert becomes(server, submit(server, path), *ENDED, path=path)["status"] == "done", "its slot is free"
    eventually(lambda: not list(server.data.glob("jobs/*/uploads")))
