"""One thing at a time: batches and streams, as a worker runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelserve.messages import Answers, Call, Cancel, More, Part
from modelserve.runtime.interface import FIRST_PARTS
from tests.models.installed import side_log
from tests.running import eventually
from tests.runtime.child import BATCH, KEYED, STREAM, Child, code_of, predictions
from tests.runtime.workers import ask


def closings(tmp_path: Path) -> list[dict[str, Any]]:
    return side_log(tmp_path / "side.log", "closed")


class TestBatches:
    def test_a_frame_is_one_batch(self, ready: Any) -> None:
        child = ready(BATCH)
        child.send(*(Call(id=number, query=f"text={number}") for number in range(5)))
        answers = child.answers(5)
        assert [predictions(answers[number])["text"] for number in range(5)] == list("01234")
        assert {predictions(answer)["batch"] for answer in answers.values()} == {5}
        assert child.begun.value == 5

    def test_the_deployments_batch_size_goes_before_the_models(self, start: Any) -> None:
        child = start(BATCH, max_batch_size=3)
        assert child.read().description.max_batch_size == 3
        child.send(*(ask(number) for number in range(5)))
        answers = child.answers(5)
        assert [predictions(answers[number])["batch"] for number in range(5)] == [3, 3, 3, 2, 2]

    def test_only_calls_of_one_key_and_one_media_type_share_a_batch(self, ready: Any, tmp_path: Path) -> None:
        child = ready(KEYED)
        json_ab = [ask(number, key="ab"[number % 2]) for number in range(4)]
        text_a = ask(4, key="a", accept="text/plain")
        child.send(*json_ab, text_a, ask(5, key="raise"), ask(6, key="unhashable"))
        answers = child.answers(7)
        assert [answers[number].failure is None for number in range(7)] == [True] * 5 + [False] * 2
        batches = [(line["keys"], line["accepts"]) for line in side_log(tmp_path / "side.log", "predict")]
        plain = "application/json"
        assert batches == [(["a", "a"], [plain] * 2), (["b", "b"], [plain] * 2), (["a"], ["text/plain"])]

    def test_a_batch_too_large_for_the_gpu_is_run_in_two_halves(self, ready: Any, tmp_path: Path) -> None:
        child = ready(BATCH)
        child.send(*(ask(number, "cuda_fits", n=2) for number in range(4)))
        answers = child.answers(4)
        assert {predictions(answer)["batch"] for answer in answers.values()} == {2}
        assert [len(line["texts"]) for line in side_log(tmp_path / "side.log", "predict")] == [4, 2, 2]

    def test_a_half_that_is_still_too_large_is_run_call_by_call(self, ready: Any, tmp_path: Path) -> None:
        child = ready(BATCH)
        child.send(*(ask(number, "cuda_fits", n=1) for number in range(4)))
        assert {predictions(answer)["batch"] for answer in child.answers(4).values()} == {1}
        child.send(ask(5, "cuda_fits", n=0))
        assert code_of(child.answers(1)[5]) == "out_of_memory"


class TestStreams:
    @pytest.fixture
    def child(self, ready: Any) -> Child:
        child: Child = ready(STREAM)
        return child

    def test_it_begins_with_an_answer_and_ends_with_the_last_part(self, child: Child) -> None:
        child.send(ask_for(1, items=3))
        answer = child.answers(1)[1]
        assert (answer.stream, answer.content_type, answer.body) == (True, "text/event-stream", b"")
        parts = child.parts()
        assert [part.id for part in parts] == [1] * 4
        assert [json.loads(part.data.removeprefix(b"data: ")) for part in parts[:3]] == [
            {"number": number, "text": ""} for number in range(3)
        ]
        assert parts[3] == Part(1, last=True)

    def test_an_item_is_sent_before_the_next_is_made(self, child: Child, tmp_path: Path) -> None:
        child.send(ask_for(1, items=2, delay_s=0.3))
        child.answers(1)
        child.parts(1)
        assert len(side_log(tmp_path / "side.log", "item")) == 1
        child.parts(2)

    def test_no_more_parts_are_sent_than_were_allowed(self, child: Child) -> None:
        child.send(ask_for(1, items=FIRST_PARTS + 5))
        child.answers(1)
        child.parts(FIRST_PARTS)
        assert child.is_silent(0.1)
        child.say(More(99, 1))
        child.say(More(1, 2))
        child.parts(2)
        assert child.is_silent(0.1)
        child.say(More(1, 100))
        assert len(child.parts()) == 4

    @pytest.mark.parametrize("allowed", [0, 1_000_000])
    def test_the_generator_is_closed_when_the_client_leaves(self, child: Child, tmp_path: Path, allowed: int) -> None:
        """FAULTS E07: whether it waits for credit or goes on yielding."""
        child.send(ask_for(1, items=1_000_000, text="left", delay_s=0.001))
        child.answers(1)
        child.say(More(1, allowed))
        child.parts(FIRST_PARTS)
        child.say(Cancel([1]))
        eventually(lambda: closings(tmp_path), within_s=3)
        assert closings(tmp_path)[0]["how"] == "closed"
        failure = child.parts()[-1].failure
        assert failure is not None
        assert failure.code == "cancelled"
        child.send(ask_for(2, items=0))
        assert child.answers(1)[2].stream

    def test_a_call_that_waits_behind_a_stream_can_be_cancelled(self, child: Child, tmp_path: Path) -> None:
        child.send(ask_for(1, items=FIRST_PARTS + 1))
        child.send(ask_for(2, text="dropped"))
        child.answers(1)
        child.parts(FIRST_PARTS)
        child.say(Cancel([2]))
        child.say(More(1, 9))
        child.parts()
        assert code_of(child.answers(1)[2]) == "cancelled"
        assert len(side_log(tmp_path / "side.log", "predict")) == 1

    def test_an_error_before_the_first_item_is_an_ordinary_failure(self, child: Child) -> None:
        child.send(ask_for(1, fail_at=0), ask_for(2, fail_at=0, failure="bad_request"))
        assert [code_of(answer) for answer in child.answers(2).values()] == ["model_error", "bad_request"]

    def test_an_error_in_mid_stream_is_an_event_and_an_unclean_end(self, child: Child) -> None:
        """FAULTS C09."""
        child.send(ask_for(1, fail_at=2))
        child.answers(1)
        *_, last = child.parts()
        assert last.last
        assert last.failure is not None
        assert "hunter2" in last.failure.log
        event, data, *_ = last.data.decode().split("\n")
        assert event == "event: error"
        assert json.loads(data.removeprefix("data: ")) == {
            "message": "The model raised an exception while it handled this request.",
            "code": "model_error",
        }

    def test_a_generator_that_will_not_close_costs_its_stream_alone(self, child: Child, tmp_path: Path) -> None:
        child.send(ask_for(1, items=100, deaf=True))
        child.answers(1)
        child.parts(FIRST_PARTS)
        child.say(Cancel([1]))
        assert child.parts()[-1].last
        child.send(ask_for(2, items=1))
        assert child.answers(1)[2].stream

    def test_a_stream_that_nobody_can_read_on_ends_when_the_channel_closes(self, child: Child) -> None:
        child.send(ask_for(1, items=FIRST_PARTS + 1))
        child.answers(1)
        child.parts(FIRST_PARTS)
        child.channel.shutdown(1)
        last = child.parts()[-1]
        assert last.failure is not None
        assert last.failure.code == "stopping"
        assert child.read() is None
        assert child.status() == 0


def ask_for(number: int, **order: object) -> Call:
    """Return a call of the streaming model."""
    return Call(number, content_type="application/json", body=json.dumps(order).encode())


def test_answers_before_a_stream_are_sent_before_it(ready: Any) -> None:
    child = ready(STREAM)
    child.send(ask_for(1, kind="no such kind"), ask_for(2, items=1))
    first = child.read()
    assert isinstance(first, Answers)
    assert [answer.id for answer in first.answers][:1] == [1]
