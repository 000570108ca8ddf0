"""The rule for names (FAULTS B10)."""

from __future__ import annotations

import pytest

from modelserve.names import is_name


@pytest.mark.parametrize("name", ["digits", "a", "v1.0_b-c", "x" * 100, "1"])
def test_a_name_is_letters_digits_and_a_few_signs(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a b", "a/b", "a\n", "größe", "x" * 101, "a?b", "<a>"])
def test_what_would_need_escaping_somewhere_is_none(name: str) -> None:
    assert not is_name(name)
