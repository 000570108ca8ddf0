"""What is kept of the log of each deployment: lines in memory, files that are rotated, the last errors."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest

from modelserve.keeping_logs import keep_logs
from modelserve.logs import kept as module
from modelserve.logs.kept import KeptLogs
from modelserve.logs.writing import left_out
from modelserve.settings import Settings
from modelserve.supervised import Supervisor


def _tell(logs: KeptLogs, message: str, level: int = logging.INFO, **extra: object) -> None:
    told = {"name": "x", "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
    logs.handle(logging.makeLogRecord({**told, "deployment": "digits", **extra}))


def _messages(lines: list[str]) -> list[str]:
    return [line.split(" ")[3] for line in lines]


def test_the_last_lines_are_held_and_no_more() -> None:
    """N07."""
    logs = KeptLogs(["digits"], lines=3)
    for number in range(10):
        _tell(logs, f"m{number}")
    assert _messages(logs.tail("digits", 2).lines) == ["m8", "m9"]
    assert _messages(logs.tail("digits", 100).lines) == ["m7", "m8", "m9"]
    assert logs.tail("digits", 0).lines == []


def test_who_has_had_lines_gets_those_behind_them() -> None:
    logs = KeptLogs(["digits"], lines=100)
    _tell(logs, "m0")
    last = logs.tail("digits", 1).last
    assert logs.since("digits", last) == ([], last)
    _tell(logs, "m1")
    _tell(logs, "m2")
    lines, newest = logs.since("digits", last)
    assert (_messages(lines), newest) == (["m1", "m2"], last + 2)
    assert logs.since("digits", newest + 1000).lines == [], "a number of another server is no error"
    assert _messages(logs.since("digits", 0).lines) == ["m0", "m1", "m2"]


def test_a_traceback_is_several_lines() -> None:
    logs = KeptLogs(["digits"], lines=100)
    _tell(logs, "m0", logging.ERROR, traceback="a\nb")
    assert [line.strip() for line in logs.tail("digits", 100).lines[1:]] == ["a", "b"]


def test_records_of_no_deployment_and_of_requests_are_not_kept() -> None:
    logs = KeptLogs(["digits"], lines=100)
    _tell(logs, "m0", deployment="other")
    _tell(logs, "m1", name="modelserve.access_log")
    assert logs.tail("digits", 100).lines == []


def test_errors_are_told_the_newest_first() -> None:
    logs = KeptLogs(["digits", "other"], lines=100)
    _tell(logs, "m0", logging.WARNING)
    for number in range(20):
        _tell(logs, f"m{number}", logging.ERROR, worker="digits-0", request_id="r", created=float(number))
    _tell(logs, "newest", logging.ERROR, deployment="other", created=100.0)
    faults = logs.faults()
    assert [fault.message for fault in faults] == ["newest", "m19", "m18", "m17", "m16", "m15"]
    assert (faults[1].deployment, faults[1].worker, faults[1].request_id) == ("digits", "digits-0", "r")


def test_the_files_hold_all_and_are_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 1000)
    logs = KeptLogs(["digits"], lines=1, folder=tmp_path)
    with contextlib.closing(logs):
        for number in range(30):
            _tell(logs, f"m{number:02}")
        files = logs.files("digits")
        text = b"".join(file.read() for file in files).decode()
        for file in files:
            file.close()
    assert len(files) > 1
    assert _messages(text.splitlines()) == [f"m{number:02}" for number in range(30)], "the oldest first"
    assert all(path.stat().st_size <= 1000 and path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_a_flood_does_not_fill_the_files() -> None:
    """N02."""
    logs = KeptLogs(["digits"], lines=100_000)
    for number in range(20_000):
        _tell(logs, f"m{number}")
    assert len(logs.tail("digits", 100_000).lines) < 15_000


def test_how_many_lines_were_left_out_is_kept_in_any_flood() -> None:
    """N02."""
    logs = KeptLogs(["digits"], lines=5000)
    for number in range(2000):
        _tell(logs, f"line {number}")
    logs.emit(left_out(335, deployment="digits"))
    assert [line for line in logs.tail("digits", 5000).lines if "335 lines of the log were left out" in line]


def test_a_file_that_cannot_be_written_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """I06."""
    (tmp_path / "digits.log").mkdir()
    logs = KeptLogs(["digits"], lines=100, folder=tmp_path)
    with contextlib.closing(logs):
        _tell(logs, "m0")
        _tell(logs, "m1")
        assert len(logs.tail("digits", 100).lines) == 2
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        f"the file {tmp_path / 'digits.log'} cannot be written"
    ]


def test_two_servers_of_one_data_folder_have_files_of_their_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    with keep_logs(settings, ["digits"], Supervisor()) as one, keep_logs(settings, ["digits"], Supervisor()) as two:
        _tell(one, "m1")
        _tell(two, "m2")
    with keep_logs(settings, ["digits"], Supervisor()) as three:
        _tell(three, "m3")
    found = {name: _messages((tmp_path / name / "digits.log").read_text().splitlines()) for name in ("logs", "logs-2")}
    assert found == {"logs": ["m1", "m3"], "logs-2": ["m2"]}


def test_without_a_folder_the_lines_are_kept_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with keep_logs(Settings(data_dir=str(tmp_path / "file")), ["digits"], Supervisor()) as logs:
        _tell(logs, "m0")
        assert _messages(logs.tail("digits", 1).lines) == ["m0"]
        assert logs.files("digits") == []
    assert "no log files of the deployments can be kept" in caplog.text
