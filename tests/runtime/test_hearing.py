"""Until when a worker is heard."""

from __future__ import annotations

import contextlib
import os

import pytest

from modelserve.runtime.hearing import Hearing
from modelserve.supervised import Supervisor
from tests.running import eventually


def test_a_worker_that_has_gone_is_heard_for_a_while_though_its_pipe_is_held(caplog: pytest.LogCaptureFixture) -> None:
    """Y25: what it has said is told, and then its pipe is closed, whoever holds the other end."""
    caplog.set_level("INFO")
    hearing = Hearing(Supervisor(), after_s=0.3)
    hearing.start()
    with contextlib.closing(hearing):
        ear, other = hearing.open("m", "m-0"), hearing.open("m", "m-1")
        os.write(ear.their_end, b"its last words\nand half a line")
        hearing.gone(ear)
        eventually(lambda: not ear.is_open)
        with pytest.raises(BrokenPipeError):
            os.write(ear.their_end, b"x")
        os.write(other.their_end, b"another\n")
        eventually(lambda: "another" in caplog.text)
        assert other.is_open
        os.close(other.their_end)
        eventually(lambda: not other.is_open)
        hearing.gone(other)
    os.close(ear.their_end)
    assert "its last words" in caplog.text
    assert "and half a line" in caplog.text
