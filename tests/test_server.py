"""A server from start to end."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import threading
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


def post(host: str, port: int, path: str) -> bytes:
    with closing(http.client.HTTPConnection(host, port, timeout=20)) as connection:
        connection.request("POST", path)
        return connection.getresponse().read()


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
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"cache", "logs"}


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
