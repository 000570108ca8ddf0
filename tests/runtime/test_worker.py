"""The child's main, spoken to over a bare socket pair."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelserve.frames import encode
from modelserve.messages import Calls, Failed
from modelserve.runtime import worker
from modelserve.runtime.interface import DEVICE_EXIT
from tests.models.installed import side_log
from tests.running import eventually
from tests.runtime.child import BATCH, Child, predictions
from tests.runtime.workers import ask


def test_the_first_word_of_a_worker_is_the_description_of_its_warm_model(start: Any, tmp_path: Path) -> None:
    child = start()
    ready = child.read()
    assert child.stages == ["load", "describe", "warm"]
    assert ready.description.metadata.id == "chaos"
    assert {"warm", "predict"} <= set(ready.description.implements)
    assert [line["event"] for line in side_log(tmp_path / "side.log")][-1] == "warmed"


def test_each_call_of_a_frame_gets_an_answer(child: Child) -> None:
    child.send(*(ask(number, text=str(number)) for number in range(50)))
    answers = child.answers(50)
    assert [predictions(answers[number])["text"] for number in range(50)] == [str(number) for number in range(50)]
    assert child.begun.value == 50


def test_a_frame_that_arrives_in_pieces_is_one_frame(child: Child) -> None:
    frame = b"".join(encode(Calls([ask(1), ask(2)])))
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


def test_closing_the_channel_ends_it_with_status_0(child: Child) -> None:
    child.channel.shutdown(socket.SHUT_WR)
    assert child.read() is None
    assert child.status() == 0


def test_closing_the_lifeline_kills_it_whatever_it_does(child: Child, tmp_path: Path) -> None:
    child.send(ask(1, "spin_c"))
    eventually(lambda: side_log(tmp_path / "side.log", "predict"))
    os.close(child.life)
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
    assert failed.message.startswith(failed.traceback.strip().splitlines()[-1])
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


def test_after_an_error_that_breaks_its_gpu_it_answers_and_ends_with_a_status_of_its_own(ready: Any) -> None:
    child = ready(BATCH)
    child.send(ask(1, "cuda_sticky"))
    assert child.answers(1)[1].failure is not None
    assert child.status() == DEVICE_EXIT


def test_batch_mates_of_a_call_that_breaks_the_gpu_are_left_to_another_worker(ready: Any) -> None:
    child = ready(BATCH)
    child.send(ask(1), ask(2, "cuda_sticky"))
    assert child.read() is None
    assert child.status() == DEVICE_EXIT
    assert child.begun.value == 2
