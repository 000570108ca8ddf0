"""What waits to be written is bounded, written in order, and holds up nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pytest

from modelserve.held import Bound
from modelserve.logs.backlog import Backlog, write_lines
from modelserve.supervised import UNHANDLED, Supervisor
from tests.running import eventually


class Disk:
    """Takes lines when it is told to; one named "fail" raises."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.goes = threading.Event()

    def write(self, lines: Sequence[str]) -> int:
        """Take lines."""
        self.goes.wait()
        if "fail" in lines:
            raise ValueError("a fault")
        self.lines += lines
        return 0


def make(disk: Disk, *, limit: int = 100) -> tuple[Backlog[str], Supervisor]:
    """Return a backlog that has started."""
    supervisor = Supervisor()
    backlog = Backlog(supervisor, "log", Bound("logs", limit), write=disk.write, told=lambda count: f"{count} lost")
    backlog.start()
    return backlog, supervisor


def test_what_fits_waits_and_is_written_in_order_and_what_does_not_is_counted_and_told() -> None:
    disk = Disk()
    backlog, _ = make(disk)
    for number in range(15):
        backlog.put(f"m{number}", 10)
    assert (backlog.dropped, backlog.bound.held) == (5, 100)
    assert not backlog.wait(0.01)
    disk.goes.set()
    assert backlog.wait(20)
    eventually(lambda: len(disk.lines) == 11)
    backlog.put("next", 10)
    assert backlog.close()
    assert [line for line in disk.lines if line != "5 lost"] == [*(f"m{number}" for number in range(10)), "next"]
    assert disk.lines.count("5 lost") == 1
    assert backlog.bound.held == 0
    backlog.put("after the end", 10)
    assert backlog.dropped == 6
    assert "after the end" not in disk.lines


def test_a_failure_costs_what_was_being_written_and_the_rest_goes_on() -> None:
    disk = Disk()
    disk.goes.set()
    backlog, supervisor = make(disk)
    backlog.put("fail", 10)
    assert backlog.wait(20)
    backlog.put("m1", 10)
    eventually(lambda: disk.lines == ["m1"])
    assert backlog.close()
    assert (backlog.dropped, backlog.bound.held) == (1, 0)
    assert supervisor.failures() == {UNHANDLED: 0, "log": 1}


def test_closing_does_not_wait_for_what_is_not_taken() -> None:
    disk = Disk()
    backlog, _ = make(disk)
    backlog.put("m0", 10)
    backlog.put("m1", 10)
    assert not backlog.close()
    disk.goes.set()


def test_lines_go_to_a_pipe_that_somebody_has_made_non_blocking() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    lost: list[int] = []
    thread = threading.Thread(target=lambda: lost.append(write_lines(theirs, [b"x" * 50_000] * 4)))
    thread.start()
    size = 0
    while size < 200_000:
        size += len(os.read(ours, 10_000))
    thread.join()
    os.close(ours)
    os.close(theirs)
    assert lost == [0]


@pytest.mark.parametrize(("lines", "lost"), [([b"a\n", b"b\n"], 2), ([], 0)])
def test_lines_that_cannot_be_written_are_counted(lines: list[bytes], lost: int) -> None:
    end = os.open("/dev/full", os.O_WRONLY)
    try:
        assert write_lines(end, lines) == lost
    finally:
        os.close(end)
