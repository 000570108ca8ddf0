"""Which calls are identical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelserve.messages import Call, FilePart
from modelserve.runtime.cache_key import QUICK_BYTES, is_quick, key_of

WHOLE: dict[str, Any] = {
    "query": "a=1&b=2",
    "content_type": "application/json",
    "accept": "text/plain",
    "body": b'{"x": 1}',
    "headers": {"mood": "calm", "tone": "low"},
    "form": [("a", "1"), ("b", "2")],
}
OTHERS: list[dict[str, Any]] = [
    {"query": "b=2&a=1"},
    {"content_type": "application/x-www-form-urlencoded"},
    {"content_type": "application/json; charset=utf-8"},
    {"accept": ""},
    {"body": b'{"x":1}'},
    {"headers": {"mood": "calm"}},
    {"headers": {"mood": "wild", "tone": "low"}},
    {"form": [("b", "2"), ("a", "1")]},
    {"form": [("a", "1b"), ("", "2")]},
    {"form": [("a", "1")]},
    {"query": "", "accept": "a=1&b=2text/plain"},
]


@pytest.fixture
def upload(tmp_path: Path) -> FilePart:
    (tmp_path / "1").write_bytes(b"content")
    return FilePart("image", str(tmp_path / "1"), "image/png", "cat.png", 7)


def test_what_does_not_reach_the_model_does_not_count() -> None:
    one = Call(1, "first", deadline=5.0, **WHOLE)
    other = Call(2, "second", **(WHOLE | {"headers": {"tone": "low", "mood": "calm"}}))
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize("other", OTHERS, ids=map(str, OTHERS))
def test_what_reaches_the_model_counts(other: dict[str, Any]) -> None:
    assert key_of(Call(**WHOLE)) != key_of(Call(**(WHOLE | other)))


def test_the_boundary_of_a_form_does_not_count() -> None:
    one, other = (Call(content_type=f"Multipart/form-data; boundary={name}") for name in "ab")
    assert key_of(one) == key_of(other)


def test_a_text_that_no_encoding_holds_has_a_key_too() -> None:
    assert key_of(Call(accept="\udcff")) != key_of(Call(accept="\udcfe"))


def test_a_file_counts_by_content_wherever_it_lies(tmp_path: Path, upload: FilePart) -> None:
    (tmp_path / "2").write_bytes(b"content")
    (tmp_path / "3").write_bytes(b"Content")
    key = key_of(Call(files=[upload]))
    assert key == key_of(Call(files=[FilePart("image", str(tmp_path / "2"), "image/png", "cat.png", 7)]))
    assert key != key_of(Call(files=[FilePart("image", str(tmp_path / "3"), "image/png", "cat.png", 7)]))


def test_the_field_the_name_and_the_type_of_a_file_count(upload: FilePart) -> None:
    others = [("mask", "image/png", "cat.png"), ("image", "image/gif", "cat.png"), ("image", "image/png", "dog.png")]
    calls = [Call(files=[FilePart(name, upload.path, kind, filename, 7)]) for name, kind, filename in others]
    assert len({key_of(call) for call in (*calls, Call(files=[upload]), Call(files=[upload, upload]), Call())}) == 6


def test_a_file_that_is_gone_has_no_key(upload: FilePart) -> None:
    Path(upload.path).unlink()
    with pytest.raises(FileNotFoundError):
        key_of(Call(files=[upload]))


def test_only_small_calls_are_hashed_on_the_loop(upload: FilePart) -> None:
    assert is_quick(Call(body=b"x", files=[upload]))
    assert not is_quick(Call(body=b"x" * (QUICK_BYTES + 1)))
    assert not is_quick(Call(form=[("a", "x" * (QUICK_BYTES + 1))]))
    assert not is_quick(Call(files=[FilePart("image", "", "", "", QUICK_BYTES + 1)]))
    assert not is_quick(Call(files=[upload] * 5))
