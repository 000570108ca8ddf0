"""How many lines each source may write in a second."""

from __future__ import annotations

from modelserve.logs.flow import Flow


def test_a_source_may_write_so_many_lines_in_a_second_and_others_do_not_suffer() -> None:
    """N02."""
    flow = Flow(3)
    flow.turn(10.0)
    admitted = []
    for _ in range(5):
        admitted.append(flow.admits("a"))
        flow.spend("a", 1)
    assert admitted == [True, True, True, False, False]
    assert flow.admits("b")
    assert (flow.is_over("a"), flow.is_over("b")) == (True, False)


def test_a_record_of_many_lines_counts_as_many() -> None:
    flow = Flow(3)
    flow.turn(10.0)
    flow.spend("a", 30)
    assert not flow.admits("a")


def test_the_next_second_begins_anew_and_what_was_dropped_is_told_once() -> None:
    flow = Flow(1)
    flow.turn(10.0)
    flow.spend("a", 1)
    assert [flow.admits("a") for _ in range(4)] == [False] * 4
    assert flow.turn(10.9) == 0
    assert flow.turn(11.0) == 4
    assert flow.turn(12.0) == 0
    assert flow.admits("a")
    assert flow.dropped == 4, "the sum is for ever"
