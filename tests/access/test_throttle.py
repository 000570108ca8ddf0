"""Buckets that fill again, in a table that does not grow."""

from __future__ import annotations

import time

import psutil
import pytest

from modelserve.access.throttle import MOST_KEYS, Buckets, FailedLogins, RateLimit
from modelserve.errors import TooManyRequests


def test_as_many_as_its_size_may_come_at_once_and_then_at_its_rate() -> None:
    buckets = Buckets(2.0, 3)
    assert [buckets.take("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b", 100.0) == 0.0
    assert buckets.take("a", 100.4) == pytest.approx(0.1)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) == pytest.approx(0.5)
    assert [buckets.take("a", 200.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_asking_how_long_to_wait_takes_nothing() -> None:
    buckets = Buckets(1.0, 1)
    assert [buckets.wait_s("a", 5.0) for _ in range(3)] == [0.0] * 3
    buckets.take("a", 5.0)
    assert [buckets.wait_s("a", 5.25) for _ in range(3)] == [0.75] * 3


def test_a_rate_limit_refuses_one_client_and_says_when_it_may_come_back() -> None:
    limit = RateLimit(0.5)
    limit.check("alice")
    with pytest.raises(TooManyRequests) as caught:
        limit.check("alice")
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")
    assert 1.0 < caught.value.retry_after_s <= 2.0
    limit.check("bob")


def failures(failed: FailedLogins, count: int, name: str, address: str) -> list[bool]:
    """Fail so often; return which were one too many."""
    found = []
    for _ in range(count):
        try:
            failed.count(name, address)
            found.append(False)
        except TooManyRequests:
            found.append(True)
    return found


def test_the_eleventh_failure_is_one_too_many_for_a_name_from_any_address() -> None:
    """K05."""
    failed = FailedLogins()
    assert failures(failed, 10, "alice", "10.0.0.1") == [False] * 10
    assert failures(failed, 1, "alice", "10.0.0.2") == [True]
    assert failures(failed, 1, "bob", "10.0.0.1") == [True]
    assert failures(failed, 1, "bob", "10.0.0.2") == [False]


def test_only_who_has_failed_too_often_from_there_is_refused_without_a_look() -> None:
    """K05."""
    failed = FailedLogins()
    failures(failed, 10, "alice", "10.0.0.1")
    with pytest.raises(TooManyRequests) as caught:
        failed.check("alice", "10.0.0.1")
    assert 0 < caught.value.retry_after_s <= 6.0
    failed.check("alice", "10.0.0.2")
    failed.check("bob", "10.0.0.1")


def test_a_hundred_thousand_names_take_no_more_room_than_the_table_has() -> None:
    """K05."""
    failed = FailedLogins()
    failures(failed, 3 * MOST_KEYS, "x" * 5000, "10.0.0.1")
    for number in range(3 * MOST_KEYS):
        failures(failed, 1, f"{number}", f"10.0.0.{number}")
    before = psutil.Process().memory_info().rss
    for number in range(100_000):
        failures(failed, 1, f"{number} {'n' * 5000}" if number % 10 == 0 else f"name {number}", f"10.{number}")
    assert psutil.Process().memory_info().rss - before < 4 << 20
    assert len(failed) == 3 * MOST_KEYS


def test_where_there_is_no_limit_nothing_is_counted() -> None:
    failed = FailedLogins(0)
    for _ in range(100):
        failed.count("a", "here")
        failed.check("a", "here")
    assert not len(failed)


def test_a_failure_is_over_after_a_minute() -> None:
    failed = FailedLogins()
    assert failed.are_over(time.monotonic())
    failed.count("a", "here")
    assert not failed.are_over(time.monotonic() + 59)
    assert failed.are_over(time.monotonic() + 61)
