"""``modelserve predict`` makes flags of a model's arguments and prints one answer."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import environment, modelserve

TOY = f"{Path(__file__).with_name('toy.py')}:Toy"


def _on_terminal(*arguments: str, folder: Path) -> tuple[int, str]:
    """Run a command whose standard output is a terminal; return its status and what it wrote there."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "modelserve", *arguments]
    program = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=its, stderr=subprocess.PIPE)
    os.close(its)
    written = b""
    while chunk := _read(ours):
        written += chunk
    _, said = program.communicate(timeout=50)
    os.close(ours)
    return program.returncode, (written + said).decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that the other end is closed
        return b""


def test_values_of_every_kind_reach_the_model(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("mine")
    flags = ["--top-k", "3", "--tags", "a", "--tags", "b c", "--is_big", "true", "--text-file", "own.txt"]
    done = modelserve("predict", TOY, *flags, "--array", "[1, 2.5]", "--where", "ü&", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["predictions"] == {
        "top_k": 3,
        "tags": ["a", "b c"],
        "is_big": True,
        "text": ["own.txt", "mine"],
        "array": [1.0, 2.5],
        "where": "ü&",
    }
    assert (tmp_path / "own.txt").read_text() == "mine"


def test_the_help_after_the_model_shows_its_own_flags(tmp_path: Path) -> None:
    done = modelserve("predict", TOY, "--help", folder=tmp_path)
    assert done.status == 0
    assert done.out.startswith(f"Usage: modelserve predict {TOY}")
    text = " ".join(done.out.split())
    assert "--top-k, --top_k INTEGER How many. [integer; required]" in text
    assert "--text-file, --text_file FILE [file]" in text
    assert "--array JSON|@FILE" in text
    assert "Media type of the answer: application/json, image/png." in text


def test_invalid_arguments_are_listed_by_their_flags(tmp_path: Path) -> None:
    done = modelserve("predict", TOY, "--top-k", "30", "--array", "[1]", folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    first, *fields = done.err.splitlines()
    assert first == "modelserve: The arguments are not valid."
    assert [line.partition(":")[0] for line in fields] == ["  --top-k", "  --array"]
    assert "9" in fields[0]


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["--nosuch", "1"], 2, "No such option '--nosuch'"),
        (["--top-k", "1", "--text-file", "no.txt"], 2, "--text-file no.txt: the file cannot be read"),
        (["--top-k", "1", "--accept", "text/csv"], 1, "application/json, image/png"),
        (["--top-k", "1", "--output", "no/such/folder"], 2, "--output no/such/folder cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, flags: list[str], status: int, words: str) -> None:
    done = modelserve("predict", TOY, *flags, folder=tmp_path)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("modelserve: ")
    assert done.err.count("\n") == 1
    assert words in done.err


def test_an_exception_of_the_model_is_shown_with_its_traceback(tmp_path: Path) -> None:
    done = modelserve("predict", TOY, "--top-k", "9", folder=tmp_path)
    assert done.status == 1
    assert done.err.splitlines()[-1] == "RuntimeError: nine is  [31m too many"


def test_a_model_that_cannot_start_ends_with_status_3(tmp_path: Path) -> None:
    done = modelserve("predict", TOY.replace(":Toy", ":NoWeights"), "--top-k", "1", folder=tmp_path)
    assert (done.status, done.out) == (3, "")
    assert "no weights" in done.err


def test_an_answer_of_another_type_goes_to_a_file_or_a_pipe(tmp_path: Path) -> None:
    asked = ["predict", TOY, "--top-k", "1", "--accept", "image/png"]
    done = modelserve(*asked, "--output", "chart.png", folder=tmp_path)
    assert (done.status, done.out, done.err) == (0, "", "4 bytes written to chart.png\n")
    assert (tmp_path / "chart.png").read_bytes() == b"\x89PNG"
    command = [sys.executable, "-m", "modelserve", *asked, "--output", "-"]
    assert subprocess.check_output(command, env=environment(tmp_path), cwd=tmp_path) == b"\x89PNG"
    assert not (tmp_path / "-").exists()


def test_a_terminal_gets_readable_json_and_no_image(tmp_path: Path) -> None:
    status, shown = _on_terminal("predict", TOY, "--top-k", "1", folder=tmp_path)
    assert status == 0
    assert shown.startswith('{\n  "status": "OK",\n  "predictions": {\n    "top_k": 1,')
    status, shown = _on_terminal("predict", TOY, "--top-k", "1", "--accept", "image/png", folder=tmp_path)
    assert status == 2
    assert shown == "modelserve: The answer is image/png, which no terminal shows: add --output FILE.\n"
