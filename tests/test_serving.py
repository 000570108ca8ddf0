"""``modelserve.serve`` and ``modelserve.running`` from programs of every kind: L11."""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

import modelserve
from modelserve.errors import NoModel, SettingsError
from tests.running import eventually, import_path

READY = re.compile(r"ready on (http://\S+?),")

# No empty line within the class: in an interactive session it would end there.
MODEL = """
from modelserve.v2 import fields
STEP = 1
class Adder:
    def __init__(self, step=STEP):
        self.step = step
    def get_predict_args(self):
        return {"x": fields.Int(required=True)}
    def predict(self, x):
        return {"y": x + self.step}

"""

SERVE = "modelserve.serve({}, port=0)"

FORMS = {
    "a class under a guard": (SERVE.format("Adder"), "adder", 2),
    "an object with state": (SERVE.format("Adder(10)"), "adder", 11),
    "a module": ("import modelserve_plain\n    " + SERVE.format("modelserve_plain"), "modelserve_plain", 2),
    "a class of a function": (
        "def make(step):\n        class Local(Adder):\n            def __init__(self): super().__init__(step)\n"
        "        return Local\n    " + SERVE.format("make(100)"),
        "local",
        101,
    ),
    "an installed name": (SERVE.format("'plain'"), "plain", 2),
}


class Program:
    """A Python program that serves, with its output."""

    def __init__(self, arguments: list[str], folder: Path, path: str, stdin: str | None = None) -> None:
        self.log = folder / "output"
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": import_path(path)},
                start_new_session=True,
                # As a terminal's: whoever started the tests in the background may have had Ctrl-C ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        assert self.process.stdin is not None
        self.process.stdin.write((stdin or "").encode())
        self.process.stdin.flush()
        if stdin is None or "-i" not in arguments:
            self.process.stdin.close()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def url(self) -> str:
        """Return its address once it is ready."""

        def found() -> Any:
            assert self.process.poll() is None, self.output
            return READY.search(self.output)

        return str(eventually(found, within_s=30)[1])

    def predict(self, model: str, x: int) -> Any:
        host, port = self.url().removeprefix("http://").rsplit(":", 1)
        return post(host.strip("[]"), int(port), f"/v2/models/{model}/predict/?x={x}")

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdin is not None
        self.process.stdin.close()  # an interactive session waits for its next line
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        assert self.process.stdin is not None
        self.process.stdin.close()


def post(host: str, port: int, path: str) -> bytes:
    with closing(http.client.HTTPConnection(host, port, timeout=20)) as connection:
        connection.request("POST", path)
        return connection.getresponse().read()


@pytest.fixture
def start(packages: dict[str, Path], tmp_path: Path) -> Iterator[Any]:
    """Yield a function that starts a program, from a file or from standard input."""
    programs: list[Program] = []

    def start(source: str, *, stdin: list[str] | None = None) -> Program:
        (tmp_path / "program.py").write_text(source)
        arguments = ["program.py"] if stdin is None else stdin
        programs.append(Program(arguments, tmp_path, str(packages["plain"]), None if stdin is None else source))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_script_serves(start: Any, form: str) -> None:
    call, model, expected = FORMS[form]
    program = start(f'import modelserve\n{MODEL}\nif __name__ == "__main__":\n    {call}\n    print("it returned")\n')
    assert f'"y":{expected}'.encode() in program.predict(model, 1)
    assert program.interrupt() == 0
    assert "it returned" in program.output
    assert "Traceback" not in program.output


@pytest.mark.parametrize("arguments", [None, ["-"], ["-i", "-q"]], ids=["a file", "standard input", "a session"])
def test_a_program_without_a_guard_serves_once_and_no_worker_runs_it_again(start: Any, arguments: Any) -> None:
    source = f'import modelserve{MODEL}\nprint("running", "once")\n{SERVE.format("Adder")}\n'
    program = start(source, stdin=arguments)
    assert b'"y":2' in program.predict("adder", 1)
    assert program.output.count("running once") == 1
    family = psutil.Process(program.process.pid).children(recursive=True)
    assert program.interrupt() == 0
    _, alive = psutil.wait_procs(family, timeout=3)
    assert not alive


def test_a_notebook_whose_event_loop_runs_serves_until_the_cell_is_interrupted(start: Any) -> None:
    """Its main thread runs a cell from within the loop, as ipykernel does."""
    program = start(
        f"import asyncio, modelserve{MODEL}\nloop = asyncio.new_event_loop()\n"
        f'def cell():\n    {SERVE.format("Adder")}\n    print("next", "cell")\n    loop.stop()\n'
        "loop.call_soon(cell)\nloop.run_forever()\nloop.close()\n"
    )
    assert b'"y":2' in program.predict("adder", 1)
    assert program.interrupt() == 0
    assert "next cell" in program.output


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("modelserve.serve(Adder, prot=1)", "SettingsError: 'prot' given as --prot is no setting of modelserve"),
        ("modelserve.serve(Adder, port='x')", "SettingsError: port given as --port is 'x', but must be"),
        ("modelserve.serve('nosuch')", "NoModel: There is no model 'nosuch'"),
        ("modelserve.serve((x for x in ()))", "DiscoveryError: An object of type generator is no model"),
        ("modelserve.serve(Adder((x for x in ())))", "DiscoveryError: Adder cannot be carried to a worker"),
        ("modelserve.serve(Adder(1), port=0, device='cuda')", "SettingsError: device is 'cuda', but no GPU was found"),
        ("modelserve.serve(type('Bad', (), {'warm': lambda s: 1 / 0}), port=0)", "NoModel: bad could not be started"),
    ],
)
def test_a_program_that_cannot_serve_ends_with_a_sentence(
    start: Any, call: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    program = start(f"import modelserve{MODEL}\n{call}\n")
    assert program.process.wait(30) == 1
    last = program.output.strip().splitlines()[-1]
    assert words in last
    assert "modelserve check" not in last, "there is nothing that command could check"


THREAD = f"""
import modelserve, threading, time
{MODEL}
thread = threading.Thread(target=lambda: {SERVE.format("Adder")}, daemon=DAEMON)
thread.start()
"""


@pytest.mark.parametrize(
    ("is_daemon", "then"),
    [
        (False, "thread.join()"),
        (True, "thread.join()"),
        (False, "time.sleep(300)"),
        (True, "time.sleep(300)"),
        # The main thread has ended, and the program waits for its other one.
        (False, "time.sleep(4); print('is over', flush=True)"),
    ],
)
def test_a_thread_serves_until_ctrl_c(start: Any, is_daemon: bool, then: str) -> None:
    program = start(THREAD.replace("DAEMON", str(is_daemon)) + then + "\n")
    assert b'"y":2' in program.predict("adder", 1)
    if "is over" in then:
        eventually(lambda: "is over" in program.output, within_s=20)
        assert b'"y":3' in program.predict("adder", 2)
    family = psutil.Process(program.process.pid).children(recursive=True)
    program.interrupt()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert "INFO modelserve.server stopped" in program.output


def test_a_daemons_server_ends_with_the_program(start: Any) -> None:
    program = start(THREAD.replace("DAEMON", "True") + "time.sleep(4)\n")
    assert b'"y":2' in program.predict("adder", 1)
    assert program.process.wait(30) == 0
    assert "INFO modelserve.server stopped" in program.output
    assert "Traceback" not in program.output


def test_a_server_that_a_cell_left_running_ends_with_the_program(start: Any) -> None:
    program = start(
        f"import modelserve{MODEL}\nblock = modelserve.running(Adder, port=0, log_level='info')\n"
        "server = block.__enter__()\nprint(server.url)\n"
    )
    assert program.process.wait(30) == 0
    assert "INFO modelserve.server stopped" in program.output
    assert "Traceback" not in program.output


class Doubler:
    """Doubles."""

    def predict(self) -> int:
        return 2


class Unstartable:
    """Cannot start."""

    def warm(self) -> None:
        raise ValueError("no weights")

    def predict(self) -> None: ...


class Nameless(Doubler):
    """Says nothing of itself."""

    def get_metadata(self) -> list[str]:
        return []


def _answer(server: modelserve.serving.RunningServer) -> bytes:
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    return post(host, int(port), f"/v2/models/{server.name}/predict/")


def _workers() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def test_a_block_has_a_server_that_is_ready_and_that_ends_with_it() -> None:
    threads, workers, hooks = set(threading.enumerate()), _workers(), (threading.excepthook, sys.unraisablehook)
    with modelserve.running(Doubler) as one, modelserve.running(Doubler, workers=2, base_path="/x") as two:
        assert one.name == two.name == "doubler"
        assert one.url != two.url
        assert two.url.endswith("/x")
        assert b"2" in _answer(one)
        assert len(_workers() - workers) == 3
    assert set(threading.enumerate()) == threads
    assert _workers() <= workers
    assert (threading.excepthook, sys.unraisablehook) == hooks


def test_blocks_may_end_in_another_order_than_they_began() -> None:
    hooks = (threading.excepthook, sys.unraisablehook)
    one, two = modelserve.running(Doubler), modelserve.running(Doubler)
    one.__enter__()
    server = two.__enter__()
    one.__exit__(None, None, None)
    assert b"2" in _answer(server)
    two.__exit__(None, None, None)
    # What is left stays below, and hands on what it is told.
    threading.excepthook, sys.unraisablehook = hooks


async def test_a_block_runs_where_an_event_loop_does() -> None:
    """As in a notebook."""
    with modelserve.running(Doubler) as server:
        assert b"2" in await asyncio.to_thread(_answer, server)


@pytest.mark.parametrize("raised", [KeyError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_what_a_block_raises_is_raised_once_the_server_has_ended(raised: BaseException) -> None:
    workers = _workers()
    with pytest.raises(type(raised)) as caught, modelserve.running(Doubler):
        raise raised
    assert caught.value is raised
    assert _workers() <= workers


def test_a_model_that_cannot_start_says_why() -> None:
    workers = _workers()
    with pytest.raises(NoModel) as caught, modelserve.running(Unstartable):
        pytest.fail("it has no server")
    assert caught.value.message.startswith("unstartable could not be started: ValueError: no weights (")
    assert "line " in caught.value.message
    assert _workers() <= workers
    with pytest.raises(NoModel) as caught, modelserve.running(Nameless):
        pytest.fail("it has no server")
    assert caught.value.message.startswith("nameless could not be started: get_metadata() ")
    with pytest.raises(SettingsError, match="did you mean port"), modelserve.running(Doubler, prot=1):
        pytest.fail("it has no server")


def test_a_child_that_a_program_forks_ends_and_leaves_the_server_alone(start: Any) -> None:
    program = start(
        f"import modelserve, multiprocessing, os, urllib.request{MODEL}\n"
        "with modelserve.running(Adder) as server:\n"
        "    child = multiprocessing.get_context('fork').Process(target=print)\n"
        "    child.start()\n    child.join()\n    pid = os.fork()\n"
        "    if not pid: raise SystemExit(3)\n"
        "    print(child.exitcode, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "    request = urllib.request.Request(f'{server.url}/v2/models/adder/predict/?x=1', method='POST')\n"
        "    print(urllib.request.urlopen(request).read())\n"
    )
    assert program.process.wait(60) == 0
    assert "0 3\n" in program.output
    assert '"y":2' in program.output


def test_the_log_of_a_program_is_left_as_it_was(start: Any) -> None:
    """One that has set up none sees what goes wrong, and has none of ours behind the block."""
    program = start(
        f"import logging, modelserve, urllib.request{MODEL}\n"
        "class Fails:\n    def predict(self): return 1 / 0\n\n"
        "with modelserve.running(Adder) as other:\n    with modelserve.running(Fails) as server:\n"
        "        try: urllib.request.urlopen(f'{server.url}/v2/models/fails/predict/', data=b'')\n"
        "        except OSError as error: print(error)\n"
        "print(logging.getLogger().handlers, logging.getLogger().level)\n"
    )
    assert program.process.wait(30) == 0
    assert "ERROR modelserve.web.failures model_error: ZeroDivisionError" in program.output
    assert "in predict" in program.output
    assert "INFO" not in program.output
    assert program.output.strip().endswith(f"[] {logging.WARNING}")


def test_a_log_of_the_programs_own_is_not_touched() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with modelserve.running(Doubler):
        assert (list(root.handlers), root.level) == before
