"""Batches and calls at the same time: each caller gets its own answer, whatever its neighbours do. Rows O."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.faults.burst import Outcome, burst, burst_soon
from tests.faults.conftest import Chaos, Watched
from tests.faults.frozen import frozen, waiting
from tests.faults.leaving import leave
from tests.faults.raw import begin
from tests.models.installed import side_log
from tests.running import eventually

BATCH, KEYED, ASYNC = "chaos-batch", "chaos-keyed", "chaos-async"


def together(chaos: Chaos, calls: Sequence[Mapping[str, Any]], model: str = BATCH, **headers: str) -> list[Outcome]:
    """Send calls behind one that keeps the worker busy, so that they are predicted together."""
    with frozen(chaos, model):
        outcomes = burst_soon(chaos.server, model, calls, **headers)
        eventually(lambda: waiting(chaos) == len(calls))
    return outcomes.result(30)


def batches(chaos: Chaos, of: str = "texts") -> list[list[str]]:
    """Return what the side log has of each batch but the first, which is the blocker's."""
    return [line[of] for line in side_log(chaos.side_log, "predict")][1:]


def predictions(outcome: Outcome) -> Any:
    assert outcome.status == 200
    return outcome.json()["predictions"]


@pytest.mark.parametrize("mode", ["too_few", "too_many", "not_a_list", "none"])
def test_a_batch_with_a_wrong_number_of_answers_answers_none_of_its_callers(watched: Watched, mode: str) -> None:
    """O01: nobody gets an answer that may be another's, and the worker stays."""
    chaos = watched(BATCH)
    before = chaos.server.workers()
    outcomes = together(chaos, [{"text": "a"}, {"mode": mode}, {"text": "b"}])
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [(500, "bad_answer")] * 3
    assert chaos.server.workers() == before


def test_of_a_thousand_mixed_calls_each_caller_gets_its_own_answer(watched: Watched) -> None:
    """O02, on a real server; ten thousand of them, with deaths and departures, are in the tests of the runtime."""
    chaos = watched(BATCH, workers=2)
    dice = random.Random(2)
    modes = dice.choices(["ok", "sleep", "error", "raise"], [90, 4, 3, 3], k=1000)
    calls = [{"mode": mode, "n": 0.005, "text": str(number)} for number, mode in enumerate(modes)]
    leavers = [begin(chaos.server, BATCH, {"text": "left"}) for _ in range(20)]
    outcomes = [outcome for start in range(0, 1000, 250) for outcome in burst(chaos.server, BATCH, calls[start:][:250])]
    for connection in leavers:
        leave(connection, rudely=True)
    for call, outcome in zip(calls, outcomes, strict=True):
        if call["mode"] in ("error", "raise"):
            assert (outcome.status, outcome.code) == (500, "model_error")
        else:
            assert predictions(outcome)["text"] == call["text"]
    assert max(map(len, batches(chaos))) == 8, "they were predicted together"


@pytest.mark.parametrize("mode", ["raise", "error"])
def test_a_call_that_fails_costs_no_neighbour_and_all_are_run_at_most_twice(watched: Watched, mode: str) -> None:
    """O03."""
    chaos = watched(BATCH)
    calls = [{"mode": mode if number == 3 else "ok", "text": str(number)} for number in range(8)]
    outcomes = together(chaos, calls)
    assert [outcome.status for outcome in outcomes] == [200] * 3 + [500] + [200] * 4
    assert [predictions(outcome)["text"] for outcome in outcomes if outcome.status == 200] == list("0124567")
    runs = Counter(text for batch in batches(chaos) for text in batch)
    assert runs == dict.fromkeys("01234567", 2 if mode == "raise" else 1)


@pytest.mark.parametrize("mode", ["exit3", "kill"])
def test_the_neighbours_of_a_call_that_kills_the_worker_are_run_once_more_alone(watched: Watched, mode: str) -> None:
    """O04."""
    chaos = watched(BATCH)
    outcomes = together(chaos, [{"mode": mode if number == 3 else "ok", "text": str(number)} for number in range(8)])
    assert [outcome.status for outcome in outcomes] == [200] * 3 + [500] + [200] * 4
    assert outcomes[3].code == "worker_died"
    first, *again = batches(chaos)
    assert sorted(first) == list("01234567")
    assert sorted(again) == [[text] for text in "01234567"]


def test_a_call_that_overruns_costs_its_whole_batch_its_time_but_nobody_who_waits(watched: Watched) -> None:
    """O05: nobody can say which of a batch takes so long."""
    chaos = watched(BATCH, "--predict-timeout-s", "1", CHAOS_BATCH_SIZE="2")
    outcomes = together(chaos, [{"mode": "spin_c"}, {"mode": "ok"}, {"mode": "ok"}, {"mode": "ok"}])
    assert Counter(outcome.status for outcome in outcomes) == {504: 2, 200: 2}
    assert outcomes[0].code == "predict_timeout"


def test_one_of_a_batch_that_leaves_or_is_too_late_harms_no_neighbour(watched: Watched) -> None:
    """O05."""
    chaos = watched(BATCH)
    before = chaos.server.workers()
    with frozen(chaos, BATCH):
        late = burst_soon(chaos.server, BATCH, [{"mode": "sleep", "n": 1, "text": "late"}], **{"X-Timeout-S": "20"})
        leaver = begin(chaos.server, BATCH, {"mode": "sleep", "n": 1, "text": "left"})
        stays = burst_soon(chaos.server, BATCH, [{"text": str(number)} for number in range(6)])
        eventually(lambda: waiting(chaos) == 8)
    eventually(lambda: batches(chaos))
    leave(leaver)
    assert [predictions(outcome)["text"] for outcome in stays.result(20)] == list("012345")
    assert late.result(20)[0].status == 200
    outcome = burst(chaos.server, BATCH, [{"mode": "sleep", "n": 1.5}], **{"X-Timeout-S": "0.3"})[0]
    assert (outcome.status, outcome.code) == (504, "predict_timeout")
    assert chaos.server.workers() == before


def test_calls_that_may_not_share_a_batch_do_not(watched: Watched) -> None:
    """O06: another batch_key, or another media type to answer in."""
    chaos = watched(KEYED)
    kinds = [("a", "application/json"), ("b", "application/json"), ("a", "text/plain")]
    calls = [{"key": kinds[number % 3][0], "accept": kinds[number % 3][1], "text": str(number)} for number in range(8)]
    outcomes = together(chaos, calls, KEYED)
    for number, outcome in enumerate(outcomes):
        is_text = calls[number]["accept"] == "text/plain"
        assert (outcome.body.decode() if is_text else predictions(outcome)["text"]) == str(number)
    shared = list(zip(batches(chaos, "keys"), batches(chaos, "accepts"), strict=True))
    assert [len(set(zip(*each, strict=True))) for each in shared] == [1, 1, 1]
    assert sorted(len(keys) for keys, _ in shared) == [2, 3, 3]


@pytest.mark.parametrize("key", ["raise", "unhashable"])
def test_a_call_whose_key_fails_costs_only_itself(watched: Watched, key: str) -> None:
    """O06, O03."""
    chaos = watched(KEYED)
    outcomes = together(chaos, [{"text": "a"}, {"key": key}, {"text": "b"}], KEYED)
    assert [outcome.status for outcome in outcomes] == [200, 500, 200]
    assert b"hunter2" not in outcomes[1].body


def took_s(chaos: Chaos) -> float:
    since = time.monotonic()
    assert chaos.server.predict(BATCH, {}).status == 200
    return time.monotonic() - since


def test_a_lone_call_waits_for_others_as_long_as_it_was_told_and_no_longer(watched: Watched) -> None:
    """O07, without load; on a clock that jumps, it is in the tests of the runtime. The quickest of some counts."""
    chaos = watched(BATCH, "--batch-wait-ms", "200")
    quickest = min(took_s(chaos) for _ in range(5))
    assert 0.18 < quickest < 0.5


def test_a_full_batch_waits_for_nothing(watched: Watched) -> None:
    """O07."""
    chaos = watched(BATCH, "--batch-wait-ms", "4000")
    full = burst(chaos.server, BATCH, [{"text": str(number)} for number in range(8)])
    assert {outcome.status for outcome in full} == {200}
    assert max(outcome.took_s for outcome in full) < 3
    assert [len(line["texts"]) for line in side_log(chaos.side_log, "predict")] == [8]


def test_by_default_a_lone_call_waits_for_nobody(watched: Watched) -> None:
    """O07."""
    chaos = watched(BATCH)
    assert min(took_s(chaos) for _ in range(5)) < 0.15


@pytest.mark.parametrize("setting", [False, True])
def test_an_async_model_runs_many_calls_at_a_time_and_never_more_than_it_may(watched: Watched, setting: bool) -> None:
    """O06, of calls that share a worker but no batch: the operator's word goes before the model's."""
    own = ("--max-concurrency", "5") if setting else ()
    chaos = watched(ASYNC, *own, CHAOS_CONCURRENCY="12" if setting else "5")
    calls = [{"mode": "sleep", "n": 0.3, "text": str(number)} for number in range(20)]
    answers = [predictions(outcome) for outcome in burst(chaos.server, ASYNC, calls)]
    assert [answer["text"] for answer in answers] == [str(number) for number in range(20)]
    assert max(answer["peak"] for answer in answers) == 5
    assert len({answer["pid"] for answer in answers}) == 1


def test_an_async_call_that_fails_harms_none_that_runs_beside_it(watched: Watched) -> None:
    """O03."""
    chaos = watched(ASYNC)
    before = chaos.server.workers()
    modes = ["sleep", "raise", "cancel_itself", "sysexit", "stray", "stop_loop", "sleep"]
    outcomes = burst(chaos.server, ASYNC, [{"mode": mode, "n": 0.5, "text": mode} for mode in modes])
    assert [outcome.status for outcome in outcomes] == [200, 500, 500, 500, 200, 200, 200]
    assert [predictions(outcome)["text"] for outcome in (outcomes[0], outcomes[-1])] == ["sleep", "sleep"]
    assert chaos.server.workers() == before
