"""What is said of a store that does not work: once, and once that it works again."""

from __future__ import annotations

import logging

import pytest

from modelserve.errors import StoreUnavailable
from modelserve.jobs.outage import Outage


def test_an_outage_is_told_once_however_often_the_store_fails(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = Outage()
    for _ in range(3):
        with found.noticed():
            raise StoreUnavailable("It cannot be used.", log="it is locked: /data/modelserve.db")
    assert [record.getMessage() for record in caplog.records] == [
        "the store of jobs is unavailable, and jobs wait: it is locked: /data/modelserve.db"
    ]


def test_while_some_statements_fail_it_is_not_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = Outage(quiet_s=1000)
    found.begin(StoreUnavailable("It cannot be used."))
    found.end()
    assert len(caplog.records) == 1


def test_it_is_over_once_nothing_has_failed_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = Outage(quiet_s=-1)
    found.begin(StoreUnavailable("It cannot be used."))
    with found.noticed():
        pass
    found.end()
    assert [record.getMessage() for record in caplog.records[1:]] == ["the store of jobs is available again"]


def test_other_errors_are_not_the_stores() -> None:
    with pytest.raises(ValueError, match="ours"), Outage().noticed():
        raise ValueError("ours")
