"""Which answers stand in lines, and what is asked for so that they can."""

from __future__ import annotations

import pytest

from modelserve.batch.answers import line, line_and_file
from modelserve.batch.media import JSON, accept_of, in_json
from modelserve.errors import SettingsError
from modelserve.messages import Answer, Description, Failure, Metadata

PNG, TEXT = "image/png", "text/plain; charset=utf-8"


def description(*media_types: str, streams: bool = False) -> Description:
    return Description(Metadata("m", "m", "m"), media_types=list(media_types), streams=streams)


@pytest.mark.parametrize(
    ("offered", "asked", "is_folder", "chosen"),
    [
        ((JSON,), "", False, JSON),
        ((JSON, PNG), PNG, True, PNG),
        ((PNG, JSON), "", False, JSON),
        ((PNG, JSON), "", True, ""),
        ((TEXT,), "", False, ""),
        ((PNG, JSON), "*/*", False, "*/*"),
        (("image/*", JSON), "", False, JSON),
        ((JSON, "image/*"), PNG, True, PNG),
        ((JSON, "image/*"), "video/mp4, image/png;q=0.1", True, "video/mp4, image/png;q=0.1"),
        ((PNG, JSON), "image/*", True, "image/*"),
    ],
)
def test_what_a_line_can_hold_is_asked_for(offered: tuple[str, ...], asked: str, is_folder: bool, chosen: str) -> None:
    assert accept_of(description(*offered), asked, is_folder=is_folder) == chosen


@pytest.mark.parametrize(
    ("offered", "asked", "words"),
    [
        ((PNG,), "", "let --output be a folder"),
        ((JSON, PNG), PNG, "image/png, which no"),
        ((JSON,), PNG, "answers with"),
        ((JSON, "image/*"), "imagery/png", "answers with"),
        ((JSON,), "image/*", "answers with"),
        (("image/*",), "", "image/\\*, which no line"),
    ],
)
def test_what_no_line_can_hold_is_refused_before_the_first_row(
    offered: tuple[str, ...], asked: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        accept_of(description(*offered), asked, is_folder=False)


def test_a_stream_is_asked_for_as_lines() -> None:
    assert accept_of(description("text/event-stream", streams=True), "", is_folder=False) == "application/x-ndjson"


@pytest.mark.parametrize(
    ("content_type", "body", "shown"),
    [
        ("application/x-ndjson", b"1\n\n{}\n", b"[1,{}]"),
        (TEXT, "ü\n".encode(), '"ü\\n"'.encode()),
        ("application/geo+json", b"{}", b"{}"),
    ],
)
def test_answers_of_other_types_are_json_in_a_line(content_type: str, body: bytes, shown: bytes) -> None:
    assert in_json(Answer(1, content_type, body)).body == shown


def test_an_answer_that_no_line_holds_is_an_error() -> None:
    failure = in_json(Answer(1, PNG, b"x")).failure
    assert failure is not None
    assert (failure.status, failure.code) == (500, "bad_type")


def test_json_over_several_lines_is_one_line() -> None:
    assert line(7, b',"id":1', Answer(1, JSON, b'{"a":\n1}')) == b'{"row":7,"id":1,"output":{"a": 1}}\n'


def test_a_file_has_the_suffix_of_its_name_or_its_type() -> None:
    for answer, name in [
        (Answer(1, PNG, b"x"), "00000003.png"),
        (Answer(1, PNG, b"x", filename="a.jpeg"), "00000003.jpeg"),
        (Answer(1, "application/no-such", b"x", filename="a./b"), "00000003.bin"),
    ]:
        made, file = line_and_file(3, b"", answer)
        assert file is not None
        assert (file.name, file.body) == (name, b"x")
        assert made.startswith(b'{"row":3,"file":"%b","content_type":"' % name.encode())
    made, file = line_and_file(3, b"", Answer(1, failure=Failure(500, "model_error", "No.", log="a\nE: b\n")))
    assert (made, file) == (
        b'{"row":3,"error":{"status":500,"code":"model_error","message":"No.","cause":"E: b"}}\n',
        None,
    )
