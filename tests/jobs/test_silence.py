"""Who has gone, by what is heard of others and one's own clock alone."""

from __future__ import annotations

import pytest

from modelserve.jobs.silence import Silence

STALE_S = 20.0
BEAT_S = 5.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Listening:
    """A server that looks at another every five seconds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.silence = Silence(STALE_S, self.clock)

    def listen(self, *marks: object) -> bool:
        """Hear these marks of the other, one after the other; tell whether it has gone then."""
        for mark in marks:
            self.clock.now_s += BEAT_S
            self.silence.heard({"other": mark})
        return self.silence.has_gone("other")


def test_who_is_silent_for_twenty_seconds_has_gone() -> None:
    one = Listening()
    assert not one.listen(1, 1, 1, 1)
    assert one.listen(1)


@pytest.mark.parametrize("other", [2, 0, None, (1, -30.0)])
def test_any_other_mark_is_a_sign_of_life(other: object) -> None:
    """Y6: also one that is smaller, as after a clock was set back."""
    one = Listening()
    one.listen(1, 1, 1, 1)
    assert not one.listen(other)
    assert not one.listen(other, other, other)
    assert one.listen(other)


def test_who_was_never_heard_has_gone_after_the_same_time() -> None:
    one = Listening()
    assert not one.listen(None, None, None, None)
    assert one.listen(None)


def test_a_stall_of_the_listener_itself_is_no_silence_of_others() -> None:
    """Stopped for 25 s, it sees the same mark as before: the other has had no time yet."""
    one = Listening()
    one.listen(1, 1, 1, 1)
    one.clock.now_s += 25.0
    assert not one.listen(1)
    assert not one.listen(1, 1, 1)
    assert one.listen(1)


def test_what_could_not_be_heard_is_no_silence() -> None:
    one = Listening()
    one.listen(1, 1, 1, 1)
    one.silence.interrupt()
    assert not one.listen(1, 1, 1, 1)
    assert one.listen(1)


def test_who_is_of_no_interest_has_not_gone() -> None:
    one = Listening()
    one.listen(1, 1, 1, 1, 1)
    one.silence.heard({})
    assert not one.silence.has_gone("other")
