"""How a training is shown: plain lines at most every second, JSON lines, and metrics in few characters."""

from __future__ import annotations

import json
import math

import pytest

from modelserve.cli.following import News, metrics_text, showing


def test_metrics_are_short_and_cannot_drive_the_terminal() -> None:
    metrics = {"loss": 0.123456, "count": 12345678.0, "none": None, "inf": math.inf, "a\x1bb": 1.0}
    assert metrics_text(metrics) == "loss=0.1235 count=1.235e+07 none=nan inf=inf a b=1"
    assert metrics_text({}) == ""


def test_without_a_terminal_there_are_few_lines_and_the_last_news_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with showing("toy", as_json=False) as display:
        display.tell(News(status="running"))
        for step in range(100):
            display.tell(News(progress=step / 100, metrics={"loss": 1 / (step + 1)}, step=step))
        display.tell(News())
        display.log("a line\x1b[31m")
        display.note("a sentence")
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "toy: running"
    assert lines[-3:] == ["a line [31m", "a sentence", "toy: running 99% loss=0.01"]
    assert len(lines) < 10


def test_nothing_is_shown_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with showing("toy", as_json=False) as display:
        display.tell(News(status="running"))
    assert capsys.readouterr().err == "toy: running\n"


def test_programs_get_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    with showing("toy", as_json=True) as display, display.paused():
        display.tell(News(status="running"))
        display.tell(News(progress=0.0, metrics={"loss": None}, step=0))
        display.log("größe")
        display.note("a sentence")
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "status", "status": "running"},
        {"event": "progress", "progress": 0.0, "metrics": {"loss": None}, "step": 0},
        {"event": "log", "line": "größe"},
    ]
    assert err == "a sentence\n"
