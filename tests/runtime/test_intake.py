"""What a worker takes in while its model runs: the next frame, cancellations, deadlines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from modelserve.frames import INLINE_BYTES
from modelserve.messages import Call, Calls, Cancel, Check, Checked
from tests.models.installed import side_log
from tests.running import eventually
from tests.runtime.child import BATCH, Child, predictions
from tests.runtime.workers import ask


@pytest.fixture
def child(ready: Any) -> Child:
    child: Child = ready()
    return child


def test_a_quick_answer_is_sent_while_a_slow_call_of_its_frame_runs(child: Child) -> None:
    child.send(ask(1), ask(2, "sleep", n=300))
    before = time.monotonic()
    assert set(child.answers(1)) == {1}
    assert time.monotonic() - before < 5, "it waited for its neighbour"
    eventually(lambda: child.begun.value == 2)


def test_an_invalid_call_of_the_next_frame_waits_for_its_turn(child: Child) -> None:
    """Answers keep the order of the calls, whoever validates them."""
    child.send(ask(1, "sleep", n=0.3))
    eventually(lambda: child.begun.value == 1)
    child.send(ask(2, "no such mode"), ask(3))
    assert list(child.answers(3)) == [1, 2, 3]
    assert child.begun.value == 3


def test_validating_a_call_ahead_does_not_begin_it(child: Child) -> None:
    child.send(ask(1, "sleep", n=0.5))
    eventually(lambda: child.begun.value == 1)
    child.send(ask(2), ask(3))
    assert child.is_silent(0.2)
    assert child.begun.value == 1
    assert set(child.answers(3)) == {1, 2, 3}


def test_a_call_that_was_cancelled_before_it_began_is_not_run(child: Child, tmp_path: Path) -> None:
    child.send(ask(1, "sleep", n=0.3), ask(2, text="dropped"), ask(3))
    eventually(lambda: child.begun.value == 1)
    child.send(ask(4, text="dropped"))
    child.say(Cancel([1, 2, 4, 99]))
    answers = child.answers(4)
    codes = {number: answer.failure and answer.failure.code for number, answer in answers.items()}
    assert codes == {1: None, 2: "cancelled", 3: None, 4: "cancelled"}, "one that runs is finished"
    assert len(side_log(tmp_path / "side.log", "predict")) == 2
    assert child.begun.value == 4


@pytest.mark.parametrize("ref", [None, BATCH])
def test_a_call_whose_deadline_has_passed_is_not_run(ready: Any, tmp_path: Path, ref: Any) -> None:
    """FAULTS F03."""
    child = ready(ref) if ref else ready()
    now = time.monotonic()
    late, early = (msgspec.structs.replace(ask(number), deadline=now + more) for number, more in ((1, -1), (2, 60)))
    child.send(late, early)
    answers = child.answers(2)
    assert answers[1].failure.code == "queue_timeout"
    assert answers[2].failure is None
    assert len(side_log(tmp_path / "side.log", "predict")) == 1


def test_a_deadline_that_passes_behind_a_slow_call_counts_too(child: Child) -> None:
    child.send(ask(1, "sleep", n=0.3), msgspec.structs.replace(ask(2), deadline=time.monotonic() + 0.1))
    failure = child.answers(2)[2].failure
    assert failure is not None
    assert failure.code == "queue_timeout"


@pytest.mark.parametrize("size", [INLINE_BYTES, INLINE_BYTES + 1, 8 << 20])
def test_a_body_of_any_size_reaches_the_model(ready: Any, size: int) -> None:
    child = ready()
    text = "x" * size
    body = msgspec.json.encode({"mode": "ok", "text": text})
    child.send(Call(1, content_type="application/json", body=body))
    assert predictions(child.answers(1)[1])["text"] == text


def test_a_large_body_that_comes_while_the_model_runs_is_read_meanwhile(child: Child) -> None:
    child.send(ask(1, "sleep", n=3))
    eventually(lambda: child.begun.value == 1)
    body = msgspec.json.encode({"mode": "ok", "text": "x" * (8 << 20)})
    before = time.monotonic()
    child.say(Calls([Call(2, content_type="application/json", body=body)]))
    assert time.monotonic() - before < 2.5, "the socket's buffer alone cannot hold it"
    assert set(child.answers(2)) == {1, 2}


def test_an_idle_worker_uses_no_processor_time(child: Child) -> None:
    process = psutil.Process(child.process.pid)
    child.send(ask(1, "sleep", n=0.01))
    child.answers(1)
    eventually(lambda: _is_still(process))


def _is_still(process: Any) -> bool:
    before = process.num_ctx_switches()
    time.sleep(0.1)
    return bool(process.num_ctx_switches() == before)


def test_arguments_are_checked_beside_a_call_that_runs(child: Child, tmp_path: Path) -> None:
    """F04."""
    child.send(ask(1, "sleep", n=300))
    eventually(lambda: child.begun.value == 1)
    for number, operation, n, status in ((2, "check", 1, 0), (3, "check", "many", 422), (4, "train", 1, 0)):
        child.say(Check(msgspec.structs.replace(ask(number, n=n), operation=operation)))
        told = child.read()
        assert isinstance(told, Checked)
        assert told.answer.id == number
        assert (told.answer.failure.status if told.answer.failure else 0) == status
    assert child.begun.value == 1
    assert len(side_log(tmp_path / "side.log", "predict")) == 1


def test_arguments_are_checked_by_an_idle_worker_at_once(child: Child) -> None:
    child.say(Check(msgspec.structs.replace(ask(1, text="x" * 2 * INLINE_BYTES), operation="check")))
    told = child.read()
    assert isinstance(told, Checked)
    assert len(json.loads(told.answer.body)["text"]) == 2 * INLINE_BYTES
    child.send(ask(2))
    assert set(child.answers(1)) == {2}
    assert child.begun.value == 1
