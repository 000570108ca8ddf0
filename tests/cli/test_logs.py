"""``modelserve logs``, and what ``modelserve status`` says of errors, on a server that runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Done, environment, modelserve
from tests.cli.terminal import terminal
from tests.running import Running, eventually, running

MODEL = """
from modelserve.v2 import fields
def get_predict_args():
    return {"text": fields.Str(load_default="")}
def predict(text):
    if text == "fail":
        raise ValueError("it cannot")
    print("said", text)
    return 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("talker")
    (folder / "talker.py").write_text(MODEL)
    with running(["talker.py"], folder=folder, env=home(folder)) as found:
        yield found


def home(folder: Path) -> dict[str, str]:
    """Return the variables by which a server and a command find each other, and nobody else."""
    return {"XDG_RUNTIME_DIR": "", "TMPDIR": str(folder / "tmp")}


def command(server: Running, *arguments: str) -> Done:
    return modelserve(*arguments, folder=server.folder, variables=home(server.folder))


def said(server: Running, text: str) -> None:
    assert server.predict("talker", {"text": text}).status == 200
    eventually(lambda: f"said {text}".encode() in server.get("/v2/models/talker/log?tail=50").body)


def test_the_whole_log_or_its_end_is_printed(server: Running) -> None:
    said(server, "first")
    said(server, "second")
    whole = command(server, "logs", "talker")
    assert (whole.status, whole.err) == (0, "")
    assert "worker is warm" in whole.out
    assert "said first deployment=talker" in whole.out
    end = command(server, "logs", "talker", "--tail", "1", "--url", f"http://127.0.0.1:{server.port}")
    assert end.out.count("\n") == 1
    assert "said second" in end.out
    shown = json.loads(command(server, "logs", "talker", "--tail", "1", "--json").out)
    assert shown == {"log": end.out}


def test_a_log_is_followed_until_ctrl_c(server: Running) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "modelserve", "logs", "talker", "--follow", "--json"],
        cwd=server.folder,
        env=environment(server.folder, home(server.folder)) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline(), "it begins with what was said before"
        said(server, "followed")
        line = next(line for line in following.stdout if "said followed" in line)
        assert json.loads(line)["event"] == "log"
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130


def test_the_log_of_what_is_not_there_is_one_sentence(server: Running) -> None:
    done = command(server, "logs", "nosuch")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("modelserve: There is no model of that name here")
    assert done.err.count("\n") == 1


def test_the_status_shows_the_last_errors(server: Running) -> None:
    request_id = {"X-Request-ID": "failing-request"}
    assert server.predict("talker", {"text": "fail"}, **request_id).status == 500
    (error,) = json.loads(command(server, "status", "--json").out)["errors"]
    assert (error["deployment"], error["request_id"]) == ("talker", "failing-request")
    assert "it cannot" in error["message"]
    shown = command(server, "status").out
    assert "failing-request" in shown
    assert "it cannot" in shown


def test_the_status_is_watched_as_lines_of_json(server: Running) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "modelserve", "status", "--watch", "--json"],
        cwd=server.folder,
        env=environment(server.folder, home(server.folder)) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stdout is not None
        shown = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.terminate()
    assert [each["pid"] for each in shown] == [server.process.pid] * 2


def test_the_status_is_watched_in_place_on_a_terminal(server: Running) -> None:
    with terminal("status", "--watch", folder=server.folder, variables=home(server.folder)) as shown:
        shown.wait_for("1 of 1 warm")
        shown.wait_for("1 of 1 warm")
        shown.press("\x03")
        assert shown.wait() == 130
