"""A server from start to end, and ``modelserve.serve`` from programs of every kind."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelserve.discovery import ModelRef, carry, find
from modelserve.errors import NoModel, PortInUse, SettingsError, StoreUnreachable
from modelserve.runtime.fleet import Fleet
from modelserve.server import Hooks, Server, run
from modelserve.settings import Settings
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
        ("modelserve.serve((x for x in ()))", "DiscoveryError: generator cannot be carried to a worker"),
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


@pytest.fixture
def plain(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> list[ModelRef]:
    """The plain model, found in this process and loaded in its workers."""
    monkeypatch.syspath_prepend(packages["plain"])
    return find(["plain"])


async def test_a_port_in_use_is_refused_before_any_worker_starts(plain: list[ModelRef]) -> None:
    before = set(psutil.Process().children())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port} is in use already"):
            await Server(plain, Settings(port=port)).__aenter__()
    assert set(psutil.Process().children()) == before


@pytest.mark.parametrize(
    ("host", "words"),
    [("no-such-host.invalid", "no address"), ("a..b", "no address"), ("192.0.2.1", "Cannot listen on 192.0.2.1")],
)
async def test_a_host_that_is_not_this_machine_is_refused(plain: list[ModelRef], host: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        await Server(plain, Settings(host=host, port=0)).__aenter__()


async def test_it_listens_on_ipv6(plain: list[ModelRef]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with Server(plain, Settings(host="::1", port=0, base_path="/lab")) as server:
        assert re.fullmatch(r"http://\[::1\]:\d+/lab", server.url)
        assert await server.started() == {"plain": "ready"}
        port = int(server.url.split("]:")[1].split("/")[0])
        assert await asyncio.to_thread(post, "::1", port, "/lab/v2/models/plain/predict/?x=1") == b'{"y":2}'


async def test_when_it_is_left_its_port_is_free_and_its_workers_and_folder_are_gone(plain: list[ModelRef]) -> None:
    async with Server(plain, Settings(port=0)) as server:
        await server.started()
        port, folder = int(server.url.rsplit(":", 1)[1]), Path(server.fleet.folder)
        assert folder.exists()
        workers = [psutil.Process(pid) for pid in server.fleet.deployments["plain"].workers.values()]
    socket.create_server(("127.0.0.1", port)).close()
    assert not folder.exists()
    assert not any(worker.is_running() for worker in workers)


async def test_a_start_that_is_cancelled_leaves_nothing(plain: list[ModelRef], tmp_path: Path) -> None:
    async with Server(plain, Settings(port=0, temp_dir=str(tmp_path))):
        pass  # its worker is still loading
    assert list(tmp_path.iterdir()) == []


async def test_jobs_are_kept_in_a_folder_for_this_user_alone(plain: list[ModelRef], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "jobs"
    async with Server(plain, Settings(port=0, data_dir=str(folder))) as server:
        assert server.jobs is not None
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "modelserve.db").exists()
        assert b"modelserve_jobs{" in server.metrics.render()


async def test_without_a_data_folder_they_are_kept_in_the_users_own(plain: list[ModelRef], data_home: Path) -> None:
    async with Server(plain, Settings(port=0)):
        assert (data_home / "modelserve" / "modelserve.db").exists()


async def test_where_trainings_are_off_everywhere_there_are_no_jobs(plain: list[ModelRef], tmp_path: Path) -> None:
    async with Server(plain, Settings(port=0, train=False, data_dir=str(tmp_path / "data"))) as server:
        assert server.jobs is None
        assert b"modelserve_jobs" not in server.metrics.render()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["logs"]


async def test_a_store_that_cannot_be_used_ends_the_start_and_leaves_nothing(
    plain: list[ModelRef], tmp_path: Path
) -> None:
    """H14."""
    before = set(psutil.Process().children())
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnreachable, match="file/jobs") as caught:
        await Server(plain, Settings(port=0, data_dir=str(tmp_path / "file" / "jobs"))).__aenter__()
    assert caught.value.exit_code == 5
    assert set(psutil.Process().children()) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_returns_0_after_a_signal_and_has_told_where_it_listens_and_what_is_ready(
    plain: list[ModelRef], number: signal.Signals
) -> None:
    said: list[Any] = []

    def ready(url: str, statuses: dict[str, str]) -> None:
        said.append(("ready", url, statuses))
        os.kill(os.getpid(), number)

    status = run(plain, Settings(port=0), Hooks(lambda url, names: said.append((url, names)), ready))
    assert status == 0
    (url, names), (_, ready_url, statuses) = said
    assert (url, names, statuses) == (ready_url, ["plain"], {"plain": "ready"})


def test_a_signal_while_the_models_are_loading_ends_it(plain: list[ModelRef]) -> None:
    ready: list[str] = []
    stop = lambda url, names: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    assert run(plain, Settings(port=0), Hooks(stop, lambda url, statuses: ready.append(url))) == 0
    assert not ready


def test_what_runs_beside_the_event_loop_runs_where_no_further_thread_can_be_started(
    plain: list[ModelRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y26: uploads are written so, to descriptors that were others' when it was done all the same, later."""
    done: list[int] = []

    def no_room(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def work_beside(fleet: Fleet) -> None:
        monkeypatch.setattr(threading.Thread, "start", no_room)
        await asyncio.gather(*(asyncio.to_thread(done.append, number) for number in range(20)))
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGTERM)

    assert run(plain, Settings(port=0), Hooks(beside=work_beside)) == 0
    assert sorted(done) == list(range(20))


class CannotWarm:
    """A model that cannot be warmed."""

    def warm(self) -> None:
        """Fail."""
        raise RuntimeError("cold")


def test_when_no_model_can_start_run_says_which(plain: list[ModelRef]) -> None:
    with pytest.raises(NoModel, match="cannotwarm could not be started: the log above says why"):
        run([carry(CannotWarm)], Settings(port=0))


def test_one_model_that_cannot_start_does_not_end_it_but_does_when_strict(plain: list[ModelRef]) -> None:
    refs = [*plain, carry(CannotWarm)]
    stop = lambda url, statuses: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    assert run(refs, Settings(port=0), Hooks(on_ready=stop)) == 0
    with pytest.raises(NoModel, match="cannotwarm"):
        run(refs, Settings(port=0, strict=True))


def test_no_thread_and_no_process_is_left_of_all_these() -> None:
    assert [thread.name for thread in threading.enumerate() if "modelserve" in thread.name] == []
    left = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    ours = ("resource_tracker", "postgres")  # the tests' own, for the whole run
    assert [line for line in left if not any(name in line for name in ours)] == []
