"""``modelserve jobs`` lists, shows, cancels and fetches the jobs of a server."""

from __future__ import annotations

import json
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with running([MODEL, "--train-workers", "2"], folder=folder, env=home(folder)) as server:
        yield server


def home(folder: Path) -> dict[str, str]:
    """Return the variables by which a server and a command find each other, and nobody else."""
    return {"XDG_RUNTIME_DIR": "", "TMPDIR": str(folder / "tmp")}


def jobs(server: Running, subcommand: str, *words: str) -> Done:
    """Run a subcommand that finds the server by itself."""
    return modelserve("jobs", subcommand, "trainable", *words, folder=server.folder, variables=home(server.folder))


def begun(server: Running, **arguments: Any) -> str:
    body = json.dumps(arguments).encode()
    reply = server.request("POST", "/v2/models/trainable/train/", body, {"Content-Type": "application/json"})
    assert reply.status == 200, reply.body
    uuid: str = reply.json()["uuid"]
    return uuid


def status(server: Running, uuid: str) -> str:
    found: str = server.get(f"/v2/models/trainable/train/{uuid}").json()["status"]
    return found


@pytest.fixture(scope="module")
def done(server: Running) -> str:
    """Return the id of a training that has ended well."""
    uuid = begun(server, epochs=2, layers=[1])
    eventually(lambda: status(server, uuid) == "done", within_s=40)
    return uuid


@pytest.fixture
def long(server: Running) -> Iterator[str]:
    """Yield the id of a training that runs."""
    uuid = begun(server, epochs=900, pause_s=0.1)
    eventually(lambda: status(server, uuid) == "running", within_s=40)
    yield uuid
    server.request("DELETE", f"/v2/models/trainable/train/{uuid}")


def test_the_list_shows_the_newest_first(server: Running, done: str) -> None:
    second = begun(server, mode="raise")
    eventually(lambda: status(server, second) == "error", within_s=40)
    listed = jobs(server, "list")
    assert (listed.status, listed.err) == (0, "")
    titles, *rows = listed.out.splitlines()
    assert titles.split() == ["uuid", "status", "date", "progress", "metrics", "arguments", "message"]
    assert rows[0].startswith(f"{second}  error ")
    assert f"{done}  done " in listed.out
    assert "100%" in listed.out
    assert "loss=0.5" in listed.out
    assert done not in jobs(server, "list", "--limit", "1").out


def test_the_list_as_json_is_for_programs_and_may_be_whole(server: Running, done: str) -> None:
    everything = json.loads(jobs(server, "list", "--all", "--json").out)
    assert everything == server.get("/v2/models/trainable/train/?limit=1000").json()
    assert done in [job["uuid"] for job in everything]
    assert json.loads(jobs(server, "list", "--limit", "1", "--json").out) == everything[:1]


def test_without_jobs_the_list_says_so(server: Running) -> None:
    listed = jobs(server, "list", "--operation", "predict")
    assert (listed.status, listed.out) == (0, "There are no predict jobs of trainable.\n")
    assert json.loads(jobs(server, "list", "--operation", "predict", "--json").out) == []


def test_a_large_output_is_named_and_not_shown(server: Running) -> None:
    """H09."""
    uuid = begun(server, mode="big", epochs=1)
    eventually(lambda: status(server, uuid) == "done", within_s=40)
    size = len(jobs(server, "result", uuid).out)
    assert size > 200_000
    assert f"output     {size} bytes: 'modelserve jobs result' fetches them" in jobs(server, "show", uuid).out


def test_a_job_that_kept_no_files_says_so(server: Running) -> None:
    uuid = begun(server, mode="raise")
    eventually(lambda: status(server, uuid) == "error", within_s=40)
    assert jobs(server, "artifacts", uuid) == Done(0, "The job has kept no files.\n", "")
    assert json.loads(jobs(server, "artifacts", uuid, "--json").out) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [(["log"], "it begins"), (["result"], '\n  "layers": ['), (["artifacts", "plots/loss.txt"], "down")],
)
def test_a_terminal_shows_texts(server: Running, done: str, words: list[str], text: str) -> None:
    subcommand, *rest = words
    address = ["--url", f"http://127.0.0.1:{server.port}"]
    with terminal("jobs", subcommand, "trainable", done, *rest, *address, folder=server.folder) as shown:
        assert shown.wait() == 0
    assert text in shown.shown


def test_one_is_shown_by_the_beginning_of_its_id(server: Running, done: str) -> None:
    shown = jobs(server, "show", done[:12])
    assert (shown.status, shown.err) == (0, "")
    facts = dict(line.strip().split(maxsplit=1) for line in shown.out.splitlines())
    assert (facts["uuid"], facts["status"], facts["progress"]) == (done, "done", "100%")
    assert json.loads(facts["output"])["layers"] == [1]
    whole = json.loads(jobs(server, "show", done[:12], "--json").out)
    assert whole == server.get(f"/v2/models/trainable/train/{done}").json()


def test_without_an_id_the_newest_is_shown(server: Running, long: str) -> None:
    assert json.loads(jobs(server, "show", "--json").out)["uuid"] == long


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "0000"], "There is no train job of trainable that begins with 0000 at http://127.0.0.1:"),
        (["show", "no such"], "There is no train job of trainable that begins with no such at "),
        (["show", "0" * 32], "job"),
        (["artifacts", "", "nosuch.png"], "no"),
    ],
)
def test_what_is_not_there_is_one_sentence(server: Running, done: str, words: list[str], sentence: str) -> None:
    subcommand, *rest = words
    found = jobs(server, subcommand, *(word or done for word in rest))
    assert (found.status, found.out) == (1, "")
    assert found.err.startswith("modelserve: ")
    assert sentence in found.err
    assert found.err.count("\n") == 1


def test_the_log_is_printed_whole_and_its_end(server: Running, done: str) -> None:
    whole = jobs(server, "log", done)
    assert (whole.status, whole.err) == (0, "")
    assert "it begins\n" in whole.out
    assert jobs(server, "log", done, "--tail", "1").out == whole.out.splitlines(keepends=True)[-1]
    assert json.loads(jobs(server, "log", done, "--json").out) == {"log": whole.out}


def test_a_log_is_followed_until_the_job_has_ended(server: Running, done: str) -> None:
    uuid = begun(server, epochs=10, pause_s=0.1)
    followed = jobs(server, "log", uuid, "--follow")
    assert (followed.status, followed.err) == (0, "The job is done.\n")
    assert followed.out == jobs(server, "log", uuid).out
    *lines, job = map(json.loads, jobs(server, "log", uuid, "--follow", "--json").out.splitlines())
    assert {"event": "log", "line": "it begins"} in lines
    assert (job["uuid"], job["status"]) == (uuid, "done")


def test_a_reader_of_a_log_that_leaves_ends_the_command_quietly(server: Running) -> None:
    uuid = begun(server, epochs=900, pause_s=0.1, mode="loud")
    words = ["jobs", "log", "trainable", uuid, "--url", f"http://127.0.0.1:{server.port}", "--follow"]
    line = f"set -o pipefail; {sys.executable} -m modelserve {' '.join(words)} | head -n 2"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(server.folder), capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("\n") == 2
    server.request("DELETE", f"/v2/models/trainable/train/{uuid}")


def test_ctrl_c_ends_only_the_following(server: Running, long: str) -> None:
    words = ["jobs", "log", "trainable", long, "--follow", "--url", f"http://127.0.0.1:{server.port}"]
    with terminal(*words, folder=server.folder) as shown:
        shown.wait_for("it begins")
        shown.press("\x03")
        assert shown.wait() == 130
    assert status(server, long) == "running"


def test_a_job_is_cancelled_once(server: Running, long: str) -> None:
    first = jobs(server, "cancel", long)
    assert first == Done(0, f"{long}: cancelled\n", "")
    again = jobs(server, "cancel", long)
    assert (again.status, again.out) == (1, "")
    assert again.err.startswith("modelserve: ")
    assert again.err.count("\n") == 1
    assert jobs(server, "cancel").status == 2, "the newest is not meant where the id was forgotten"


def test_the_result_goes_to_a_pipe_or_a_file(server: Running, done: str, tmp_path: Path) -> None:
    printed = jobs(server, "result", done)
    assert (printed.status, printed.err) == (0, "")
    assert json.loads(printed.out)["layers"] == [1]
    path = tmp_path / "result.json"
    assert jobs(server, "result", done, "--output", "-") == printed
    saved = jobs(server, "result", done, "--output", str(path))
    assert (saved.status, saved.out) == (0, "")
    assert saved.err == f"{len(printed.out)} bytes written to {path}\n"
    assert path.read_text() == printed.out
    told = json.loads(jobs(server, "result", done, "--output", str(path), "--json").out)
    assert told == {"file": str(path), "bytes": len(printed.out), "content_type": "application/json"}


def test_a_job_that_runs_has_no_result(server: Running, long: str) -> None:
    found = jobs(server, "result", long)
    assert (found.status, found.out) == (1, "")
    assert found.err == "modelserve: There is no result yet: the job is still running.\n"


def test_artifacts_are_listed_and_fetched(server: Running, done: str, tmp_path: Path) -> None:
    listed = jobs(server, "artifacts", done)
    assert (listed.status, listed.err) == (0, "")
    rows = [line.split() for line in listed.out.splitlines()[1:]]
    assert ["plots/loss.txt", "4", "bytes", "text/plain"] in rows
    names = [artifact["name"] for artifact in json.loads(jobs(server, "artifacts", done, "--json").out)]
    assert sorted(names) == ["plots/loss.txt", "weights.bin"]
    assert jobs(server, "artifacts", done, "plots/loss.txt").out == "down"
    path = tmp_path / "new" / "weights.bin"
    saved = jobs(server, "artifacts", done, "weights.bin", "--output", str(path))
    assert (saved.status, saved.err) == (0, f"2 bytes written to {path}\n")
    assert path.read_bytes() == b"\0\1"


def test_what_is_no_json_and_no_text_needs_a_file(server: Running, done: str) -> None:
    found = jobs(server, "artifacts", done, "weights.bin", "--json")
    assert found.status == 2
    assert "which is no JSON: add --output FILE." in found.err
    words = ["jobs", "artifacts", "trainable", done, "weights.bin", "--url", f"http://127.0.0.1:{server.port}"]
    with terminal(*words, folder=server.folder) as shown:
        assert shown.wait() == 2
    assert "which no terminal shows: add --output FILE." in shown.shown
    bad = jobs(server, "artifacts", done, "weights.bin", "--output", "/dev/null/x")
    assert bad.status == 2
    assert "/dev/null/x cannot be written: " in bad.err


def test_a_background_prediction_is_a_job_too(server: Running) -> None:
    reply = server.request("POST", "/v2/models/trainable/predict/", b"", {"Prefer": "respond-async"})
    uuid = reply.json()["uuid"]
    words = ["--operation", "predict"]
    eventually(lambda: json.loads(jobs(server, "show", uuid, "--json", *words).out)["status"] == "done", within_s=40)
    result = jobs(server, "result", uuid, *words)
    assert json.loads(result.out)["predictions"] == 1, result.err
    assert uuid in jobs(server, "list", *words).out


def test_with_two_servers_a_command_wants_to_know_which(server: Running, tmp_path: Path) -> None:
    with running([MODEL], folder=tmp_path, env=home(server.folder)) as second:
        found = jobs(server, "list")
        assert (found.status, found.out) == (1, "")
        assert str(server.port) in found.err
        assert str(second.port) in found.err
        assert "say which with --url" in found.err
        assert second.terminate(within_s=30) == 0


def test_a_model_that_is_not_there_is_told(server: Running) -> None:
    found = modelserve("jobs", "list", "nosuch", "--url", f"http://127.0.0.1:{server.port}", folder=server.folder)
    assert (found.status, found.out) == (1, "")
    assert "There is no model" in found.err


def test_without_a_server_it_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    found = modelserve("jobs", "list", "toy", "--url", "http://127.0.0.1:9", folder=tmp_path, variables=home(tmp_path))
    assert (found.status, found.out) == (1, "")
    assert found.err.startswith("modelserve: No server can be reached at http://127.0.0.1:9: ")


@pytest.mark.parametrize("subcommand", ["list", "show", "log", "cancel", "result", "artifacts"])
def test_every_subcommand_has_help_with_an_example(tmp_path: Path, subcommand: str) -> None:
    shown = modelserve("jobs", subcommand, "--help", folder=tmp_path)
    assert shown.status == 0
    assert f"Example: modelserve jobs {subcommand} digits" in shown.out
