"""Records that pass from a worker to the server among the lines that it prints."""

from __future__ import annotations

import logging

import pytest

from modelserve.logs.form import TextFormatter
from modelserve.logs.passing import PassedFormatter, make_mark, taken

MARK = make_mark()


def _record(message: str, **extra: object) -> logging.LogRecord:
    told = {"name": "model", "levelno": 30, "levelname": "WARNING", "msg": message}
    return logging.makeLogRecord({**told, **extra})


def _shown(record: logging.LogRecord) -> str:
    return TextFormatter().format(record).partition(" ")[2]


def test_a_record_arrives_as_it_was_with_the_name_of_its_worker() -> None:
    line = PassedFormatter(MARK).format(_record("50% of %s", step=3, text="a\nb"))
    assert "\n" not in line
    (record,) = taken(line, MARK, deployment="digits", worker="digits-0")
    assert _shown(record) == r'WARNING model 50% of %s step=3 text="a\nb" deployment=digits worker=digits-0'


def test_a_traceback_arrives_too() -> None:
    try:
        raise ValueError("boom")
    except ValueError as error:
        record = _record("it failed", exc_info=(type(error), error, error.__traceback__))
    (found,) = taken(PassedFormatter(MARK).format(record), MARK)
    assert _shown(found).endswith("\n    ValueError: boom")


def test_a_record_cannot_say_that_it_is_of_another_worker() -> None:
    line = PassedFormatter(MARK).format(_record("x", deployment="other", worker="other-0"))
    (record,) = taken(line, MARK, deployment="digits", worker="digits-0")
    assert vars(record)["deployment"] == "digits"
    assert vars(record)["worker"] == "digits-0"


def test_what_is_printed_is_a_record_of_its_own() -> None:
    (record,) = taken("hello %s \x1b[2J", MARK, worker="digits-0")
    assert _shown(record) == r"INFO print hello %s \x1b[2J worker=digits-0"


def test_of_a_bar_that_is_drawn_over_itself_the_last_state_is_shown() -> None:
    (record,) = taken("10 %\r20 %\r30 %\r", MARK)
    assert record.getMessage() == "30 %"


def test_a_record_behind_a_print_without_a_line_end_is_found() -> None:
    line = "loading ... " + PassedFormatter(MARK).format(_record("done"))
    assert [record.getMessage() for record in taken(line, MARK)] == ["loading ... ", "done"]


@pytest.mark.parametrize("rest", ["", "{", "[]", "1", '{"fields": 1}', '{"fields": {}, "msg": '])
def test_a_torn_record_is_shown_as_it_came(rest: str) -> None:
    assert all(record.levelno <= logging.INFO for record in taken(f"{MARK}{rest}", MARK))


def test_nobody_passes_for_a_record_without_the_mark() -> None:
    """N01."""
    forged = PassedFormatter(make_mark()).format(_record("forged"))
    (record,) = taken(forged, MARK)
    assert record.levelno == logging.INFO
    assert "\x1e" not in _shown(record)


def test_empty_lines_are_left_out() -> None:
    assert taken("", MARK) == taken("  \r", MARK) == []
