"""A file has the suffixes of the user's own in every command that runs a model here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import modelserve
from tests.web import parts

MODEL = f"{parts.__file__}:Parts"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "brain.nii.gz").write_text("x")
    (tmp_path / "in" / "w.safetensors").write_text("x")
    (tmp_path / "in.jsonl").write_text('{"file": "in/brain.nii.gz"}\n{"file": "in/w.safetensors"}\n')
    return tmp_path


def test_of_a_prediction(folder: Path) -> None:
    done = modelserve("predict", MODEL, "--file", "in/brain.nii.gz", folder=folder)
    assert json.loads(done.out)["predictions"] == {"file": ".nii.gz"}


def test_of_a_training(folder: Path) -> None:
    done = modelserve("train", MODEL, "--file", "in/brain.nii.gz", folder=folder)
    assert '"file":".nii.gz"' in done.out.replace(" ", ""), done.err


@pytest.mark.parametrize("given", [["in", "--field", "file"], ["in.jsonl"]])
def test_of_a_batch(folder: Path, given: list[str]) -> None:
    done = modelserve("batch", MODEL, "--output", "out.jsonl", "--input", *given, folder=folder)
    assert done.status == 0, done.err
    rows = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert [row["output"]["predictions"]["file"] for row in rows] == [".nii.gz", ".safetensors"]
