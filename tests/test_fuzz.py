"""R06. Schemathesis against the example: every route of /openapi.json, all checks, with a token and without.

Beside it is a model with an argument of every kind, none of them bounded, and jobs with numbers and texts at the edges.

It needs the examples' packages, so it is run where these are installed. Two checks are left out: "use_after_free" takes
DELETE for the end of a record, but a cancelled job stays, as its route says; "ensure_resource_availability" expects a
job's result as soon as there is the job.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.confined import confined
from tests.faults.fuzzed import MODEL
from tests.running import Running, import_path, running

pytest.importorskip("modelserve_digits")
pytest.importorskip("schemathesis")

# How long one run goes on making requests up; the night has more time.
TIMES_S = [8, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]

LEFT_OUT = "use_after_free,ensure_resource_availability"

# A model may refuse what no JSON schema forbids, such as a picture without a digit; many wrong tokens are answered 429
# instead of 401, as the document says; another job is a 503 where as many as may wait already; and a millisecond is a
# valid time to wait, and 504 its right answer.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, 503, 504]

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""

# Headers and forms hold nothing but texts, of which some are right by accident: false is a text too, and a header that
# the document does not have is any client's right.
HOOKS = """
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode


@schemathesis.hook
def filter_case(context, case):
    parts = case.meta.components if case.meta else {}
    wrong = {place for place, part in parts.items() if part.mode == GenerationMode.NEGATIVE}
    is_form = case.media_type not in (None, "application/json")
    return not (ParameterLocation.HEADER in wrong or (ParameterLocation.BODY in wrong and is_form))
"""

SETTINGS = ["digits", MODEL, "--failed-logins", "0", "--max-queued-jobs", "20"]


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    """Return the token of an administrator."""
    return _modelserve(folder, "clients", "add", "fuzz", "--role", "admin").strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the server."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def server(folder: Path, token: str) -> Iterator[Running]:
    """Run a server with one client."""
    env = {"XDG_DATA_HOME": str(folder / "home")}  # the example keeps its weights there
    with running(SETTINGS, folder=folder, env=env, within=confined(folder)) as server:
        for operation, body, more in EDGES:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **more}
            reply = server.request("POST", f"/v2/models/fuzzed/{operation}/", body, headers)
            assert reply.status in (200, 202), reply
        yield server


# What JSON can say and few programs bear: whatever then reads these jobs has to.
EDGES = [
    ("train", rb'{"epochs": 1180591620717411303424, "data": {"n": [1180591620717411303425, -1e308, "\u00e9"]}}', {}),
    ("train", rb'{"epochs": 0, "data": ["\u0000\u2028\u202e", "a\r\nb", "%s", "<script>", {"": ""}]}', {}),
    ("predict", rb'{"x": 1180591620717411303424, "mode": "\u0000\ufffe"}', {"Prefer": "respond-async"}),
]


def _modelserve(folder: Path, *words: str) -> str:
    own = {"MODELSERVE_DATA_DIR": str(folder / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "modelserve", *words],
        env={**os.environ, **own},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout


def _fuzz(server: Running, document: Path, time_s: int, *words: str) -> None:
    config = document.with_name("schemathesis.toml")
    config.write_text(CONFIG)
    config.with_name("fuzzing_hooks.py").write_text(HOOKS)
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--config-file", str(config), "run", str(document)),
            *("--url", f"http://127.0.0.1:{server.port}", "--checks", "all"),
            *("--max-time", str(time_s), "--max-examples", "10", "--request-timeout", "20", "--no-color"),
            *("--generation-database", "none", "--suppress-health-check", "all", "--continue-on-failure", *words),
        ],
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": import_path(config.parent), "SCHEMATHESIS_HOOKS": "fuzzing_hooks"},
        capture_output=True,
        text=True,
        timeout=time_s + 120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("time_s", TIMES_S)
def test_every_route_keeps_what_the_document_says(server: Running, token: str, tmp_path: Path, time_s: int) -> None:
    """R06."""
    authorization = {"Authorization": f"Bearer {token}"}
    document = tmp_path / "openapi.json"
    document.write_bytes(server.get("/openapi.json", **authorization).body)
    _fuzz(server, document, time_s, "--exclude-checks", LEFT_OUT, "--header", f"Authorization:Bearer {token}")
    assert server.get("/readyz").status == 200
    assert "Traceback" not in server.log


@pytest.mark.parametrize("time_s", TIMES_S)
def test_without_a_token_every_route_refuses_what_it_should(
    server: Running, token: str, tmp_path: Path, time_s: int
) -> None:
    """R06."""
    document = tmp_path / "openapi.json"
    document.write_bytes(server.get("/openapi.json", Authorization=f"Bearer {token}").body)
    # Who has no token is not even told which methods a path has.
    left_out = f"{LEFT_OUT},unsupported_method"
    _fuzz(server, document, time_s, "--phases", "coverage,fuzzing", "--exclude-checks", left_out)
    assert "Traceback" not in server.log
