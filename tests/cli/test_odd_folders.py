"""Commands in, and with, folders whose names are no UTF-8: each works, or says in one sentence what is wrong (L6)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.program import Done, modelserve

MODEL = """
from modelserve.v2 import fields

def get_predict_args():
    return {"x": fields.Int(load_default=1), "file": fields.File(required=False)}

def predict(x, file=None):
    return {"x": x, "name": file.original_filename if file else None}

def train():
    return {"done": True}
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"png")
    (folder / "model.py").write_text(MODEL)
    (folder / "rows.jsonl").write_text('{"x": 1}\n')
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("check", "model"),
        ("predict", "model", "--x", "2", "--output", "answer.json"),
        ("predict", "model", "--file", "model.py"),
        ("train", "model"),
        ("batch", "model", "--input", "rows.jsonl", "--output", "out.jsonl"),
        ("batch", "model", "--input", "pictures", "--output", "out.jsonl"),
    ],
)
def test_a_module_in_such_a_working_folder_works(odd: Path, words: tuple[str, ...]) -> None:
    done = modelserve(*words, folder=odd)
    assert done.status == 0, done.err
    assert "Traceback" not in done.err


def _is_one_sentence(done: Done, words: str) -> bool:
    return done.err.splitlines()[-1].startswith("modelserve: ") and words in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("command", ["run", "check", "predict", "train"])
def test_a_file_in_such_a_folder_is_one_sentence(odd: Path, command: str) -> None:
    done = modelserve(command, "model.py", folder=odd)
    assert done.status == 3
    assert _is_one_sentence(done, "caf\ufffd/model.py cannot be served: its path has bytes that are no UTF-8")


@pytest.mark.parametrize("variable", ["TMPDIR", "HOME", "XDG_DATA_HOME"])
def test_a_folder_of_the_system_of_such_a_name_is_one_sentence(odd: Path, variable: str) -> None:
    (odd.parent / "model.py").write_text(MODEL)
    variables = {"HOME": str(odd.parent), "XDG_DATA_HOME": "", variable: str(odd)}
    done = modelserve("run", "model.py", "--port", "0", folder=odd.parent, variables=variables)
    assert done.status == 2
    assert _is_one_sentence(done, "has bytes that are no UTF-8: set ")


@pytest.mark.parametrize("setting", ["data_dir", "temp_dir", "tls_cert", "python"])
def test_a_relative_path_in_such_a_working_folder_is_one_sentence(odd: Path, setting: str) -> None:
    (odd / "place").write_text("#!/bin/sh\n") if setting == "python" else (odd / "place").mkdir()
    (odd / "place").chmod(0o755)
    for given in (["--" + setting.replace("_", "-"), "./place"], ["--config", "settings.toml"]):
        (odd / "settings.toml").write_text(f'{setting} = "./place"\n')
        done = modelserve("run", "model", *given, folder=odd)
        assert done.status == 2
        assert _is_one_sentence(done, f"{setting} ")
        assert "caf\ufffd/./place, which has bytes" in done.err or "caf\ufffd/place, which has bytes" in done.err
