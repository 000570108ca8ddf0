"""Each step of telling a callback is made to fail once in the server: the callback is told all the same. X2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.injected import Injection
from tests.faults.trainings import ask
from tests.running import Running, eventually, running
from tests.web.receiver import SECRET, Receiver, receiving

pytestmark = pytest.mark.timeout(240)

PREDICT = "/v2/models/chaos/predict/"
ASYNC = {"Prefer": "respond-async"}

WEB, JOBS = "modelserve.web", "modelserve.jobs"

# After these the next try is a second later.
SOON = (
    f"{JOBS}.deliveries:owe",
    f"{JOBS}.deliveries:Deliveries.take",
    f"{WEB}.deliveries:Callbacks._begin",
    f"{WEB}.deliveries:Callbacks._post",
    f"{WEB}.signing:signed",
    f"{WEB}.outward:Outward.post",
)

# Of these it is not known how far the try has come: it is made again when its lease is over.
LATER = (f"{WEB}.deliveries:Callbacks._note", f"{JOBS}.deliveries:Deliveries.end")
LEASE_S = 30

STEPS = [*SOON, *(pytest.param(step, marks=pytest.mark.soak) for step in LATER)]

Told = tuple[Running, Injection, Receiver]


@pytest.fixture(scope="module")
def told(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told")
    injection = Injection(folder / "injection", [*SOON, *LATER])
    env = {"MODELSERVE_CALLBACK_SECRET": SECRET, **injection.env}
    with receiving() as receiver:
        visible, arguments = [injection.visible, packages["chaos"]], ["chaos", "--callback-hosts", receiver.host]
        started = running(arguments, folder=folder, visible=visible, env=env)
        with started as server, aftermath(server, jobs=True):
            yield server, injection, receiver


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.rpartition(":")[2])
def test_a_callback_is_told_whatever_step_fails(told: Told, step: str) -> None:
    """X2: and the job can be read."""
    server, injection, receiver = told
    with injection.armed(step) as fired:
        path = f"{PREDICT}?callback_url={quote(receiver.url, safe='')}"
        uuid = ask(server, {"mode": "ok"}, path, ASYNC).json()["uuid"]
        eventually(fired, within_s=30)
    eventually(lambda: uuid in [job["uuid"] for job in receiver.verified()], within_s=LEASE_S + 30)
    assert server.get(f"{PREDICT}{uuid}").json()["status"] == "done"
