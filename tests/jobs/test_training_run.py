"""What a training's worker tells is taken as far as a training can tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from modelserve.jobs.job import Report, Status
from modelserve.jobs.training_run import MOST_EVENT_BYTES, PARTS_AT_ONCE, TrainingRun
from modelserve.messages import Part, TrainingDone, TrainingProgress, encode_training_event


class _Job:
    uuid = "u"
    deployment = "m"
    request_id = ""


def a_run(report: Callable[[Report], None]) -> TrainingRun:
    return TrainingRun(cast(Any, _Job()), cast(Any, None), log=Path("log"), report=report, cancel_s=1)


def done(output: bytes) -> Part:
    return Part(1, encode_training_event(TrainingDone(False, output)), last=True)


BAD = {
    "beyond all": [Part(1, encode_training_event(TrainingProgress(7.0)))],
    "below none": [Part(1, encode_training_event(TrainingProgress(-1.0)))],
    "too large": [Part(1, b" " * (MOST_EVENT_BYTES + 1))],
    "too many": [Part(1)] * (PARTS_AT_ONCE * 2),
    "a progress at the end": [Part(1, encode_training_event(TrainingProgress(0.5)), last=True)],
}


@pytest.mark.parametrize("parts", BAD.values(), ids=BAD.keys())
async def test_a_training_that_tells_what_none_tells_ends_with_an_error(parts: Sequence[Part]) -> None:
    """X7."""
    reports: list[Report] = []
    run = a_run(reports.append)
    for part in parts:
        run.part(cast(Any, None), part)
    assert (await run._ending).status is Status.ERROR
    assert reports == []


async def test_what_comes_after_the_end_is_not_heard() -> None:
    """X7."""
    reports: list[Report] = []
    run = a_run(reports.append)
    run.part(cast(Any, None), done(b"1"))
    run.part(cast(Any, None), Part(1, encode_training_event(TrainingProgress(0.5))))
    assert (await run._ending).output == b"1"
    assert reports == []
