"""Answers that are files, as lines take them: read whole, and gone once read."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelserve.batch.flow import _with_body
from modelserve.messages import Answer, FileAnswer


@pytest.mark.parametrize("delete", [True, False])
def test_the_file_of_an_answer_is_gone_once_it_is_read(tmp_path: Path, delete: bool) -> None:
    """A run of a million rows would fill the worker's folder."""
    path = tmp_path / "answer"
    path.write_bytes(b"content")
    answer = _with_body(Answer(1, "image/png", file=FileAnswer(str(path), 7, delete=delete)))
    assert (answer.body, answer.failure) == (b"content", None)
    assert path.exists() is not delete


def test_an_answer_whose_file_was_replaced_by_a_link_fails(tmp_path: Path) -> None:
    """X15."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "answer").symlink_to("secret")
    answer = _with_body(Answer(1, "image/png", file=FileAnswer(str(tmp_path / "answer"), 6)))
    assert answer.failure is not None
    assert answer.body == b""
