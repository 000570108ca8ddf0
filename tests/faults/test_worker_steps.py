"""Every step of a call's way inside a worker fails in turn: the call is answered, and the next ones are too. X1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from http.client import IncompleteRead

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.injected import Injection
from tests.faults.stages import HEAD, write_models
from tests.running import Running, eventually, running

RUNTIME, V2 = "modelserve.runtime", "modelserve.v2"

# Those outside of the border to the model cost the worker, which is begun again later and later: they are few.
CASES = {
    "turns": (
        f"{V2}.predictor:Predictor.parse",
        f"{V2}.predictor:Predictor.run",
        f"{V2}.answers:Renderer.render",
        f"{RUNTIME}.outlet:Outlet.add",
        f"{RUNTIME}.intake:Intake.take",
        "modelserve.frames:encode",
    ),
    "async": (
        f"{V2}.answers:Renderer.render",
        f"{RUNTIME}.together:Together._predicted",
        f"{RUNTIME}.together:Together._answer",
        f"{RUNTIME}.together:Together._end_if_done",
        "modelserve.frames:Receiver.received",
    ),
    "batch": (
        f"{V2}.predictor:Predictor.run_batch",
        f"{V2}.batches:Batches._answers",
        f"{RUNTIME}.intake:Intake.take_all",
    ),
    "stream": (
        f"{V2}.streaming:Streams.of",
        f"{V2}.streaming:Stream.next_part",
        f"{RUNTIME}.intake:Intake.may_send_part",
        f"{RUNTIME}.turns:_close",
    ),
    "both": (
        f"{V2}.streaming:Stream.next_part_async",
        f"{RUNTIME}.together:Together._send_stream",
        f"{RUNTIME}.together:Together._send_parts",
        f"{RUNTIME}.together:_close",
        f"{RUNTIME}.outlet:Outlet.send",
    ),
}

BOTH = """
max_concurrency = 8

async def predict(mode, text, file):
    for _ in range(40):
        yield answer("large", text, file)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Injection]]:
    folder = tmp_path_factory.mktemp("steps")
    steps = sorted({step for steps in CASES.values() for step in steps})
    injection = Injection(folder / "injection", steps, into="runtime/entry.py")
    scripts = write_models(folder)
    (folder / "both.py").write_text(f"{HEAD}\n{BOTH}")
    arguments = [*scripts, str(folder / "both.py"), "--restart-budget", "10000"]
    with running(arguments, visible=[injection.visible], env=injection.env, folder=folder) as server:
        eventually(lambda: server.get("/readyz").status == 200, within_s=40)
        with aftermath(server, "turns", workers=len(CASES) + 1, models=len(CASES) + 1):
            yield server, injection


# One of each model in turn, so that its worker is begun again while others are tried.
WAYS = [
    pytest.param(model, step, id=f"{model}-{step.rpartition(':')[2]}")
    for steps in itertools.zip_longest(*([(model, step) for step in steps] for model, steps in CASES.items()))
    for model, step in filter(None, steps)
]


@pytest.mark.parametrize(("model", "step"), WAYS)
def test_whatever_step_fails_in_a_worker_the_call_is_answered(
    served: tuple[Running, Injection], model: str, step: str
) -> None:
    """X1: well or with a failure, or its stream ends without its end; and the next call is served."""
    server, injection = served
    with injection.armed(step, "ZeroDivisionError") as fired:
        try:
            assert ask(server, model) in (200, 500)
        except IncompleteRead:
            assert model in ("stream", "both")
        assert fired(), "the step is none of this call's way"
    assert ask(server, model) == 200


def ask(server: Running, model: str) -> int:
    body, headers = b"{}", {"Content-Type": "application/json"}
    return server.request("POST", f"/v2/models/{model}/predict/", body, headers, timeout_s=20).status
