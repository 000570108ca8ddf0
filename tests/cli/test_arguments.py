"""A model's arguments become flags, and the flags' values a call."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import click
import pytest

from modelserve.cli.arguments import CallBuilder, WrongUse, flag_of, options
from modelserve.messages import Argument, FileRule

NDARRAY: dict[str, Any] = {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}


def _argument(name: str, *, location: str = "", file: FileRule | None = None, **schema: Any) -> Argument:
    return Argument(name, location, False, schema, {}, file)


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("x", "--x"),
        ("top_k", "--top-k"),
        ("a b/c", "--a-b-c"),
        ("größe", "--größe"),
        ("v1.0", "--v1.0"),
        ("_x_", "--x"),
        ("???", "--arg"),
        ("output", "--arg-output"),
        ("help", "--arg-help"),
    ],
)
def test_an_arguments_flag_is_its_name_in_the_shells_spelling(name: str, flag: str) -> None:
    assert flag_of(name) == flag


def test_a_flag_may_also_be_written_as_the_argument_is_and_no_two_are_alike() -> None:
    names = ["top_k", "top-k", "a b", "a/b", "accept", "output"]
    found = [option.opts for _, option in options([_argument(name, type="string") for name in names]).values()]
    assert found == [["--top-k", "--top_k"], ["--top-k-2"], ["--a-b"], ["--a-b-2"], ["--arg-output"]]


def test_lists_and_many_files_may_be_repeated_and_json_may_not() -> None:
    arguments = [
        _argument("numbers", type="array", items={"type": "number"}),
        _argument("matrix", type="array", items={"type": "array"}),
        _argument("array", **NDARRAY),
        _argument("records", type="array", items={"$ref": "#/components/schemas/X"}),
        _argument("text", type="string"),
        _argument("files", file=FileRule(many=True)),
        _argument("file", file=FileRule()),
        _argument("nullable", type=["array", "null"], items={"type": "number"}),
        _argument("nullable_object", type=["object", "null"]),
    ]
    known = options(arguments).values()
    assert [argument.name for argument, option in known if option.multiple] == ["numbers", "files", "nullable"]
    json = [argument.name for argument, option in known if option.metavar == "JSON|@FILE"]
    assert json == ["matrix", "array", "records", "nullable_object"]


def test_what_may_be_null_is_shown_as_what_else_it_is() -> None:
    arguments = [_argument("k", type=["integer", "null"]), _argument("s", type=["null", "string"])]
    assert [option.metavar for _, option in options(arguments).values()] == ["INTEGER", "TEXT"]


def test_a_command_may_keep_other_flags_for_itself() -> None:
    names = ["accept", "url", "output"]
    found = options([_argument(name, type="string") for name in names], frozenset({"--url"}))
    assert [option.opts for _, option in found.values()] == [["--accept"], ["--arg-url"], ["--output"]]


def test_the_help_tells_type_default_and_what_is_required() -> None:
    arguments = [
        _argument("k", type="integer", default=3, description="How many."),
        Argument("image", "", True, {}, {}, FileRule(media_types=["image/png"])),
    ]
    context = click.Context(click.Command("x"))
    first, second = (option.get_help_record(context) for _, option in options(arguments).values())
    assert first == ("--k INTEGER", "How many.  [integer; default: 3]")
    assert second == ("--image FILE", "[file (image/png); required]")


def test_values_go_where_their_argument_is_read(tmp_path: Path) -> None:
    builder = CallBuilder(tmp_path)
    builder.add(_argument("a", type="string"), ["1 & 2"])
    builder.add(_argument("b", type="array", items={"type": "integer"}), ["1", "2"])
    builder.add(_argument("c", location="query", type="string"), ["ü=?"])
    builder.add(_argument("X_Key", location="headers", type="string"), ["secret"])
    builder.add(_argument("X-Nums", location="headers", type="array", items={"type": "integer"}), ["1", "2"])
    call = builder.build("image/png")
    assert call.form == [("a", "1 & 2"), ("b", "1"), ("b", "2")]
    assert call.query == "c=%C3%BC%3D%3F"
    assert call.headers == {"x-key": "secret", "x-nums": "1, 2"}
    assert call.accept == "image/png"
    assert call.content_type.startswith("multipart/form-data")


def test_an_argument_that_is_the_accept_header_is_given_as_such(tmp_path: Path) -> None:
    builder = CallBuilder(tmp_path)
    builder.add(_argument("Accept", location="headers", type="string"), ["text/csv"])
    call = builder.build("")
    assert (call.accept, call.headers) == ("text/csv", {})


def test_a_json_argument_goes_into_a_json_body_and_the_others_into_the_query(tmp_path: Path) -> None:
    builder = CallBuilder(tmp_path)
    builder.add(_argument("a", type="integer"), ["1"])
    builder.add(_argument("b", location="json", type="object"), ['{"x": [1]}'])
    builder.add(_argument("c", location="json", type="string"), ["12"])
    builder.add(_argument("d", location="json", type="array", items={"type": "number"}), ["1", "2.5"])
    builder.add(_argument("e", location="json", type="number"), ["no number"])
    call = builder.build("")
    assert json.loads(call.body) == {"b": {"x": [1]}, "c": "12", "d": [1, 2.5], "e": "no number"}
    assert (call.query, call.content_type, call.form) == ("a=1", "application/json", [])


def test_without_arguments_there_is_no_body(tmp_path: Path) -> None:
    call = CallBuilder(tmp_path).build("")
    assert (call.content_type, call.body, call.query) == ("", b"", "")


def test_a_file_is_copied_so_that_the_model_cannot_touch_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    image = tmp_path / "seven.png"
    image.write_bytes(b"png")
    builder = CallBuilder(tmp_path / "folder")
    builder.add(_argument("image", file=FileRule(many=True)), [str(image), str(image)])
    first, second = builder.build("").files
    assert (first.name, first.content_type, first.filename, first.size) == ("image", "image/png", "seven.png", 3)
    assert len({first.path, second.path, str(image)}) == 3
    assert first.path.endswith(".png")
    assert Path(second.path).read_bytes() == b"png"


def test_a_file_and_a_json_argument_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.bin").write_bytes(b"")
    builder = CallBuilder(tmp_path / "folder")
    builder.add(_argument("f", file=FileRule()), [str(tmp_path / "x.bin")])
    builder.add(_argument("j", location="json", type="object"), ["{}"])
    with pytest.raises(WrongUse, match="no one request can carry"):
        builder.build("")


def test_a_call_that_is_sent_on_names_the_files_themselves(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"12")
    builder = CallBuilder(None)
    builder.add(_argument("f", file=FileRule()), [str(tmp_path / "x.bin")])
    (file,) = builder.build("").files
    assert (file.path, file.filename, file.size) == (str(tmp_path / "x.bin"), "x.bin", 2)
    with pytest.raises(WrongUse, match="the file cannot be read"):
        builder.add(_argument("f", file=FileRule()), [str(tmp_path)])


def test_an_array_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1, 2]", encoding="utf-8-sig")  # as Windows' programs write it
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    builder = CallBuilder(tmp_path)
    builder.add(_argument("a", **NDARRAY), [f"@{tmp_path}/x.json"])
    builder.add(_argument("b", **NDARRAY), [f"@{tmp_path}/x.npy"])
    builder.add(_argument("c", type="string"), ["@nobody"])
    encoded = base64.b64encode(b"\x93NUMPY").decode()
    assert builder.build("").form == [("a", "[1, 2]"), ("b", encoded), ("c", "@nobody")]


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    builder = CallBuilder(tmp_path)
    with pytest.raises(WrongUse, match=r"--image nosuch\.png: the file cannot be read \(No such file"):
        builder.add(_argument("image", file=FileRule()), ["nosuch.png"])
    with pytest.raises(WrongUse, match=r"--a @nosuch: the file cannot be read"):
        builder.add(_argument("a", **NDARRAY), ["@nosuch"])
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(WrongUse, match="the file is no UTF-8 text"):
        builder.add(_argument("a", **NDARRAY), [f"@{tmp_path}/latin"])
