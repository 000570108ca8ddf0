"""Files that go into a model and come out of it."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from modelserve.v2.files import OutputFile, UploadedFile


def test_an_upload_is_deepaas_named_tuple_of_four_with_a_size(tmp_path: Path) -> None:
    file = UploadedFile("image", str(tmp_path / "x"), "image/png", "seven.png", 12)
    name, path, *rest = file
    assert (name, path, rest) == ("image", str(tmp_path / "x"), ["image/png", "seven.png"])
    assert (file.name, file.filename, file.content_type, file.original_filename, file.size) == (*file, 12)
    assert json.loads(json.dumps(file)) == list(file)
    assert list(file._asdict()) == ["name", "filename", "content_type", "original_filename"]
    assert (file[1], file[-1], len(file)) == (path, "seven.png", 4)
    assert pickle.loads(pickle.dumps(file)).size == copy.deepcopy(file).size == 12


def test_an_upload_that_a_package_makes_has_none_for_what_it_does_not_say() -> None:
    assert list(UploadedFile(name="a", filename="b", content_type="c/d")) == ["a", "b", "c/d", None]
    assert list(UploadedFile()) == [None] * 4
    assert UploadedFile("a", "b")._replace(filename="c").filename == "c"
    assert UploadedFile._make("abcd").size == UploadedFile().size == 0


def test_an_upload_is_read_from_disk(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00\xff")
    file = UploadedFile("image", str(tmp_path / "x"), "", "", 2)
    assert file.read_bytes() == b"\x00\xff"
    with file.open() as opened:
        assert opened.read(1) == b"\x00"


def test_both_are_values_that_nobody_changes() -> None:
    with pytest.raises(AttributeError):
        UploadedFile("a", "b", "c", "d").filename = "/etc/passwd"  # type: ignore[misc]
    assert OutputFile("chart.png") == OutputFile("chart.png", "", "", False)
