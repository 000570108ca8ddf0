"""A job as clients see it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from modelserve.jobs.job import Job, Operation, Point, Status
from modelserve.web.v2.job_object import is_filed, show_as_deepaas, show_job, show_point

CREATED = datetime(2026, 5, 1, 12, 30, 0, 250_000, tzinfo=UTC)
JOB = Job("0" * 32, "m", Operation.TRAIN, Status.QUEUED, CREATED, args={"epochs": 3})
STARTED = CREATED + timedelta(seconds=1)
DONE = msgspec.structs.replace(
    JOB, status=Status.DONE, started=STARTED, finished=STARTED + timedelta(seconds=12.5), output={"accuracy": 0.9}
)


def test_a_job_that_waits_has_what_deepaas_shows() -> None:
    assert show_job(JOB) == {
        "uuid": "0" * 32,
        "date": "2026-05-01T12:30:00.250000Z",
        "status": "queued",
        "args": {"epochs": 3},
    }


def test_a_job_that_runs_has_its_progress_and_metrics_too() -> None:
    job = msgspec.structs.replace(JOB, status=Status.RUNNING, progress=0.0, metrics={"loss": 0.5})
    shown = show_job(job)
    assert (shown["status"], shown["progress"], shown["metrics"]) == ("running", 0.0, {"loss": 0.5})
    assert "result" not in shown


def test_a_job_that_failed_says_why() -> None:
    shown = show_job(msgspec.structs.replace(DONE, status=Status.ERROR, message="It broke.", output=None))
    assert shown["message"] == "It broke."
    assert "result" not in shown


def test_a_job_that_is_done_has_its_result_but_not_in_a_list() -> None:
    assert show_job(DONE)["result"] == {
        "output": {"accuracy": 0.9},
        "finish_date": "2026-05-01T12:30:13.750000Z",
        "duration": "0:00:12.500000",
    }
    assert "result" not in show_job(DONE, with_result=False)


def test_a_training_of_a_package_for_deepaas_runs_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        shown = {status: show_as_deepaas(msgspec.structs.replace(JOB, status=status)) for status in Status}
        assert {status for status, each in shown.items() if each["status"] == "running"} == {"queued", "running"}
        assert shown[Status.QUEUED]["date"] == "2026-05-01 14:30:00.250000"
        result = show_as_deepaas(DONE)["result"]
        assert result["output"] == {"accuracy": 0.9}
        assert (result["finish_date"], result["duration"]) == ("2026-05-01 14:30:13.750000", "0:00:13.500000")
        begun, ended = (
            datetime.strptime(each, "%Y-%m-%d %H:%M:%S.%f")
            for each in (shown[Status.DONE]["date"], result["finish_date"])
        )
        assert str(ended - begun) == result["duration"]
        whole = msgspec.structs.replace(JOB, created=CREATED.replace(microsecond=0))
        assert show_as_deepaas(whole)["date"].endswith(".000000")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_size_of_an_output_that_is_there_is_not_told() -> None:
    """The store keeps the size of every output; only the one of a file is something to fetch."""
    small = msgspec.structs.replace(DONE, output_bytes=16)
    nothing = msgspec.structs.replace(DONE, output=None, output_bytes=4)
    for job in (small, nothing):
        assert not is_filed(job)
        assert "output_bytes" not in show_job(job)["result"]


def test_an_output_that_is_too_large_is_told_by_its_size() -> None:
    result = show_job(msgspec.structs.replace(DONE, output=None, output_bytes=70_000))["result"]
    assert (result["output"], result["output_bytes"]) == (None, 70_000)


def test_the_result_of_a_background_prediction_is_its_answer_where_that_is_json() -> None:
    kept = {"content_type": "application/json", "filename": "", "bytes": 7, "output": {"y": 2}}
    result = show_job(msgspec.structs.replace(DONE, operation=Operation.PREDICT, output=kept))["result"]
    assert (result["output"], result["content_type"], result["output_bytes"]) == ({"y": 2}, "application/json", 7)
    kept = {"content_type": "image/png", "filename": "x.png", "bytes": 9}
    result = show_job(msgspec.structs.replace(DONE, operation=Operation.PREDICT, output=kept))["result"]
    assert (result["output"], result["content_type"], result["output_bytes"]) == (None, "image/png", 9)


def test_a_point_of_the_history_has_its_step_and_time() -> None:
    shown = show_point(Point(3, CREATED, {"loss": 0.5}))
    assert shown == {"step": 3, "date": "2026-05-01T12:30:00.250000Z", "metrics": {"loss": 0.5}}
