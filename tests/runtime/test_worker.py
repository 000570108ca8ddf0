"""The child's main, spoken to over a bare socket pair."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import multiprocess
import psutil
import pytest

from modelserve.discovery import ModelRef
from modelserve.messages import (
    Answer,
    Answers,
    Call,
    Calls,
    Failed,
    FrameReader,
    Ready,
    decode_server_bound,
    encode,
)
from modelserve.runtime import worker
from tests.models.installed import side_log
from tests.running import eventually
from tests.runtime.workers import CHAOS, ask, spec

BATCH = ModelRef("chaos-batch", "module", "modelserve_chaos_batch:ChaosBatch")


class Child:
    """A worker process and the server's ends of its pipes."""

    def __init__(self, ref: ModelRef, scratch: Path) -> None:
        context = multiprocess.get_context("spawn")
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(20)
        their_life, self.life = context.Pipe(duplex=False)
        self.begun = context.RawValue("Q", 0)
        arguments = (theirs, their_life, self.begun, worker.Boot(spec(ref), str(scratch)))
        self.process = context.Process(target=worker.main, args=arguments)
        self._reader = FrameReader()
        self._messages: list[Any] = []
        with theirs, their_life:
            self.process.start()

    def read(self) -> Any:
        """Return the next message, None once the worker has closed the channel."""
        while not self._messages:
            data = self.channel.recv(65536)
            if not data:
                return None
            self._messages += [decode_server_bound(payload) for payload in self._reader.feed(data)]
        return self._messages.pop(0)

    def send(self, *calls: Call) -> None:
        self.channel.sendall(encode(Calls(list(calls))))

    def answers(self, count: int) -> dict[int, Answer]:
        """Return that many answers by their ids."""
        found: dict[int, Answer] = {}
        while len(found) < count:
            message = self.read()
            assert isinstance(message, Answers)
            found |= {answer.id: answer for answer in message.answers}
        return found

    def status(self) -> int | None:
        """Wait for its end and return the exit status."""
        self.process.join(20)
        return int(self.process.exitcode)

    def close(self) -> None:
        self.life.close()  # the kernel kills it
        self.channel.close()
        self.process.join(20)
        self.process.close()


@pytest.fixture
def start(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a function that starts a worker."""
    for name in ("chaos", "chaos_batch"):
        monkeypatch.syspath_prepend(packages[name])
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    children: list[Child] = []

    def start(ref: ModelRef = CHAOS) -> Child:
        children.append(Child(ref, tmp_path))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def child(start: Any) -> Child:
    """A worker that is warm."""
    child: Child = start()
    assert isinstance(child.read(), Ready)
    return child


def predictions(answer: Answer) -> Any:
    assert answer.failure is None, answer.failure
    return json.loads(answer.body)["predictions"]


def test_the_first_word_of_a_worker_is_the_description_of_its_warm_model(start: Any, tmp_path: Path) -> None:
    ready = start().read()
    assert ready.description.metadata.id == "chaos"
    assert {"warm", "predict"} <= set(ready.description.implements)
    assert [line["event"] for line in side_log(tmp_path / "side.log")][-1] == "warmed"


def test_each_call_of_a_frame_gets_an_answer(child: Child) -> None:
    child.send(*(ask(number, text=str(number)) for number in range(50)))
    answers = child.answers(50)
    assert [predictions(answers[number])["text"] for number in range(50)] == [str(number) for number in range(50)]
    assert child.begun.value == 50


def test_a_frame_that_arrives_in_pieces_is_one_frame(child: Child) -> None:
    frame = encode(Calls([ask(1), ask(2)]))
    for start in range(0, len(frame), 10):
        child.channel.sendall(frame[start : start + 10])
    assert set(child.answers(2)) == {1, 2}


def test_a_quick_answer_does_not_wait_for_a_slow_neighbour_behind_it(child: Child) -> None:
    child.send(ask(1, "sleep", n=0.05), ask(2, "sleep", n=300))
    assert set(child.answers(1)) == {1}
    eventually(lambda: child.begun.value == 2)


def test_a_call_that_fails_or_is_invalid_is_answered_among_its_neighbours(child: Child) -> None:
    child.send(ask(1), ask(2, "raise"), ask(3, "no such mode"), ask(4, "sysexit"), ask(5))
    answers = child.answers(5)
    codes = {number: answer.failure and answer.failure.code for number, answer in answers.items()}
    assert codes == {1: None, 2: "model_error", 3: "invalid", 4: "model_error", 5: None}
    failure = answers[2].failure
    assert failure is not None
    assert "hunter2" not in failure.message
    assert "hunter2" in failure.log


def test_a_frame_for_a_batching_model_is_one_batch(start: Any, tmp_path: Path) -> None:
    child = start(BATCH)
    assert child.read().description.max_batch_size == 8
    child.send(*(Call(id=number, query=f"text={number}") for number in range(5)))
    answers = child.answers(5)
    assert [predictions(answers[number])["text"] for number in range(5)] == list("01234")
    assert {predictions(answer)["batch"] for answer in answers.values()} == {5}
    assert child.begun.value == 5


def test_closing_the_channel_ends_it_with_status_0(child: Child) -> None:
    child.channel.shutdown(socket.SHUT_WR)
    assert child.read() is None
    assert child.status() == 0


def test_closing_the_lifeline_kills_it_whatever_it_does(child: Child, tmp_path: Path) -> None:
    child.send(ask(1, "spin_c"))
    eventually(lambda: side_log(tmp_path / "side.log", "predict"))
    child.life.close()
    assert child.status() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("variable", "fault", "stage"),
    [
        ("CHAOS_IMPORT", "raise", "load"),
        ("CHAOS_IMPORT", "sysexit", "load"),
        ("CHAOS_METADATA", "raise", "describe"),
        ("CHAOS_ARGS", "raise", "describe"),
        ("CHAOS_WARM", "raise", "warm"),
    ],
)
def test_a_model_that_cannot_start_is_told_with_its_stage_and_traceback_and_ends_it(
    start: Any, monkeypatch: pytest.MonkeyPatch, variable: str, fault: str, stage: str
) -> None:
    monkeypatch.setenv(variable, fault)
    child = start()
    failed = child.read()
    assert isinstance(failed, Failed)
    assert failed.stage == stage
    assert "Traceback" in failed.traceback
    assert "faults.py" in failed.traceback
    assert failed.message == failed.traceback.strip().splitlines()[-1]
    assert child.read() is None
    assert child.status() == 1


def test_it_settles_in_before_the_model_is_loaded(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    child = start()
    child.read()
    child.send(ask(1, "state"))
    state = predictions(child.answers(1)[1])
    assert state["cpus"] == [0]
    assert state["environ"]["OMP_NUM_THREADS"] == "1"
    assert state["environ"]["TMPDIR"] == str(tmp_path)
    assert state["group"] == state["pid"] == child.process.pid
    assert state["oom_score_adj"] == worker.OOM_SCORE_ADJ
    assert state["main_thread"], "some libraries ask for it"


def test_an_operators_own_thread_counts_win(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    child = start()
    child.read()
    child.send(ask(1, "state"))
    assert predictions(child.answers(1)[1])["environ"]["OMP_NUM_THREADS"] == "3"


def test_ctrl_c_is_for_the_server_alone(child: Child) -> None:
    os.kill(child.process.pid, signal.SIGINT)
    child.send(ask(1))
    assert child.answers(1)[1].failure is None


def test_what_a_model_prints_goes_to_standard_error(child: Child) -> None:
    files = psutil.Process(child.process.pid)
    assert os.readlink(f"/proc/{files.pid}/fd/1") == os.readlink(f"/proc/{files.pid}/fd/2")


def test_it_imports_neither_the_web_framework_nor_the_program_that_started_it(child: Child) -> None:
    child.send(ask(1, "state"))
    modules = set(predictions(child.answers(1)[1])["modules"])
    assert not modules & {"aiohttp", "click", "uvloop", "asyncio", "modelserve.server", "modelserve.cli"}
