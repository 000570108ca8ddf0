"""What a model is told of the calls that it answers; see tests/web/test_auth.py for real ones."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

import pytest

from modelserve.messages import Answer, Call
from modelserve.runtime.cache_key import key_of
from modelserve.v2 import CurrentCall, current_call, current_calls
from modelserve.v2.batches import Parsed
from modelserve.v2.current_call import UNKNOWN, about, running
from modelserve.v2.predictor import Predictor

CALL = Call(1, "r-1", headers={"mood": "good"}, deadline=7.5, client="alice", traceparent="00-1-2-03")


class Asking:
    """Predicts who has called."""

    def predict(self) -> str:
        return current_call().client


class AskingAsync:
    """The same, at another time than it was called."""

    async def predict(self) -> str:
        await asyncio.sleep(0)
        return current_call().client


def test_outside_of_any_call_it_is_empty() -> None:
    running.alone = ()
    assert current_call() == CurrentCall()
    assert current_calls() == []


def test_it_has_all_that_is_known_of_a_call() -> None:
    running.alone = (about(CALL),)
    assert current_call() == CurrentCall("alice", "r-1", {"mood": "good"}, 7.5, "00-1-2-03")
    running.alone = (UNKNOWN,)
    assert current_call() == CurrentCall()
    running.alone = ()


def test_its_headers_cannot_be_changed() -> None:
    running.alone = (about(CALL),)
    headers: Any = current_call().headers
    with pytest.raises(TypeError):
        headers["mood"] = "bad"
    running.alone = ()


def test_a_predictor_says_which_call_runs() -> None:
    predictor = Predictor(Asking())
    parsed = predictor.parse(Call(1, client="alice"))
    assert isinstance(parsed, Parsed)
    answer = predictor.run(parsed)
    assert isinstance(answer, Answer)
    assert b"alice" in answer.body
    running.alone = ()


def test_calls_that_run_at_a_time_are_told_apart() -> None:
    predictor = Predictor(AskingAsync())

    async def bodies() -> list[bytes]:
        parsed = [predictor.parse(Call(number, client=f"client-{number}")) for number in range(3)]
        answers = await asyncio.gather(*(predictor.run_async(each) for each in parsed if isinstance(each, Parsed)))
        return [answer.body for answer in answers if isinstance(answer, Answer)]

    found = copy_context().run(asyncio.run, bodies())
    assert [f"client-{number}".encode() in body for number, body in enumerate(found)] == [True] * 3


def test_calls_of_two_clients_are_never_the_same_to_the_cache() -> None:
    keys = {key_of(Call(query="x=1", client=name)) for name in ("", "alice", "bob")}
    assert len(keys) == 3
