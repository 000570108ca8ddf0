"""What a log line looks like, and that nothing a client or a model says can forge or break one."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from modelserve import logs
from modelserve.logs.writing import left_out

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) [\w.]+ .*")
logger = logging.getLogger("modelserve.x")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Take our handler away again."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers.clear()  # pytest adds its own anew for each phase
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.NOTSET)


def _lines(capture: pytest.CaptureFixture[str]) -> list[str]:
    return capture.readouterr().err.split("\n")[:-1]


def _run(program: str, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, through a shell that redirects its output."""
    command = f'exec "$0" -c "$1" {redirect}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, program], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_record_is_one_line_with_time_level_logger_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logger.info("is %s", "ready", extra={"deployment": "digits", "request_id": "a b", "n": 3, "empty": ""})
    (line,) = _lines(capsys)
    assert LINE.fullmatch(line)
    assert line.endswith('INFO modelserve.x is ready deployment=digits request_id="a b" n=3')


def test_how_many_lines_were_left_out_is_never_left_out_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """N02: what reads the prints of workers tells of a flood in the second in which there is another."""
    logs.configure("info", "text")
    for number in range(2000):
        logger.info("line %d", number, extra={"deployment": "m"})
    logging.getLogger().handle(left_out(335, deployment="m"))
    told = [line for line in _lines(capsys) if "335 lines of the log were left out" in line]
    assert len(told) == 1


@pytest.mark.parametrize(("level", "worker", "lines"), [("info", "", 0), ("debug", "", 1), ("info", "w-0", 1)])
def test_libraries_of_the_server_say_at_info_only_what_matters(
    capsys: pytest.CaptureFixture[str], level: str, worker: str, lines: int
) -> None:
    library = logging.getLogger("alembic.runtime")
    logging.getLogger("alembic").setLevel(logging.NOTSET)
    logs.configure(level, "text", worker=worker)
    library.info("context")
    library.warning("trouble")
    assert len(_lines(capsys)) == lines + 1


def test_json_lines_hold_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logger.warning("is\n%s", "\x7fready\u2028", extra={"deployment": "digits", "n": 3, "bad": float("nan")})
    (line,) = _lines(capsys)
    record = json.loads(line, parse_constant=pytest.fail)
    assert line.isascii()
    assert line.isprintable()
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "warning",
        "logger": "modelserve.x",
        "message": "is\n\x7fready\u2028",
        "deployment": "digits",
        "n": 3,
        "bad": "nan",
    }


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "mark", ["\n", "\r", "\x1b[2J", "\x00", "\x9b", "\x7f", "\u2028", "\u2029", "\u202e", "\ud800"]
)
def test_no_character_can_end_a_line_or_drive_a_terminal(
    capsys: pytest.CaptureFixture[str], form: str, mark: str
) -> None:
    logging.getLogger().handlers.clear()  # pytest's cannot report a lone surrogate
    logs.configure("info", form)
    logger.info("from a client: %s", f"x{mark}2026-01-01 INFO forged", extra={"field": f"a{mark}b", f"n{mark}": 1})
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.removesuffix("\n").isprintable()


def test_what_people_write_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logger.info("größe ✓ 数字")
    assert _lines(capsys)[0].endswith("größe ✓ 数字")


@pytest.mark.parametrize("form", ["text", "json"])
def test_long_texts_are_cut(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure("info", form)
    logger.info("x" * 1_000_000, extra={"field": "y" * 1_000_000})
    (line,) = _lines(capsys)
    assert len(line) < 9000
    assert "(995904 more characters)" in line


def test_a_traceback_stands_indented_below_its_record(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    try:
        raise ValueError("one\nINFO forged \x1b[31m")
    except ValueError:
        logger.exception("it failed")
    first, *below = _lines(capsys)
    assert first.endswith("ERROR modelserve.x it failed")
    assert below[0] == "    Traceback (most recent call last):"
    assert below[-1] == "    INFO forged \\x1b[31m"
    assert all(line.startswith("    ") for line in below)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_from_a_worker_is_shown_as_one_of_our_own(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure("info", form)
    logger.error("it failed", extra={"traceback": "Traceback:\n  File x\nValueError: y\n"})
    lines = _lines(capsys)
    if form == "text":
        assert lines[1:] == ["    Traceback:", "      File x", "    ValueError: y"]
    else:
        assert json.loads(lines[0])["traceback"] == "Traceback:\n  File x\nValueError: y\n"


def test_of_a_huge_traceback_the_beginning_and_the_end_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logger.error("it failed", extra={"traceback": "first\n" + "middle\n" * 100_000 + "last"})
    err = capsys.readouterr().err
    assert len(err) < 60_000
    assert "    first\n" in err
    assert "characters left out" in err
    assert err.endswith("    last\n")


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_cannot_be_shown_does_not_stop_the_program_nor_the_line(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    logging.getLogger().handlers.clear()  # pytest's would raise
    logs.configure("info", form)
    logger.info("%d of %s", 1, extra={"field": _Hostile(), "huge": 10**5000})
    logger.info("%s", _Hostile())
    try:
        raise _HostileError
    except _HostileError:
        logger.exception("it failed")
    err = capsys.readouterr().err
    assert "could not be formatted: TypeError" in err
    assert "_Hostile whose text raises RuntimeError" in err
    assert "it failed" in err


def test_the_workers_name_is_a_field_of_each_of_its_records(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text", worker="digits-0")
    logger.info("warm")
    logger.info("warm", extra={"worker": "digits-1"})
    assert [line.rpartition(" ")[2] for line in _lines(capsys)] == ["worker=digits-0", "worker=digits-1"]


def test_configured_again_it_replaces_what_it_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    logs.configure("warning", "text")
    logger.info("quiet")
    logger.warning("heard")
    (line,) = _lines(capsys)
    assert LINE.fullmatch(line)


LOGGING = "import logging; from modelserve import logs; logs.configure('info', 'text'); "


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "2>/dev/null"])
def test_a_standard_error_that_is_closed_or_full_stops_nothing(redirect: str) -> None:
    done = _run(LOGGING + "logging.error('lost'); print('went on')", redirect)
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_standard_error_closed_later_stops_nothing() -> None:
    done = _run(LOGGING + "import sys; sys.stderr.close(); logging.error('lost'); print('went on')")
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_record_is_written_in_utf_8_in_one_piece_in_any_locale() -> None:
    done = _run(LOGGING + "logging.error('größe %s', 'x' * 3000)", "PYTHONIOENCODING=ascii")
    assert done.stderr.endswith(f"größe {'x' * 3000}\n")


@pytest.mark.parametrize(("redirect", "lost"), [("2>/dev/full", "2"), ("2>/dev/null", "0")])
def test_records_that_could_not_be_written_are_counted(redirect: str, lost: str) -> None:
    """I06."""
    done = _run(LOGGING + "logging.error('one'); logging.error('two'); print(logs.lost_records())", redirect)
    assert done.stdout.strip() == lost
