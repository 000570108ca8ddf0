"""Values of a row go where the model reads its arguments from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from modelserve.batch.calls import CallMaker, Wishes
from modelserve.batch.rows import Row, size_of
from modelserve.errors import SettingsError
from modelserve.messages import Argument, Description, FileRule, Metadata

LOCATIONS = {"any": "", "q": "query", "f": "form", "j": "json", "X_Key": "headers"}


def maker(folder: Path, wishes: Wishes | None = None, *, files: tuple[str, ...] = ()) -> CallMaker:
    """Return the maker of calls of a model with an argument in each place, and these files."""
    arguments = [Argument(name, place, False, {}, {}) for name, place in LOCATIONS.items()]
    arguments += [Argument(name, "", False, {}, {}, FileRule(many=True)) for name in files]
    description = Description(Metadata("m", "m", "m"), ["predict"], arguments)
    (folder / "copies").mkdir()
    return CallMaker(description, wishes or Wishes(), scratch=folder / "copies", base=folder)


def message(row: Row) -> str:
    assert row.failure is not None
    return row.failure.message


def test_values_go_to_query_header_and_body(tmp_path: Path) -> None:
    row = maker(tmp_path).of_values({"any": [1], "q": ["a", "b"], "j": {"k": 1}, "X_Key": "v", "new": 2})
    call = row.call
    assert orjson.loads(call.body) == {"any": [1], "new": 2, "j": {"k": 1}}
    assert (call.query, call.headers, call.form) == ("q=a&q=b", {"x-key": "v"}, [])


def test_a_column_may_be_the_accept_header(tmp_path: Path) -> None:
    arguments = [Argument("accept", "headers", False, {"type": "string"}, {})]
    described = Description(Metadata("m", "m", "m"), predict=arguments)
    row = CallMaker(described, Wishes("a/b"), scratch=tmp_path, base=tmp_path).of_values({"accept": "text/csv"})
    assert (row.call.accept, row.call.headers) == ("text/csv", {})
    constant = CallMaker(described, Wishes(constants={"accept": "c/d"}), scratch=tmp_path, base=tmp_path)
    assert constant.of_json(b"{}").call.accept == "c/d"


def test_a_form_takes_the_values_that_could_stand_in_json(tmp_path: Path) -> None:
    values = {"any": [1, 2], "f": True, "new": {"k": 1}, "q": None, "X_Key": None}
    call = maker(tmp_path).of_values(values).call
    assert call.form == [("f", "true"), ("any", "1"), ("any", "2"), ("new", '{"k":1}')]
    assert (call.body, call.query, call.headers) == (b"", "", {})


def test_a_null_is_not_given_where_only_texts_go(tmp_path: Path) -> None:
    call = maker(tmp_path).of_values({"any": None, "f": "x"}).call
    assert call.form == [("f", "x")]


def test_a_form_and_a_json_argument_cannot_go_together(tmp_path: Path) -> None:
    assert "which no one call can carry" in message(maker(tmp_path).of_values({"j": 1, "f": 1}))


def test_files_are_copied_or_written_and_a_wrong_one_leaves_no_copy(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    make = maker(tmp_path, files=("image",))
    row = make.of_values({"image": ["a.png", b"raw"], "any": 1})
    first, second = row.call.files
    assert (first.content_type, first.filename, first.size) == ("image/png", "a.png", 3)
    assert (Path(second.path).read_bytes(), second.filename) == (b"raw", "")
    assert row.call.form == [("any", "1")]
    assert size_of(row) == 7
    assert make.of_values({"image": None}).call.files == []
    for part in row.call.files:
        Path(part.path).unlink()
    assert "no.png cannot be read" in message(make.of_values({"image": ["a.png", "no.png"]}))
    assert message(make.of_values({"image": ["a.png", 7]})) == "The arguments are not valid."
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_path_that_no_file_can_have_is_an_error_of_its_row(tmp_path: Path, path: str) -> None:
    assert "cannot be read" in message(maker(tmp_path, files=("image",)).of_values({"image": path}))


def test_texts_of_a_table_go_to_query_header_and_form(tmp_path: Path) -> None:
    make = maker(tmp_path)
    call = make.of_texts(["any", "q", "X_Key", "new"], ["1", "ü", "v", "z"]).call
    assert (call.form, call.query, call.headers) == ([("any", "1"), ("new", "z")], "q=%C3%BC", {"x-key": "v"})
    row = make.of_texts(["j"], ["1"])
    assert row.failure is not None
    assert row.failure.fields == {"j": ["A table cannot give this argument; it must be part of a JSON body."]}


def test_constants_go_to_query_header_and_form(tmp_path: Path) -> None:
    make = maker(tmp_path, Wishes(constants={"any": "1", "f": "2", "X_Key": "3"}))
    call = make.of_values({"new": 1}).call
    assert (call.query, call.form, call.headers) == ("any=1", [("f", "2"), ("new", "1")], {"x-key": "3"})


@pytest.mark.parametrize("name", ["j", "image"])
def test_what_only_rows_can_give_is_no_constant(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="can only be given by the rows"):
        maker(tmp_path, Wishes(constants={name: "1"}), files=("image",))


@pytest.mark.parametrize(
    ("field", "files", "words"),
    [
        ("", ("a", "b"), "must say which argument gets the files; there is a, b"),
        ("c", ("a", "b"), "--field c is no file argument of this model; there is a, b"),
    ],
)
def test_the_argument_of_a_folder_is_the_only_one_or_named(
    tmp_path: Path, field: str, files: tuple[str, ...], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        maker(tmp_path, Wishes(field=field), files=files).check_files()


def test_a_file_of_a_folder_that_cannot_be_read_is_an_error_of_its_row(tmp_path: Path) -> None:
    make = maker(tmp_path, Wishes(field="b"), files=("a", "b"))
    make.check_files()
    (tmp_path / "there").write_text("x")
    assert make.of_file(tmp_path / "there", "there").call.files[0].name == "b"
    row = make.of_file(tmp_path / "gone", "gone")
    assert (row.label, message(row).endswith("cannot be read: No such file or directory.")) == (
        b',"input":"gone"',
        True,
    )


@pytest.mark.parametrize(
    ("line", "label", "words"),
    [
        (b"{torn", b"", "The JSON cannot be read: "),
        (b"[1]", b"", "The arguments are not valid."),
    ],
)
def test_a_line_that_is_read_here_is_refused_here(tmp_path: Path, line: bytes, label: bytes, words: str) -> None:
    row = maker(tmp_path).of_json(line)
    assert (row.label, message(row).startswith(words)) == (label, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"any": 1, "any": 2, "key": 3}', 'The JSON gives the key "any" twice in one object.'),
        (b'{"any": {"a": 1, "a": 2}, "key": 3}', 'The JSON gives the key "a" twice in one object.'),
        (b'{"key": 3, "key": 4}', 'The JSON gives the key "key" twice in one object.'),
        (b'{"any": ' + b"[" * 70 + b"]" * 70 + b', "key": 3}', "The JSON is nested more than 64 levels deep."),
        (b'{"key": "\xff"}', "The JSON cannot be read: invalid UTF-8 encoded string (byte 9)."),
    ],
)
def test_a_line_whose_id_is_read_here_is_read_as_strictly_as_by_a_worker(
    tmp_path: Path, line: bytes, words: str
) -> None:
    """D03, D04."""
    row = maker(tmp_path, Wishes(id_column="key")).of_json(line)
    assert (row.label, message(row)) == (b"", words)


@pytest.mark.parametrize(("given", "shown"), [(1, b"1"), ([1], b'"[1]"'), (None, b"null"), ("a", b'"a"')])
def test_an_id_is_a_text_a_number_or_null(tmp_path: Path, given: Any, shown: bytes) -> None:
    make = maker(tmp_path, Wishes(id_column="key"))
    row = make.of_values({"key": given, "any": 1})
    assert (row.label, orjson.loads(row.call.body)) == (b',"id":' + shown, {"any": 1})


def test_bytes_are_base64_and_what_json_cannot_say_is_text(tmp_path: Path) -> None:
    make = maker(tmp_path)
    assert orjson.loads(make.of_values({"any": b"abc", "j": 1j}).call.body) == {"any": "YWJj", "j": "1j"}
    assert "cannot be written as JSON" in message(make.of_values({"any": "\ud800"}))


@pytest.mark.parametrize(
    "written", ["1180591620717411303424", "1.0", "1e5", "-0.0", '"007"', '"\\u00e9"', "[1, 2.0]", "true", "null"]
)
def test_an_id_of_a_line_stands_in_the_output_as_it_was_written(tmp_path: Path, written: str) -> None:
    """Y10."""
    row = maker(tmp_path, Wishes(id_column="key")).of_json(f'{{"any": {2**70}, "key": {written} }}'.encode())
    assert row.label == f',"id":{written}'.encode()
    assert json.loads(row.call.body) == {"any": 2**70}


def test_an_id_of_a_table_is_its_text_and_shown_where_it_is_none(tmp_path: Path) -> None:
    """Y10."""
    make = maker(tmp_path, Wishes(id_column="key"))
    assert make.of_texts(["key", "any"], ["007", "x"]).label == b',"id":"007"'
    row = make.of_texts(["key", "any"], ["a\udcff", "b\udcff"])
    assert (row.label, message(row)) == (',"id":"a\ufffd"'.encode(), "The cell any is not valid UTF-8.")
    assert make.of_texts(["key", "any"], ["a", "b", "c"]).label == b',"id":"a"'


@pytest.mark.parametrize(
    "line", [b'{"key": "\xff"}', b'{"key": "\\ud800"}', b"{", b"\xff", b'{"key": 007}', b"[" * 100_000]
)
def test_a_line_whose_id_cannot_be_read_is_refused(tmp_path: Path, line: bytes) -> None:
    """Y10."""
    row = maker(tmp_path, Wishes(id_column="key")).of_json(line)
    assert message(row).startswith("The JSON ")
