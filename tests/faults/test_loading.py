"""Models that fail to load, describe or warm, and settings that are wrong. Rows B of the list of faults."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Serve
from tests.models.installed import side_log
from tests.running import Running, eventually, import_path

NEIGHBOURS = ("plain", "chaos")


def statuses(server: Running) -> dict[str, str]:
    return {model["id"]: model["status"] for model in server.get("/v2/models/").json()["models"]}


def assert_failed_alone(server: Running) -> None:
    """The chaos model failed, the plain one serves, and every page tells of both."""
    assert statuses(server) == {"plain": "ready", "chaos": "failed"}
    assert server.predict("plain", {"x": 1}).json() == {"y": 2}
    reply = server.predict("chaos", {})
    assert (reply.status, reply.json()["code"]) == (503, "not_ready")
    assert int(reply.headers["Retry-After"]) >= 1
    assert server.get("/readyz").json()["deployments"] == {"plain": "ready", "chaos": "failed"}
    assert "/v2/models/chaos/predict/" not in server.get("/openapi.json").json()["paths"]
    shown = server.get("/v2/models/chaos/").json()
    assert "log" in shown["message"]
    assert "asked for this" not in str(shown), "the exception's text is for the log only"


@pytest.mark.parametrize("fault", ["raise", "sysexit"])
def test_a_package_that_fails_at_import_is_listed_as_failed_and_the_others_serve(serve: Serve, fault: str) -> None:
    """B01, B03."""
    server = serve(visible=NEIGHBOURS, CHAOS_IMPORT=fault)
    assert_failed_alone(server)
    assert "Traceback" in server.log
    assert "faults.py" in server.log, "the traceback says where"


def test_an_import_that_ends_the_process_ends_only_its_worker(serve: Serve) -> None:
    """B03."""
    server = serve(visible=NEIGHBOURS, CHAOS_IMPORT="exit")
    assert_failed_alone(server)
    assert "exited with status 3" in server.log


def test_three_packages_of_which_one_is_broken(serve: Serve) -> None:
    """B01, with a package that cannot be imported at all."""
    server = serve(visible=("plain", "chaos", "broken"))
    assert statuses(server) == {"broken": "failed", "chaos": "ready", "plain": "ready"}
    assert server.predict("plain", {"x": 41}).json() == {"y": 42}
    assert server.predict("chaos", {}).status == 200


@pytest.mark.parametrize("fault", ["valueerror", "attributeerror"])
def test_a_failure_inside_get_predict_args_is_not_taken_for_its_absence(serve: Serve, fault: str) -> None:
    """B04."""
    server = serve(visible=NEIGHBOURS, CHAOS_ARGS=fault)
    assert_failed_alone(server)
    assert "CHAOS_ARGS asked for this" in server.log


def test_a_failure_inside_get_metadata_does_not_break_the_listing(serve: Serve) -> None:
    """B05."""
    assert_failed_alone(serve(visible=NEIGHBOURS, CHAOS_METADATA="raise"))


@pytest.mark.parametrize("fault", ["raise", "exit", "segv"])
def test_a_failure_inside_warm_fails_that_model_only(serve: Serve, fault: str) -> None:
    """B06, B08."""
    assert_failed_alone(serve(visible=NEIGHBOURS, CHAOS_WARM=fault))


@pytest.mark.parametrize("fault", ["invalid", "raise"])
def test_a_schema_that_is_none_fails_that_model_only(serve: Serve, fault: str) -> None:
    """B12."""
    assert_failed_alone(serve(visible=NEIGHBOURS, CHAOS_SCHEMA=fault))


def test_while_a_model_warms_the_server_is_live_and_not_ready(serve: Serve, tmp_path: Path) -> None:
    """B07, without its time limits."""
    log = tmp_path / "side.log"
    server = serve("chaos", "--port", str(port := free_port()), wait=False, CHAOS_WARM="hang", CHAOS_LOG=str(log))
    server.port = port
    eventually(lambda: side_log(log, "warm"), within_s=20)
    assert server.get("/healthz").status == 200
    assert server.get("/readyz").status == 503
    assert server.predict("chaos", {}).json()["code"] == "not_ready"
    assert server.terminate(within_s=9) == 0


def run(
    *arguments: str, folder: Path, packages: list[Path] | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelserve", "run", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": import_path(*packages or []), **env}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=environment)


def assert_refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), last
    assert "Traceback" not in last


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_when_the_only_model_cannot_warm_the_program_ends(packages: dict[str, Path], tmp_path: Path) -> None:
    """B06."""
    done = run("--port", "0", folder=tmp_path, packages=[packages["chaos"]], CHAOS_WARM="raise")
    assert_refused(done, 3, "chaos", "modelserve check chaos")


def test_strict_ends_the_program_when_any_model_fails(packages: dict[str, Path], tmp_path: Path) -> None:
    """B01."""
    both = [packages["plain"], packages["broken"]]
    assert_refused(run("--port", "0", "--strict", folder=tmp_path, packages=both), 3, "broken")


def test_without_any_model_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    """B11."""
    assert_refused(run("--port", "0", folder=tmp_path), 3, "No model is installed", "pip install")


def test_an_unknown_model_is_refused_by_name(packages: dict[str, Path], tmp_path: Path) -> None:
    """B11."""
    assert_refused(run("plian", folder=tmp_path, packages=[packages["plain"]]), 3, "plian", "did you mean plain")


def test_a_port_in_use_is_found_before_any_worker_starts(packages: dict[str, Path], tmp_path: Path) -> None:
    """B13."""
    log = tmp_path / "side.log"
    before = set(psutil.Process().children())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        since = time.monotonic()
        done = run("--port", port, folder=tmp_path, packages=[packages["chaos"]], CHAOS_LOG=str(log))
    assert_refused(done, 4, port, "in use")
    assert time.monotonic() - since < 10
    assert not side_log(log)
    assert set(psutil.Process().children()) == before


def test_the_pure_python_http_parser_is_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    """E11, the start of it."""
    done = run("--port", "0", folder=tmp_path, packages=[packages["plain"]], AIOHTTP_NO_EXTENSIONS="1")
    assert_refused(done, 2, "pure-Python", "AIOHTTP_NO_EXTENSIONS")


def test_a_gpu_that_is_not_there_is_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    """P03."""
    done = run("--device", "cuda", folder=tmp_path, packages=[packages["plain"]], CUDA_VISIBLE_DEVICES="")
    assert_refused(done, 2, "cuda", "no GPU was found")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "0"), ("workers", "0")),
        (("--port", "http"), ("port", "http")),
        (("--temp-dir", "/no/such/folder"), ("temp_dir", "/no/such/folder")),
        (("--device", "gpu"), ("device", "gpu", "auto")),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_it(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    """B14; the whole table is in the tests of the settings."""
    assert_refused(run(*arguments, folder=tmp_path), 2, *words)
