"""What is kept, and what goes first."""

from __future__ import annotations

from modelserve.messages import Answer
from modelserve.runtime.kept import ENTRY_BYTES, MAX_ANSWER_BYTES, MAX_BYTES, Kept


def body(kept: Kept, key: bytes, now: float = 0.0) -> bytes | None:
    found = kept.get(key, now)
    return None if found is None or found.answer is None else found.answer.body


def test_the_answer_that_was_not_asked_for_the_longest_goes_first() -> None:
    kept = Kept(2, 0)
    kept.put(b"a", Answer(1, body=b"A"), 0)
    kept.put(b"b", Answer(2, body=b"B"), 0)
    assert body(kept, b"a") == b"A"
    kept.put(b"c", Answer(3, body=b"C"), 0)
    assert (body(kept, b"a"), body(kept, b"b"), body(kept, b"c")) == (b"A", None, b"C")
    assert len(kept) == 2


def test_an_answer_is_not_given_once_it_is_too_old_and_takes_no_place() -> None:
    kept = Kept(2, 10)
    kept.put(b"a", Answer(1, body=b"A"), 100)
    assert body(kept, b"a", 109.9) == b"A"
    assert body(kept, b"a", 110) is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_without_a_limit_to_their_age_answers_stay() -> None:
    kept = Kept(2, 0)
    kept.put(b"a", Answer(1, body=b"A"), 0)
    assert body(kept, b"a", 1e9) == b"A"


def test_a_later_answer_takes_the_place_of_an_earlier_one() -> None:
    kept = Kept(2, 0)
    kept.put(b"a", Answer(1, body=b"A" * 100), 0)
    kept.put(b"a", Answer(2, body=b"B"), 5)
    assert body(kept, b"a") == b"B"
    assert (len(kept), kept.bytes) == (1, ENTRY_BYTES + 1)


def test_a_large_answer_is_not_kept() -> None:
    kept = Kept(2, 0)
    kept.put(b"a", Answer(1, body=b"A" * (MAX_ANSWER_BYTES + 1)), 0)
    assert len(kept) == 0


def test_all_together_stay_within_their_bytes_however_many_may_be_kept() -> None:
    kept = Kept(100_000, 0)
    for number in range(100):
        kept.put(b"%d" % number, Answer(number, body=bytes(MAX_ANSWER_BYTES)), 0)
        assert kept.bytes <= MAX_BYTES
    assert len(kept) == 63
    assert body(kept, b"36") is None
    assert body(kept, b"37") is not None


def test_a_key_whose_answers_are_not_to_be_shared_has_a_place_too() -> None:
    kept = Kept(2, 0)
    kept.put(b"a", None, 0)
    found = kept.get(b"a", 0)
    assert found is not None
    assert found.answer is None
    kept.clear()
    assert (len(kept), kept.bytes) == (0, 0)
