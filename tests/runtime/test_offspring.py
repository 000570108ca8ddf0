"""What a worker leaves behind is found by its mark, whatever group, session or parent it has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import psutil
import pytest

from modelserve.runtime.offspring import MARK, kill_offspring
from tests.running import eventually

Start = Callable[[str], psutil.Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process in a session of its own, with a mark."""
    started: list[subprocess.Popen[bytes]] = []

    def sleeper(mark: str) -> psutil.Process:
        environment = {**os.environ, **({MARK: mark} if mark else {})}
        started.append(subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True))
        process = psutil.Process(started[-1].pid)
        eventually(lambda: process.environ().get(MARK, "") == mark)  # a new program's environment comes a bit later
        return process

    yield sleeper
    for process in started:
        process.kill()
        process.wait()


def is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.wait(10) or True)
    except psutil.TimeoutExpired:
        return False


@pytest.mark.parametrize("mark", ["/tmp/run-1/model-0-a", "/tmp/run-1/model-0-a/deeper"])
def test_a_process_with_the_workers_mark_is_killed(start: Start, mark: str) -> None:
    """A19."""
    process = start(mark)
    kill_offspring("/tmp/run-1/model-0-a")
    assert is_dead(process)


@pytest.mark.parametrize("mark", ["", "/tmp/run-1/model-0-ab", "/tmp/run-2/model-0-a"])
def test_any_other_process_is_left_alone(start: Start, mark: str) -> None:
    process = start(mark)
    kill_offspring("/tmp/run-1/model-0-a")
    with pytest.raises(psutil.TimeoutExpired):
        process.wait(0.2)


def test_all_workers_of_a_run_are_known_by_its_folder(start: Start) -> None:
    """I03."""
    processes = [start(f"/tmp/run-1/model-{number}-a") for number in range(3)]
    kill_offspring("/tmp/run-1")
    assert all(map(is_dead, processes))
