"""What a client calls its file is only ever text, and only the last part of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.web.uploads import MAX_FILENAME, clean_filename


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("..", ""),
        (".", ""),
        ("a/b\\c.png", "c.png"),
        ("with space.png", "with space.png"),
        ("naïve.png", "naïve.png"),
        ("nul\x00esc\x1b.png", "nulesc.png"),
        ("right\u202eto left.png", "rightto left.png"),
    ],
)
def test_a_filename_keeps_its_base_name_only(said: str, kept: str) -> None:
    assert clean_filename(said) == kept


@given(st.text())
def test_no_filename_can_leave_a_folder_or_split_a_line(said: str) -> None:
    kept = clean_filename(said)
    assert len(kept) <= MAX_FILENAME
    assert not set(kept) & set("/\\\r\n\x00")
    assert kept not in (".", "..")
