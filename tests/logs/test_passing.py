"""Records that pass from a worker to the server among the lines that it prints."""

from __future__ import annotations

import json
import logging
import math

import pytest

from modelserve.logs.form import JsonFormatter, TextFormatter
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


GOOD = {
    "name": "model",
    "levelno": 30,
    "levelname": "WARNING",
    "created": 1.7e9,
    "msecs": 5.0,
    "msg": "100 %s",
    "traceback": "",
    "fields": {"step": 1},
}

# What a model may write behind its mark that is no record of ours.
HOSTILE = {
    "a level that is text": json.dumps({"fields": {}, "levelno": "x", "msg": "m"}),
    "a depth": "[" * 60_000,
    "a depth inside": '{"fields": ' + '{"a":' * 100_000,
    "an array": "[1]",
    "nothing": "{}",
    "a huge level": json.dumps(GOOD).replace("30", "1" + "0" * 400),
    "digits beyond what Python reads": json.dumps(GOOD).replace("30", "1" * 5000),
    "a level that is a truth": json.dumps({**GOOD, "levelno": True}),
    "a level that is a float": json.dumps({**GOOD, "levelno": 30.0}),
    "no time": json.dumps({**GOOD, "created": math.nan}),
    "a time beyond all calendars": json.dumps({**GOOD, "created": 1e300}),
    "an infinite time": json.dumps({**GOOD, "msecs": math.inf}),
    "a name that is a list": json.dumps({**GOOD, "name": ["a"]}),
    "a level with a line end": json.dumps({**GOOD, "levelname": "INFO x\nERROR"}),
    "fields that are a list": json.dumps({**GOOD, "fields": [1]}),
    "a message that is an object": json.dumps({**GOOD, "msg": {"a": 1}}),
    "no traceback": json.dumps({name: value for name, value in GOOD.items() if name != "traceback"}),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_bears_the_mark_and_is_no_record_is_text(text: str) -> None:
    """X6."""
    (record,) = taken(f"{MARK}{text}", MARK, deployment="digits", worker="digits-0")
    assert (record.name, record.levelno) == ("print", logging.INFO)
    assert _shown(record).isprintable()


@pytest.mark.parametrize(
    "name", ["args", "exc_info", "exc_text", "name", "levelno", "msg", "created", "taskName", "deployment"]
)
@pytest.mark.parametrize("value", ["x", 10**400, ["%d"], {"a": {}}, True], ids=ascii)
def test_a_field_with_the_name_of_a_part_of_a_record_changes_nothing(name: str, value: object) -> None:
    """X6: such as arguments that the message would be formatted with."""
    text = json.dumps({**GOOD, "args": ["x"], "exc_info": "x", "fields": {name: value}})
    (record,) = taken(f"{MARK}{text}", MARK, deployment="digits", worker="digits-0")
    assert _shown(record) == "WARNING model 100 %s deployment=digits worker=digits-0"
    assert json.loads(JsonFormatter().format(record))["message"] == "100 %s"


@pytest.mark.parametrize("value", [10**400, math.nan, -math.inf, "\ud800", None, [[[1]]], "\n", False], ids=ascii)
def test_whatever_a_field_holds_is_one_line(value: object) -> None:
    """X6."""
    text = json.dumps({**GOOD, "fields": {"value": value, "a\nb": 1}})
    (record,) = taken(f"{MARK}{text}", MARK)
    assert _shown(record).isprintable()
    assert JsonFormatter().format(record).isprintable()


def test_nobody_passes_for_a_record_without_the_mark() -> None:
    """N01."""
    forged = PassedFormatter(make_mark()).format(_record("forged"))
    (record,) = taken(forged, MARK)
    assert record.levelno == logging.INFO
    assert "\x1e" not in _shown(record)


def test_empty_lines_are_left_out() -> None:
    assert taken("", MARK) == taken("  \r", MARK) == []
