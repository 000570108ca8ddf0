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

from tests.models.installed import NAMES, flip, install, side_log
from tests.running import import_path

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
from modelserve_chaos_batch.model import ChaosBatch
model = ChaosBatch()
model.warm()
answer = model.predict_batch([{"mode": mode, "n": 0, "text": str(i)} for i, mode in enumerate(json.loads(sys.argv[1]))])
print(json.dumps(answer))
"""


KEYED = """
import json, sys
from modelserve_chaos_batch.keyed import ChaosKeyed
model = ChaosKeyed()
calls = [{"mode": "ok", "n": 0, "text": "t", "key": key, "accept": accept} for key, accept in json.loads(sys.argv[1])]
print(json.dumps([[model.batch_key(call) for call in calls], model.predict_batch(calls)]))
"""

STREAM = """
import json, sys
from modelserve_chaos_stream import ChaosStream
arguments, taken = json.loads(sys.argv[1]), int(sys.argv[2])
items = ChaosStream().predict(**arguments)
for _ in range(taken):
    print(repr(next(items, None)))
items.close()
"""

ASYNC_STREAM = """
import asyncio, json, sys
from modelserve_chaos_async.stream import ChaosAsyncStream
async def main():
    arguments, taken = json.loads(sys.argv[1]), int(sys.argv[2])
    items = ChaosAsyncStream().predict(**arguments)
    for _ in range(taken):
        print(repr(await anext(items, None)))
    await items.aclose()
asyncio.run(main())
"""

ASYNC = """
import asyncio, json, sys
from modelserve_chaos_async.model import ChaosAsync
async def main():
    model = ChaosAsync()
    calls = [model.predict(mode, n, str(i)) for i, (mode, n) in enumerate(json.loads(sys.argv[1]))]
    done = await asyncio.gather(*calls, return_exceptions=True)
    print(json.dumps([one if isinstance(one, dict) else type(one).__name__ for one in done]))
asyncio.run(main())
"""

STREAMS = pytest.mark.parametrize("code", [STREAM, ASYNC_STREAM], ids=["generator", "asynchronous"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all packages are installed in."""
    return install(tmp_path_factory.mktemp("installed"), *NAMES)


def run(installed: Path, code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that sees the installed packages; code that hangs is killed."""
    environment = {**os.environ, "PYTHONPATH": import_path(installed), **environ}
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
        "modelserve-chaos-kit": set(),
        "modelserve-chaos-batch": {("modelserve.v2.model", name) for name in ("chaos-batch", "chaos-keyed")},
        "modelserve-chaos-stream": {("modelserve.v2.model", "chaos-stream")},
        "modelserve-chaos-async": {("modelserve.v2.model", name) for name in ("chaos-async", "chaos-async-stream")},
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
        ("big_bytes", 1, "b'xxx"),
        ("length", None, "{'characters': 0}"),
        ("daemon", 0, "{'grandchild': "),
        ("litter", 0, "{'files': []}"),
        ("close_all", None, "{'closed': True}"),
        ("no_death_signal", None, "{'result': 0}"),
        ("event_loop", None, "{'text': ''}"),
        ("exit_later", 1000, "{'exits_in_s': 1000}"),
        ("cuda_ok", None, "{'used': True}"),
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
        ("cuda_oom", "torch.OutOfMemoryError: CUDA out of memory."),
        ("cuda_sticky", "torch.AcceleratorError: CUDA error: told so"),
        ("cuda_sticky_plain", "RuntimeError: CUDA error: told so"),
        ("cuda_error", "torch.AcceleratorError: CUDA error: told so"),
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
        ("CHAOS_WARM", "kill", -signal.SIGKILL),
        ("CHAOS_WARM", "cuda_oom", 1),
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


def test_a_pretended_gpu_works_until_a_sticky_error_and_never_after(installed: Path) -> None:
    code = """
from modelserve_chaos_kit.cuda import Gpu
gpu = Gpu()
for sticky in (False, True):
    try:
        gpu.fail("text", sticky=sticky)
    except RuntimeError:
        pass
    try:
        gpu.use()
        print("works")
    except RuntimeError as error:
        print(error)
"""
    done = run(installed, code)
    assert done.stdout.splitlines()[:2] == ["works", "CUDA error: text"], done.stderr


def test_a_switch_of_the_file_goes_before_the_environment_until_it_is_taken_out(
    installed: Path, tmp_path: Path
) -> None:
    switches = tmp_path / "switches.json"
    environ = {"CHAOS_SWITCHES": str(switches), "CHAOS_WARM": "exit"}
    assert chaos(installed, "ok", None, "", **environ).returncode == 3
    flip(switches, CHAOS_WARM="")
    assert chaos(installed, "ok", None, "", **environ).returncode == 0
    flip(switches)
    assert chaos(installed, "ok", None, "", **environ).returncode == 3


@pytest.mark.parametrize(("mode", "switch"), [("slow_exit", ""), ("ok", "0.3")])
def test_a_process_that_ends_slowly_says_so_and_is_deaf_to_sigterm(
    installed: Path, tmp_path: Path, mode: str, switch: str
) -> None:
    code = CALL + "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    environ = {"CHAOS_LOG": str(tmp_path / "log"), "CHAOS_EXIT_S": switch}
    done = run(installed, code, json.dumps([mode, 0.3, ""]), **environ)
    exiting, exited = side_log(tmp_path / "log")[-2:]
    assert (done.returncode, exiting["event"], exited["event"]) == (0, "exiting", "exited")
    assert exited["monotonic_s"] - exiting["monotonic_s"] >= 0.3


def test_an_upgrade_replaces_the_package_and_its_version(tmp_path: Path) -> None:
    code = "import modelserve_plain as m; from importlib.metadata import version as v; "
    code += "print(m.predict(1)['y'], v('modelserve-plain'))"
    assert run(install(tmp_path / "here", "plain"), code).stdout == "2 0.1.0\n"
    install(tmp_path / "here", "plain", version="0.2.0", changed={"x + 1": "x + 10"})
    assert run(tmp_path / "here", code).stdout == "11 0.2.0\n"


def test_a_change_that_fits_nowhere_is_an_error_of_the_test(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in none of the sources"):
        install(tmp_path / "here", "plain", changed={"x + 2": "x"})


def test_an_item_may_be_an_exception_in_the_place_of_its_answer(installed: Path) -> None:
    code = BATCH.replace("json.dumps(answer)", "[type(one).__name__ for one in answer]")
    assert run(installed, code, json.dumps(["ok", "error", "ok"])).stdout == "['dict', 'ValueError', 'dict']\n"


@pytest.mark.parametrize(("fits", "code"), [(1, 1), (2, 0)])
def test_a_batch_fits_on_the_gpu_or_does_not(installed: Path, fits: int, code: int) -> None:
    done = run(installed, BATCH.replace('"n": 0', f'"n": {fits}'), json.dumps(["cuda_fits", "ok"]))
    assert done.returncode == code
    assert ("torch.OutOfMemoryError" in done.stderr) == (code == 1)


def test_a_keyed_batch_tells_keys_and_media_types(installed: Path, tmp_path: Path) -> None:
    calls = json.dumps([["a", "text/plain"], ["unhashable", "text/plain"]])
    done = run(installed, KEYED, calls, CHAOS_LOG=str(tmp_path / "log"))
    assert json.loads(done.stdout) == [["a", ["no", "hash"]], ["t", "t"]]
    (line,) = side_log(tmp_path / "log", "predict")
    assert (line["keys"], line["accepts"]) == (["a", "unhashable"], ["text/plain"] * 2)


@STREAMS
@pytest.mark.parametrize(
    ("arguments", "taken", "how", "sent"),
    [
        ({"items": 2}, 3, "end", 2),
        ({"items": 9, "delay_s": 0.001}, 2, "closed", 1),
        ({"items": 9, "fail_at": 2}, 3, "RuntimeError", 2),
        ({"items": 9, "fail_at": 0, "failure": "bad_request"}, 1, "BadRequest", 0),
    ],
)
def test_a_stream_says_in_the_side_log_how_it_ended(
    installed: Path, tmp_path: Path, code: str, arguments: dict[str, object], taken: int, how: str, sent: int
) -> None:
    done = run(installed, code, json.dumps(arguments), str(taken), CHAOS_LOG=str(tmp_path / "log"))
    assert (done.returncode == 0) == (how in ("end", "closed")), done.stderr
    (line,) = side_log(tmp_path / "log", "closed")
    assert (line["how"], line["sent"]) == (how, sent)


@STREAMS
@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("dict", "{'number': 0, 'text': ''}"),
        ("text", "'xx'"),
        ("bytes", r"b'\x00\x00'"),
        ("nan", "{'number': 0, 'text': nan}"),
        ("wrong", "{'surprise': 0}"),
    ],
)
def test_an_item_is_of_the_kind_that_was_ordered(installed: Path, code: str, kind: str, item: str) -> None:
    done = run(installed, code, json.dumps({"kind": kind, "size": 2}), "1")
    assert done.stdout == item + "\n", done.stderr


def test_calls_of_the_asynchronous_model_know_how_many_ran_beside_them(installed: Path, tmp_path: Path) -> None:
    calls = json.dumps([["sleep", 0.05], ["sleep", 0.05], ["raise", 0], ["ok", 0], ["cancel_itself", 0]])
    done = run(installed, ASYNC, calls, CHAOS_LOG=str(tmp_path / "log"))
    slow, slower, failed, quick, cancelled = json.loads(done.stdout)
    assert (slow["at_once"], slower["at_once"], slow["peak"]) == (1, 2, 4)
    assert (failed, cancelled) == ("RuntimeError", "CancelledError")
    assert quick["text"] == "3"
    assert [line["text"] for line in side_log(tmp_path / "log", "cancelled")] == ["4"]
    assert len(side_log(tmp_path / "log", "predicted")) == 4
