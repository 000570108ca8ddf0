"""How far a run is, and what it shows of that."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from modelserve.batch.progress import SPAN_S, Pace, Progress
from modelserve.cli.batch_screen import Shown, duration, words


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace(100, 0.0)
    assert pace.note(100, 0.0) == 0
    for second in range(1, 60):
        rate = pace.note(100 + 10 * second, second)
    assert rate == 10
    for second in range(60, 60 + int(SPAN_S) + 1):
        rate = pace.note(690 + 100 * (second - 59), second)
    assert rate == 100


def test_words_say_rate_errors_and_time_left() -> None:
    assert words(Progress(1200, 3, 9000, 339.9, 84.0)) == "1,200 rows, 340/s, 3 failed, 1 min 24 s left"
    assert words(Progress(0, 0, 0, 0.0, None)) == "0 rows, 0/s, 0 failed"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (3600, "1 h 0 min")])
def test_a_time_has_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_without_a_terminal_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    found = iter([Progress(1, 0, 4, 1.0, 3.0), Progress(2, 1, 0, 1.0, None)])
    with Shown(lambda: next(found), target=Console(file=io.StringIO()), lines_s=0) as shown:
        shown.tick()
        shown.tick()
    assert capsys.readouterr().err == "25 %, 1 rows, 1/s, 0 failed, 3 s left\n2 rows, 1/s, 1 failed\n"
