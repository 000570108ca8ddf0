"""Many calls at a time on one event loop, as a worker runs an asynchronous model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelserve.discovery import ModelRef
from modelserve.messages import Call, Cancel, Check, Checked, More, Part
from modelserve.runtime.interface import FIRST_PARTS
from tests.models.installed import side_log
from tests.running import eventually
from tests.runtime.child import ASYNC, ASYNC_STREAM, Child, code_of, predictions
from tests.runtime.test_turns import ask_for
from tests.runtime.workers import ask


def events(tmp_path: Path, event: str) -> list[dict[str, Any]]:
    return side_log(tmp_path / "side.log", event)


class TestCalls:
    @pytest.fixture
    def child(self, ready: Any) -> Child:
        child: Child = ready(ASYNC)
        return child

    def test_the_description_says_how_many_run_at_a_time(self, start: Any) -> None:
        description = start(ASYNC).read().description
        assert (description.max_concurrency, description.max_batch_size, description.streams) == (10, 1, False)

    def test_they_run_at_the_same_time_up_to_the_models_limit(self, child: Child) -> None:
        before = time.monotonic()
        child.send(*(ask(number, "sleep", n=0.3, text=str(number)) for number in range(15)))
        eventually(lambda: child.begun.value == 10)
        answers = child.answers(15)
        assert time.monotonic() - before < 2
        assert [predictions(answers[number])["text"] for number in range(15)] == list(map(str, range(15)))
        assert max(predictions(answer)["peak"] for answer in answers.values()) == 10
        assert child.begun.value == 15

    def test_the_deployments_limit_goes_before_the_models(self, start: Any) -> None:
        child = start(ASYNC, max_concurrency=2)
        assert child.read().description.max_concurrency == 2
        child.send(*(ask(number, "sleep", n=0.05) for number in range(5)))
        assert max(predictions(answer)["peak"] for answer in child.answers(5).values()) == 2

    def test_a_quick_call_does_not_wait_for_a_slow_one(self, child: Child) -> None:
        child.send(ask(1, "sleep", n=300))
        child.send(ask(2))
        assert set(child.answers(1)) == {2}

    def test_whatever_goes_wrong_costs_one_call(self, child: Child) -> None:
        modes = {1: "ok", 2: "raise", 3: "no such mode", 4: "sysexit", 5: "cancel_itself", 6: "stray", 7: "ok"}
        child.send(*(ask(number, mode) for number, mode in modes.items()))
        answers = child.answers(7)
        codes = {number: answer.failure and answer.failure.code for number, answer in answers.items()}
        wrong = {2: "model_error", 3: "invalid", 4: "model_error", 5: "model_error"}
        assert codes == {number: wrong.get(number) for number in modes}

    def test_a_model_that_stops_the_loop_stops_nothing(self, child: Child) -> None:
        child.send(ask(1, "stop_loop"))
        child.answers(1)
        child.send(ask(2))
        assert child.answers(1)[2].failure is None

    def test_cancelling_ends_a_call_that_runs_and_drops_one_that_waits(self, start: Any, tmp_path: Path) -> None:
        child = start(ASYNC, max_concurrency=1)
        child.read()
        child.send(ask(1, "sleep", n=300), ask(2, text="dropped"), ask(3))
        eventually(lambda: events(tmp_path, "predict"))
        child.say(Cancel([2, 1, 99]))
        answers = child.answers(3)
        codes = [answers[number].failure and answers[number].failure.code for number in (1, 2, 3)]
        assert codes == ["cancelled", "cancelled", None]
        assert len(events(tmp_path, "cancelled")) == 1
        assert len(events(tmp_path, "predict")) == 2

    def test_cancelling_at_once_still_gives_an_answer(self, child: Child) -> None:
        for number in range(20):
            child.send(ask(number, "sleep", n=300))
            child.say(Cancel([number]))
        assert {code_of(answer) for answer in child.answers(20).values()} == {"cancelled"}

    def test_a_call_that_will_not_be_cancelled_is_answered_once_it_ends(self, child: Child) -> None:
        child.send(ask(1, "deaf", n=0.2))
        eventually(lambda: child.begun.value == 1)
        child.say(Cancel([1]))
        assert code_of(child.answers(1)[1]) == "cancelled"

    def test_a_call_whose_deadline_has_passed_is_not_run(self, child: Child, tmp_path: Path) -> None:
        """FAULTS F03."""
        child.send(msgspec.structs.replace(ask(1), deadline=time.monotonic() - 1))
        assert code_of(child.answers(1)[1]) == "queue_timeout"
        assert not events(tmp_path, "predict")

    def test_arguments_are_checked_beside_as_many_calls_as_may_run(self, child: Child) -> None:
        child.send(*(ask(number, "sleep", n=300) for number in range(10)))
        eventually(lambda: child.begun.value == 10)
        child.say(Check(msgspec.structs.replace(ask(11), operation="check")))
        told = child.read()
        assert isinstance(told, Checked)
        assert (told.answer.id, told.answer.failure) == (11, None)
        assert child.begun.value == 10

    def test_closing_the_channel_lets_running_calls_end(self, child: Child) -> None:
        child.send(ask(1, "sleep", n=0.3))
        eventually(lambda: child.begun.value == 1)
        child.channel.shutdown(1)
        assert child.answers(1)[1].failure is None
        assert child.read() is None
        assert child.status() == 0

    def test_what_is_no_frame_ends_it(self, child: Child) -> None:
        child.channel.sendall(b"\xff" * 100)
        assert child.read() is None
        assert child.status() == 1

    def test_its_death_is_the_calls_alone(self, child: Child) -> None:
        child.send(ask(1, "exit3"))
        assert child.read() is None
        assert child.status() == 3


class TestStreams:
    @pytest.fixture
    def child(self, ready: Any) -> Child:
        child: Child = ready(ASYNC_STREAM)
        return child

    def test_the_description_says_so(self, start: Any) -> None:
        description = start(ASYNC_STREAM).read().description
        assert description.streams
        assert description.max_concurrency == 100
        assert "text/event-stream" in description.media_types

    def test_several_run_at_the_same_time_each_with_its_own_credit(self, child: Child) -> None:
        child.send(ask_for(1, items=FIRST_PARTS + 1))
        child.answers(1)
        child.parts(FIRST_PARTS)
        child.send(ask_for(2, items=2))
        child.answers(1)
        assert [part.id for part in child.parts()] == [2, 2, 2]
        assert child.is_silent(0.1)
        child.say(More(2, 5))
        child.say(More(1, 5))
        assert [part.last for part in child.parts()] == [False, True]

    @pytest.mark.parametrize("allowed", [0, 1_000_000])
    def test_the_generator_is_closed_when_the_client_leaves(self, child: Child, tmp_path: Path, allowed: int) -> None:
        """FAULTS E07: whether it waits for credit or goes on yielding."""
        child.send(ask_for(1, items=1_000_000, delay_s=0.001))
        child.answers(1)
        child.say(More(1, allowed))
        child.parts(FIRST_PARTS)
        child.say(Cancel([1]))
        eventually(lambda: events(tmp_path, "closed"), within_s=3)
        failure = child.parts()[-1].failure
        assert failure is not None
        assert failure.code == "cancelled"

    @pytest.mark.parametrize("deaf", [False, True])
    def test_one_that_makes_its_item_is_closed_too(self, child: Child, tmp_path: Path, deaf: bool) -> None:
        child.send(ask_for(1, items=9, delay_s=300, deaf=deaf))
        eventually(lambda: events(tmp_path, "predict"))
        child.say(Cancel([1]))
        eventually(lambda: events(tmp_path, "closed"), within_s=3)

    def test_an_error_in_mid_stream_is_an_event_and_an_unclean_end(self, child: Child) -> None:
        """FAULTS C09."""
        child.send(ask_for(1, fail_at=2))
        child.answers(1)
        last = child.parts()[-1]
        assert last.failure is not None
        assert last.failure.code == "model_error"
        assert last.data.startswith(b"event: error\n")

    def test_an_error_before_the_first_item_is_an_ordinary_failure(self, child: Child) -> None:
        child.send(ask_for(1, fail_at=0, failure="bad_request"))
        assert code_of(child.answers(1)[1]) == "bad_request"

    def test_a_stream_may_be_empty(self, child: Child) -> None:
        child.send(ask_for(2, items=0))
        assert child.answers(1)[2].stream
        assert child.parts() == [Part(2, last=True)]

    def test_a_stream_that_nobody_can_read_on_ends_when_the_channel_closes(self, child: Child) -> None:
        child.send(ask_for(1, items=FIRST_PARTS + 1))
        child.answers(1)
        child.parts(FIRST_PARTS)
        child.channel.shutdown(1)
        assert child.parts()[-1].failure is not None
        assert child.read() is None
        assert child.status() == 0


WARM = """
import asyncio
class Model:
    def get_metadata(self): return {"name": "m", "description": "d"}
    async def warm(self):
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()
    %s
"""
PREDICT = """async def predict(self): return self.loop is asyncio.get_running_loop()"""
BATCH = """async def predict_batch(self, calls):
        await asyncio.sleep(0)
        return [self.loop is asyncio.get_running_loop()] * len(calls)"""


@pytest.mark.parametrize("method", [PREDICT, BATCH])
def test_warm_may_be_asynchronous_and_runs_on_the_loop_of_what_comes_after(
    ready: Any, tmp_path: Path, method: str
) -> None:
    path = tmp_path / "late.py"
    path.write_text(WARM % method)
    child = ready(ModelRef("late", "file", f"{path}:Model"))
    child.send(Call(1), Call(2))
    assert [predictions(answer) for answer in child.answers(2).values()] == [True, True]
