"""What a training's worker tells is taken as far as a training can tell it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from modelserve.jobs.job import Report, Status
from modelserve.jobs.log_limit import KEPT_BYTES, LIMIT_BYTES
from modelserve.jobs.training_run import BYTES_AT_ONCE, MOST_EVENT_BYTES, PARTS_AT_ONCE, TrainingRun
from modelserve.messages import Answer, Answers, Part, TrainingDone, TrainingProgress, encode_training_event
from modelserve.runtime.interface import Misbehaved


class _Job:
    uuid = "u"
    deployment = "m"
    request_id = ""


class _Replica:
    async def stop(self, wait_s: float) -> None:
        """End at once."""


def a_run(report: Callable[[Report], None], log: Path = Path("log")) -> TrainingRun:
    """Return a run whose worker has begun its training."""
    run = TrainingRun(cast(Any, _Job()), cast(Any, _Replica()), log=log, report=report, cancel_s=1)
    run.answered(cast(Any, None), BEGUN)
    return run


BEGUN = Answers([Answer(1, stream=True)])


def done(output: bytes) -> Part:
    return Part(1, encode_training_event(TrainingDone(False, output)), last=True)


BAD = {
    "beyond all": [Part(1, encode_training_event(TrainingProgress(7.0)))],
    "below none": [Part(1, encode_training_event(TrainingProgress(-1.0)))],
    "too large": [Part(1, b" " * (MOST_EVENT_BYTES + 1))],
    "too many": [Part(1)] * (PARTS_AT_ONCE * 2),
    "too much": [Part(1, encode_training_event(TrainingProgress()) + b" " * 500_000)] * (BYTES_AT_ONCE // 200_000),
    "of another training": [Part(2, encode_training_event(TrainingProgress(0.5)))],
    "a progress at the end": [Part(1, encode_training_event(TrainingProgress(0.5)), last=True)],
}


@pytest.mark.parametrize("parts", BAD.values(), ids=BAD.keys())
async def test_a_training_that_tells_what_none_tells_ends_with_an_error(parts: Sequence[Part]) -> None:
    """X7."""
    reports: list[Report] = []
    run = a_run(reports.append)
    with contextlib.suppress(Misbehaved):
        for part in parts:
            run.part(cast(Any, None), part)
    assert (await run._ending).status is Status.ERROR
    assert not [report for report in reports if report.progress is not None]


async def test_what_comes_after_the_end_is_not_heard() -> None:
    """X7."""
    reports: list[Report] = []
    run = a_run(reports.append)
    run.part(cast(Any, None), done(b"1"))
    run.part(cast(Any, None), Part(1, encode_training_event(TrainingProgress(0.5))))
    assert (await run._ending).output == b"1"
    assert reports == []


@pytest.mark.parametrize("answers", [[], [Answer(2)], [Answer(1)], [Answer(1, stream=True)]])
async def test_a_training_is_answered_once_and_with_a_stream(answers: list[Answer]) -> None:
    """X7: whoever answers what it was not asked is ended, which is the end of the job."""
    run = a_run(lambda report: None)
    with pytest.raises(Misbehaved):
        run.answered(cast(Any, None), Answers(answers))


async def test_a_training_leaves_no_long_log_however_soon_it_is_over(tmp_path: Path) -> None:
    """X17: all was printed between two looks at the logs of those that run."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * (LIMIT_BYTES + 1024 * 1024))
    run = a_run(lambda report: None, log)
    run.part(cast(Any, None), done(b"1"))
    await run.close()
    assert log.stat().st_blocks * 512 <= 2 * KEPT_BYTES + 4096
    assert log.stat().st_size == LIMIT_BYTES + 1024 * 1024
