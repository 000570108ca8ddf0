"""The model packages install offline, and misbehave as they promise, before any server is blamed for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.models.installed import install, side_log

CALL = """
import json, sys
from modelserve_chaos.model import Chaos
model = Chaos()
model.get_metadata(), model.get_predict_args(), model.schema, model.warm()
mode, n, text = json.loads(sys.argv[1])
print(repr(model.predict(mode, n, text, None, None))[:200])
"""

BATCH = """
import json, sys
from modelserve_chaos_batch import ChaosBatch
model = ChaosBatch()
model.warm()
answer = model.predict_batch([{"mode": mode, "n": 0, "text": str(i)} for i, mode in enumerate(json.loads(sys.argv[1]))])
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all four packages are installed in."""
    return install(tmp_path_factory.mktemp("installed"), "chaos", "chaos_batch", "broken", "plain")


def run(installed: Path, code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that sees the installed packages; code that hangs is killed."""
    environment = {**os.environ, "PYTHONPATH": str(installed), **environ}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=10,
    )


def chaos(
    installed: Path, mode: str, n: float | None = None, text: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    return run(installed, CALL, json.dumps([mode, n, text]), **environ)


def test_each_package_is_a_distribution_with_its_entry_point(installed: Path) -> None:
    found = {
        distribution.metadata["Name"]: {(point.group, point.name) for point in distribution.entry_points}
        for distribution in distributions(path=[str(installed)])
    }
    assert found == {
        "modelserve-chaos": {("modelserve.v2.model", "chaos")},
        "modelserve-chaos-batch": {("modelserve.v2.model", "chaos-batch")},
        "modelserve-broken": {("modelserve.v2.model", "broken")},
        "modelserve-plain": {("modelserve.v2.model", "plain")},
    }


def test_the_plain_model_adds_one(installed: Path) -> None:
    done = run(
        installed, "import modelserve_plain as m; print(m.predict(**{name: 1 for name in m.get_predict_args()}))"
    )
    assert done.stdout == "{'y': 2}\n", done.stderr


def test_the_broken_model_cannot_be_imported(installed: Path) -> None:
    done = run(installed, "import modelserve_broken")
    assert (done.returncode, done.stderr.splitlines()[-1][:13]) == (1, "RuntimeError:")


def test_the_chaos_model_imports_no_numpy_by_itself(installed: Path) -> None:
    done = run(installed, "import modelserve_chaos.model, sys; print('numpy' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize(
    ("mode", "n", "begins"),
    [
        ("ok", 2, "{'mode': 'ok', 'n': 2"),
        ("sleep", 0.01, "{'slept_s': 0.01}"),
        ("spin", 0.01, "None"),
        ("fork", 0, "{'grandchild': "),
        ("thread", 0, "{'thread': "),
        ("leak", 2, "{'leaked_mb': 2}"),
        ("chdir", None, "{'cwd': '/'}"),
        ("env", None, "{'variables': 3}"),
        ("signals", None, "{'ignored': True}"),
        ("recursion", 5000, "{'limit': 5000}"),
        ("setsid", None, "{'session': "),
        ("state", None, "{'pid': "),
        ("nan", None, "{'x': nan, 'y': inf"),
        ("big", 1, "{'text': 'xxx"),
        ("numpy", None, "{'array': array("),
        ("surrogate", None, "{'lone': "),
        ("lambda", None, "<function"),
        ("socket", None, "<socket.socket"),
        ("png", None, "b'\\x89PNG"),
        ("file", None, "{'file': None}"),
    ],
)
def test_a_mode_that_returns_does(installed: Path, mode: str, n: float | None, begins: str) -> None:
    done = chaos(installed, mode, n)
    assert (done.returncode, done.stdout[: len(begins)]) == (0, begins), done.stderr


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("exit0", 0),
        ("exit3", 3),
        ("segv", -signal.SIGSEGV),
        ("kill", -signal.SIGKILL),
        ("sysexit", 3),
    ],
)
def test_a_mode_that_ends_the_process_does(installed: Path, tmp_path: Path, mode: str, code: int) -> None:
    done = chaos(installed, mode, CHAOS_LOG=str(tmp_path / "log"))
    assert (done.returncode, done.stdout) == (code, "")
    assert [line["mode"] for line in side_log(tmp_path / "log", "predict")] == [mode]
    assert side_log(tmp_path / "log", "predicted") == []


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("raise", "RuntimeError"),
        ("raise_twoarg", "modelserve_chaos.errors.TwoArgumentError"),
        ("raise_local", "modelserve_chaos_local.LocalError"),
        ("oom", "MemoryError"),
        ("kbint", "KeyboardInterrupt"),
        ("genexit", "GeneratorExit"),
        ("bad_request", "modelserve.errors.BadRequest"),
        ("not_found", "modelserve.errors.NotFound"),
        ("invalid", "modelserve.errors.InvalidArguments"),
    ],
)
def test_a_mode_that_raises_does(installed: Path, mode: str, error: str) -> None:
    done = chaos(installed, mode, text="told so")
    assert done.returncode != 0
    assert any(line.startswith(error) for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize(
    ("variable", "word", "code"),
    [
        ("CHAOS_IMPORT", "raise", 1),
        ("CHAOS_IMPORT", "sysexit", 0),
        ("CHAOS_ARGS", "attributeerror", 1),
        ("CHAOS_METADATA", "valueerror", 1),
        ("CHAOS_WARM", "exit", 3),
        ("CHAOS_WARM", "segv", -signal.SIGSEGV),
    ],
)
def test_a_fault_asked_for_by_the_environment_comes_before_any_call(
    installed: Path, tmp_path: Path, variable: str, word: str, code: int
) -> None:
    environ = {variable: word, "CHAOS_LOG": str(tmp_path / "log")}
    done = run(installed, CALL, json.dumps(["ok", None, ""]), **environ)
    assert done.returncode == code
    assert side_log(tmp_path / "log", "import")
    assert not side_log(tmp_path / "log", "warmed")
    assert not side_log(tmp_path / "log", "predict")


def test_the_side_log_tells_the_life_of_a_worker(installed: Path, tmp_path: Path) -> None:
    assert chaos(installed, "sleep", 0.01, "me", CHAOS_LOG=str(tmp_path / "log")).returncode == 0
    lines = side_log(tmp_path / "log")
    events = ["import", "metadata", "args", "warm", "warmed", "predict", "predicted"]
    assert [line["event"] for line in lines] == events
    assert len({line["pid"] for line in lines}) == 1
    assert lines[-1]["monotonic_s"] - lines[-2]["monotonic_s"] >= 0.01
    assert (lines[-1]["mode"], lines[-1]["text"]) == ("sleep", "me")


@pytest.mark.parametrize(
    ("modes", "answers"), [(["ok", "sleep"], 2), (["ok", "too_few", "ok"], 2), (["too_many", "ok"], 3)]
)
def test_a_batch_has_as_many_answers_as_asked_for(installed: Path, modes: list[str], answers: int) -> None:
    done = run(installed, BATCH, json.dumps(modes))
    answer = json.loads(done.stdout)
    assert len(answer) == answers
    assert answer[0]["text"] == "0"
    assert answer[0]["batch"] == len(modes)


def test_a_batch_says_in_the_side_log_who_was_in_it(installed: Path, tmp_path: Path) -> None:
    done = run(installed, BATCH, json.dumps(["ok", "raise"]), CHAOS_LOG=str(tmp_path / "log"))
    assert done.returncode == 1
    (line,) = side_log(tmp_path / "log", "predict")
    assert (line["modes"], line["texts"]) == (["ok", "raise"], ["0", "1"])


@pytest.mark.parametrize(("mode", "code"), [("exit3", 3), ("not_a_list", 0)])
def test_a_batch_may_end_the_process_or_be_no_list(installed: Path, mode: str, code: int) -> None:
    done = run(installed, BATCH, json.dumps(["ok", mode]))
    assert done.returncode == code
    assert done.stdout[:1] != "["
