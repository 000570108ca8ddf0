"""``modelserve train`` without a server: a process of its own trains, is followed, and is stopped by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import environment, modelserve
from tests.cli.terminal import terminal

MODEL = f"{Path(__file__).with_name('trainable.py')}:Trainable"

CTRL_C = "\x03"


def test_a_training_is_followed_and_its_result_printed(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("mine")
    flags = ["--epochs", "2", "--layers", "1", "--layers", "2", "--data", "own.txt", "--arg-url", "x"]
    done = modelserve("train", MODEL, *flags, "--artifacts", "kept", folder=tmp_path)
    assert done.status == 0, done.err
    assert json.loads(done.out) == {
        "epochs": 2,
        "data": "own.txt: mine",
        "layers": [1, 2],
        "tree": None,
        "url": "x",
    }
    lines = done.err.splitlines()
    # What it prints, and that it runs, come over two pipes.
    assert {"it begins", "trainable: running"} <= set(lines)
    assert lines[-1] == "trainable: done 100% loss=0.5 accuracy=0.5"
    assert (tmp_path / "kept" / "plots" / "loss.txt").read_text() == "down"
    assert (tmp_path / "kept" / "weights.bin").read_bytes() == b"\0\1"


def test_artifacts_that_nobody_keeps_are_told_of(tmp_path: Path) -> None:
    done = modelserve("train", MODEL, folder=tmp_path)
    assert done.status == 0
    assert "artifacts written: 2. They are gone; --artifacts FOLDER keeps them." in done.err


def test_json_lines_tell_each_event_and_last_the_job(tmp_path: Path) -> None:
    done = modelserve("train", MODEL, "--json", "--tree", '{"a": 1}', folder=tmp_path)
    *events, job = map(json.loads, done.out.splitlines())
    assert done.status == 0
    assert {"event": "log", "line": "it begins"} in events
    assert {"event": "status", "status": "running"} in events
    told: dict[str, Any] = {}
    for event in events:
        told |= event.get("metrics", {})
    assert told == {"loss": pytest.approx(1 / 3), "accuracy": 0.5}
    assert (job["status"], job["progress"], job["metrics"]) == ("done", 1.0, told)
    assert job["args"] == {"tree": '{"a": 1}'}
    assert job["result"]["output"]["tree"] == {"a": 1}
    assert len(job["uuid"]) == 32


def test_the_help_after_the_model_shows_its_own_flags_and_ours(tmp_path: Path) -> None:
    done = modelserve("train", MODEL, "--help", folder=tmp_path)
    assert done.status == 0
    text = " ".join(done.out.split())
    assert "--epochs INTEGER How often. [integer; default: 3]" in text
    assert "--arg-url TEXT" in text
    assert "--artifacts FOLDER" in text


def test_options_may_stand_before_the_model_too(tmp_path: Path) -> None:
    done = modelserve("train", "--json", "--artifacts", "kept", MODEL, "--epochs", "1", folder=tmp_path)
    assert json.loads(done.out.splitlines()[-1])["status"] == "done"
    assert (tmp_path / "kept" / "weights.bin").exists()


def test_the_log_of_the_command_itself_is_shown_where_it_is_asked_for(tmp_path: Path) -> None:
    done = modelserve("train", "--log-level", "debug", MODEL, "--mode", "die", folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert "it begins" in done.err


def test_an_exception_shows_with_its_traceback_and_a_death_with_its_reason(tmp_path: Path) -> None:
    raised = modelserve("train", MODEL, "--mode", "raise", folder=tmp_path)
    assert (raised.status, raised.out) == (1, "")
    assert "RuntimeError: no more  [31m luck" in raised.err
    assert raised.err.splitlines()[-1].startswith("modelserve: The model raised an exception")
    died = modelserve("train", MODEL, "--mode", "die", "--json", folder=tmp_path)
    job = json.loads(died.out.splitlines()[-1])
    assert died.status == 1
    assert (job["status"], job["message"]) == ("error", "The training's process exited with status 3.")


def test_invalid_arguments_are_listed_by_their_flags(tmp_path: Path) -> None:
    done = modelserve("train", MODEL, "--epochs", "0", "--arg-url", "", "--mode", "x", folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert "modelserve: The arguments are not valid." in done.err
    assert "\n  --epochs: " in done.err
    assert "\n  --mode: " in done.err


@pytest.mark.parametrize(
    ("model", "flags", "status", "words"),
    [
        (MODEL, ["--nosuch", "1"], 2, "No such option '--nosuch'"),
        (MODEL, ["--data", "no.txt"], 2, "--data no.txt: the file cannot be read"),
        (MODEL, ["--artifacts", "/dev/null/x"], 2, "--artifacts /dev/null/x: the folder cannot be made"),
        (MODEL, ["--url", "nowhere"], 2, "'nowhere' is no address such as http://127.0.0.1:5000"),
        (MODEL.replace(":T", ":Unt"), [], 1, "has no train method"),
        ("nosuch", [], 3, "There is no model 'nosuch'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(tmp_path: Path, model: str, flags: list[str], status: int, words: str) -> None:
    done = modelserve("train", model, *flags, folder=tmp_path)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("modelserve: ")
    assert done.err.count("\n") == 1
    assert words in done.err


def test_programs_get_the_fields_that_are_wrong(tmp_path: Path) -> None:
    done = modelserve("train", MODEL, "--epochs", "0", "--json", folder=tmp_path)
    job = json.loads(done.out.splitlines()[-1])
    assert (done.status, job["status"], list(job["fields"])) == (1, "error", ["epochs"])


def test_a_model_that_cannot_start_ends_with_status_3(tmp_path: Path) -> None:
    done = modelserve("train", MODEL.replace(":Trainable", ":Broken"), folder=tmp_path)
    assert (done.status, done.out) == (3, "")
    assert "no base weights" in done.err


def test_a_terminal_shows_a_bar_and_ctrl_c_asks_the_training_to_stop(tmp_path: Path) -> None:
    flags = ["--epochs", "900", "--pause_s", "0.1", "--artifacts", "kept"]
    with terminal("train", MODEL, *flags, folder=tmp_path) as shown:
        shown.wait_for("accuracy=0.5")
        shown.press(CTRL_C)
        assert shown.wait() == 130
    assert "The training was asked to stop. Ctrl-C again ends it at once." in shown.shown
    assert "it stops" in shown.shown
    assert "trainable cancelled" in shown.shown
    assert (tmp_path / "kept" / "weights.bin").exists()


def test_a_second_ctrl_c_ends_a_training_that_does_not_stop(tmp_path: Path) -> None:
    with terminal("train", MODEL, "--epochs", "900", "--pause_s", "0.1", "--mode", "deaf", folder=tmp_path) as shown:
        shown.wait_for("accuracy=0.5")
        shown.press(CTRL_C)
        shown.wait_for("asked to stop")
        shown.press(CTRL_C)
        assert shown.wait() == 130
    assert "trainable cancelled" in shown.shown


def test_a_training_that_ends_without_having_heeded_ctrl_c_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelserve", "train", MODEL, "--json"]
    flags = ["--epochs", "30", "--pause_s", "0.1", "--mode", "blind"]
    program = subprocess.Popen(
        [*command, *flags],
        cwd=tmp_path,
        env=environment(tmp_path, {"PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert any('"running"' in line for line in iter(program.stdout.readline, ""))
    os.kill(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=50)
    assert program.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["status"] == "done"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    done = modelserve(
        "train", MODEL, folder=tmp_path, variables={"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path)}
    )
    assert done.status == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"tmp"}
