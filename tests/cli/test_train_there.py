"""``modelserve train --url``: a server's job is begun once, followed in the terminal, cancelled or left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, environment, modelserve
from tests.cli.terminal import terminal
from tests.running import Running, eventually, running

MODEL = f"{Path(__file__).with_name('trainable.py')}:Trainable"
OTHER = f"{Path(__file__).with_name('trainable.py')}:Untrainable"

BROKEN = f"{Path(__file__).with_name('trainable.py')}:Broken"

CTRL_C = "\x03"

LONG = ("--epochs", "900", "--pause_s", "0.1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "modelserve.toml").write_text(
        f'train_workers = 3\n[deployments.toy]\nmodel = "{MODEL}"\n[deployments.still]\nmodel = "{OTHER}"\n'
        f'[deployments.broken]\nmodel = "{BROKEN}"\n'
    )
    with running([], folder=folder) as server:
        yield server


def url(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}"


def train(server: Running, *flags: str, folder: Path) -> Done:
    return modelserve("train", "toy", "--url", url(server), *flags, folder=folder)


def jobs(server: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/v2/models/toy/train/").json()
    return found


def newest(server: Running) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/v2/models/toy/train/{jobs(server)[0]['uuid']}").json()
    return found


def test_a_training_is_followed_and_its_result_printed(server: Running, tmp_path: Path) -> None:
    (tmp_path / "größe 1.txt").write_text("mine")
    values = ["--epochs", "2", "--layers", "1", "--layers", "2", "--data", "größe 1.txt", "--arg-url", "ü"]
    done = train(server, *values, "--artifacts", "kept", folder=tmp_path)
    assert done.status == 0, done.err
    assert json.loads(done.out) == {
        "epochs": 2,
        "data": "größe 1.txt: mine",
        "layers": [1, 2],
        "tree": None,
        "url": "ü",
    }
    assert "toy: done 100% loss=0.5 accuracy=0.5" in done.err
    assert (tmp_path / "kept" / "plots" / "loss.txt").read_text() == "down"
    assert (tmp_path / "kept" / "weights.bin").read_bytes() == b"\0\1"
    assert newest(server)["args"]["data"] == "größe 1.txt"


def test_objects_go_as_json(server: Running, tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text('{"a": [1]}')
    done = train(server, "--tree", "@tree.json", "--epochs", "1", folder=tmp_path)
    assert done.status == 0, done.err
    assert json.loads(done.out)["tree"] == {"a": [1]}


def test_json_lines_tell_each_event_and_last_the_job(server: Running, tmp_path: Path) -> None:
    done = train(server, "--json", folder=tmp_path)
    *events, job = map(json.loads, done.out.splitlines())
    assert done.status == 0, done.err
    assert events[-1]["event"] in ("status", "progress")
    assert {event["status"] for event in events if event["event"] == "status"} <= {"queued", "running", "done"}
    assert job == newest(server)
    assert (job["status"], job["progress"]) == ("done", 1.0)


def test_without_following_the_job_is_printed_and_goes_on(server: Running, tmp_path: Path) -> None:
    done = train(server, *LONG, "--no-follow", "--json", folder=tmp_path)
    job = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert job["status"] in ("queued", "running")
    shown = train(server, *LONG, "--no-follow", folder=tmp_path)
    assert shown.status == 0
    uuids = [job["uuid"], newest(server)["uuid"]]
    assert uuids[1] in shown.out
    for uuid in uuids:
        assert server.request("DELETE", f"/v2/models/toy/train/{uuid}").status == 200


def test_the_help_shows_the_flags_that_the_server_publishes(server: Running, tmp_path: Path) -> None:
    before = len(jobs(server))
    done = train(server, "--help", folder=tmp_path)
    assert done.status == 0
    text = " ".join(done.out.split())
    assert text.startswith(f"Usage: modelserve train toy [OPTIONS] Train toy on {url(server)}.")
    assert "--epochs INTEGER How often. [integer; default: 3]" in text
    assert "--data FILE [file]" in text
    assert "--arg-url TEXT" in text
    assert "--callback-url" not in text, "the server calls nobody back"
    assert len(jobs(server)) == before


def test_invalid_arguments_are_listed_by_their_flags(server: Running, tmp_path: Path) -> None:
    done = train(server, "--epochs", "0", "--mode", "x", folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    first, *fields = done.err.splitlines()
    assert first == "modelserve: The arguments are not valid."
    assert sorted(line.partition(":")[0] for line in fields) == ["  --epochs", "  --mode"]


def test_a_training_that_fails_says_why_and_where_its_log_is(server: Running, tmp_path: Path) -> None:
    done = train(server, "--mode", "raise", folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    command = f"'modelserve jobs log toy {newest(server)['uuid']} --url {url(server)}' has its log."
    assert done.err.splitlines()[-1].endswith(command)
    assert newest(server)["message"] in done.err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["toy", "--nosuch", "1"], 2, "No such option '--nosuch'"),
        (["toy", "--data", "no.txt"], 2, "--data no.txt: the file cannot be read"),
        (["nosuch"], 1, "There is no model 'nosuch' at "),
        (["still"], 1, "still has no train method, or its trainings are switched off at "),
        (["broken"], 1, "broken is failed at "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told(server: Running, tmp_path: Path, words: list[str], status: int, sentence: str) -> None:
    model, *flags = words
    done = modelserve("train", model, "--url", url(server), *flags, folder=tmp_path)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("modelserve: ")
    assert sentence in done.err


def test_the_address_may_stand_before_the_model(server: Running, tmp_path: Path) -> None:
    done = modelserve("train", "--url", f"{url(server)}/", "toy", "--epochs", "1", folder=tmp_path)
    assert done.status == 0, done.err


def test_without_a_server_there_it_says_so(tmp_path: Path) -> None:
    done = modelserve("train", "toy", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(
        "modelserve: No server can be reached at http://127.0.0.1:9: the connection was refused."
    )
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("said", "word"), [("y\n", "yes"), ("\n", "no")], ids=["yes", "no"])
def test_ctrl_c_asks_whether_to_cancel(server: Running, tmp_path: Path, said: str, word: str) -> None:
    with terminal("train", "toy", "--url", url(server), *LONG, folder=tmp_path) as shown:
        shown.wait_for("loss=")
        shown.press(CTRL_C)
        shown.wait_for("Cancel the training?")
        shown.press(said)
        if word == "no":
            shown.wait_for("loss=")
            assert newest(server)["status"] == "running"
            shown.press(CTRL_C)
            shown.wait_for("Cancel the training?")
            shown.press("yes\n")
        assert shown.wait() == 130
    assert "toy cancelled" in shown.shown
    assert newest(server)["status"] == "cancelled"


def test_a_terminal_that_can_draw_nothing_is_asked_too(server: Running, tmp_path: Path) -> None:
    words = ["train", "toy", "--url", url(server), *LONG]
    with terminal(*words, folder=tmp_path, variables={"TERM": "dumb"}) as shown:
        shown.wait_for("toy: running")
        shown.press(CTRL_C)
        shown.wait_for("Cancel the training?")
        shown.press("y\n")
        assert shown.wait() == 130
    assert newest(server)["status"] == "cancelled"


def test_a_second_ctrl_c_leaves_the_training_alone(server: Running, tmp_path: Path) -> None:
    with terminal("train", "toy", "--url", url(server), *LONG, folder=tmp_path) as shown:
        shown.wait_for("loss=")
        shown.press(CTRL_C)
        shown.wait_for("Cancel the training?")
        shown.press(CTRL_C)
        assert shown.wait() == 130
    job = newest(server)
    assert f"The training goes on: 'modelserve jobs show toy {job['uuid']}" in shown.shown
    assert job["status"] == "running"
    assert server.request("DELETE", f"/v2/models/toy/train/{job['uuid']}").status == 200


def test_a_training_that_ends_while_it_is_asked_for_is_done(server: Running, tmp_path: Path) -> None:
    flags = ["--epochs", "30", "--pause_s", "0.1"]
    with terminal("train", "toy", "--url", url(server), *flags, folder=tmp_path) as shown:
        shown.wait_for("loss=")
        shown.press(CTRL_C)
        shown.wait_for("Cancel the training?")
        assert shown.wait() == 0
    assert '"epochs": 30' in shown.shown


def test_without_a_terminal_ctrl_c_leaves_the_training_alone(server: Running, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelserve", "train", "toy", "--url", url(server), "--json", *LONG]
    program = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(tmp_path, {"PYTHONUNBUFFERED": "1"}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert any('"loss"' in line for line in iter(program.stdout.readline, ""))
    os.kill(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=50)
    job = newest(server)
    assert program.returncode == 130
    assert (job["status"], json.loads(out.splitlines()[-1])["uuid"]) == ("running", job["uuid"])
    assert "The training goes on" in err
    assert server.request("DELETE", f"/v2/models/toy/train/{job['uuid']}").status == 200


def test_a_training_that_somebody_else_cancels_is_an_error(server: Running, tmp_path: Path) -> None:
    before = len(jobs(server))
    command = [sys.executable, "-m", "modelserve", "train", "toy", "--url", url(server), *LONG]
    program = subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    eventually(lambda: len(jobs(server)) > before, within_s=40)
    assert server.request("DELETE", f"/v2/models/toy/train/{jobs(server)[0]['uuid']}").status == 200
    _, err = program.communicate(timeout=50)
    assert program.returncode == 1
    assert "is cancelled." in err


def test_a_server_that_was_killed_is_waited_for_and_its_training_is_lost(tmp_path: Path) -> None:
    """H01."""
    arguments, variables = [MODEL, "--train-cancel-s", "1"], {"MODELSERVE_DATA_DIR": str(tmp_path / "data")}
    with running(arguments, folder=tmp_path / "first", env=variables) as first:
        command = [sys.executable, "-m", "modelserve", "train", "trainable", "--url", url(first), "--json", *LONG]
        program = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(tmp_path, {"PYTHONUNBUFFERED": "1"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        assert any('"loss"' in line for line in iter(program.stdout.readline, ""))
        first.process.kill()
        first.process.wait(10)
    with running([*arguments, "--port", str(first.port)], folder=tmp_path / "second", env=variables):
        out, err = program.communicate(timeout=50)
    assert program.returncode == 1, err
    assert json.loads(out.splitlines()[-1])["status"] == "lost"
