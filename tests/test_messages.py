"""Messages: what goes into msgpack comes out, and any text of a model can."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.messages import (
    TEXT_LIMIT,
    Call,
    Calls,
    Cancel,
    Failure,
    decode_server_bound,
    decode_worker_bound,
    sendable,
)


def test_a_call_that_leaves_out_what_is_usual_is_the_same_call() -> None:
    assert decode_worker_bound(msgspec.msgpack.encode(Calls([Call(1)]))) == Calls([Call(1)])


def test_what_is_meant_for_the_other_side_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_server_bound(msgspec.msgpack.encode(Cancel([1])))


@given(text=st.text(alphabet=st.characters(exclude_categories=()), max_size=50))
def test_any_text_can_be_sent(text: str) -> None:
    sendable(text).encode()


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = sendable("a" * TEXT_LIMIT + "z")
    assert text.startswith("aaa")
    assert text.endswith("az")
    assert "characters left out" in text
    assert sendable("short") == "short"


def test_a_failure_of_one_line_has_no_traceback_beside_its_cause() -> None:
    one, many = Failure(500, "c", "m", log="only this\n"), Failure(500, "c", "m", log="Traceback\nValueError: x\n")
    assert (one.cause, one.traceback) == ("only this", "")
    assert (many.cause, many.traceback) == ("ValueError: x", many.log)
