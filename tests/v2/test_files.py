"""Files that go into a model and come out of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from modelserve.v2.files import OutputFile, UploadedFile


def test_an_upload_has_deepaas_four_attributes_in_its_order(tmp_path: Path) -> None:
    file = UploadedFile("image", str(tmp_path / "x"), "image/png", "seven.png", 12)
    assert (file.name, file.content_type, file.original_filename, file.size) == ("image", "image/png", "seven.png", 12)
    assert file.filename == str(tmp_path / "x")
    assert [field.name for field in dataclasses.fields(file)][:4] == [
        "name",
        "filename",
        "content_type",
        "original_filename",
    ]


def test_an_upload_is_read_from_disk(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00\xff")
    file = UploadedFile("image", str(tmp_path / "x"), "", "", 2)
    assert file.read_bytes() == b"\x00\xff"
    with file.open() as opened:
        assert opened.read(1) == b"\x00"


def test_both_are_values_that_nobody_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        UploadedFile("a", "b", "c", "d").filename = "/etc/passwd"  # type: ignore[misc]
    assert OutputFile("chart.png") == OutputFile("chart.png", "", "", False)
