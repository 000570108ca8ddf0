"""Bounds for what the server holds as a whole."""

from __future__ import annotations

import pytest

from modelserve.held import Bound, Share, Sum


def test_what_fits_is_taken_and_what_does_not_fit_is_refused_whole() -> None:
    bound = Bound("receiving", 10)
    assert bound.take(6)
    assert not bound.take(5)
    assert (bound.held, bound.room) == (6, 4)
    assert bound.take(4)
    assert not bound.take(1)


def test_what_is_given_back_may_be_taken_again() -> None:
    bound = Bound("receiving", 10)
    assert bound.take(10)
    bound.give(3)
    assert bound.take(3)


def test_what_has_come_already_counts_beyond_the_limit_and_nothing_more_fits_until_it_has_gone() -> None:
    bound = Bound("receiving", 10)
    bound.add(12)
    assert bound.room == -2
    assert not bound.take(1)
    bound.give(12)
    assert bound.take(10)


def test_a_share_gives_all_it_has_back_once_however_it_ends() -> None:
    bound = Bound("sending", 10)
    share = Share(bound)
    with pytest.raises(ValueError, match="broken"):
        use(share)
    assert bound.held == 0
    share.close()
    assert bound.held == 0


def use(share: Share) -> None:
    with share:
        assert share.take(4)
        assert not share.take(7)
        share.add(7)
        share.give(1)
        assert share.size == 10
        raise ValueError("broken")


def test_what_others_count_is_told_as_a_bound_is() -> None:
    counted = [1]
    told = Sum("queued", 10, lambda: sum(counted))
    counted.append(2)
    assert (told.what, told.held, told.limit) == ("queued", 3, 10)
