"""Real workers that are timed out, recycled and reloaded while calls run; deployments with settings of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from modelserve.discovery import ModelRef
from modelserve.errors import NotFound
from modelserve.messages import Answer, Call
from modelserve.runtime.fleet import Deployment, Fleet, ReloadFailed, Status
from modelserve.settings import DeploymentTable, Settings
from tests.models.installed import flip, side_log
from tests.runtime.workers import CHAOS, ask, until

FILE = """
VERSION = {version}
{more}
def predict(x: int = 0):
    return {{"version": VERSION}}

schema = None
"""


@pytest.fixture(autouse=True)
def log(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let workers find the models, and return the side log of the chaos model."""
    for folder in packages.values():
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    monkeypatch.setenv("CHAOS_SWITCHES", str(tmp_path / "switches.json"))
    flip(tmp_path / "switches.json")
    return tmp_path / "side.log"


def answered(answer: Answer) -> str:
    return "ok" if answer.failure is None else answer.failure.code


async def calls_until(deployment: Deployment, stop: asyncio.Event) -> list[str]:
    """Make one call after another until told to stop, and return what came back."""
    codes: list[str] = []
    while not stop.is_set():
        codes.append(answered(await deployment.call(ask(0))))
    return codes


@pytest.mark.parametrize("mode", ["spin", "spin_c", "stop"])
async def test_a_loop_a_lock_and_a_freeze_are_ended_in_time(tmp_path: Path, mode: str) -> None:
    """A08, A09, A10."""
    async with Fleet([CHAOS], Settings(temp_dir=str(tmp_path), predict_timeout_s=1.0)) as fleet:
        await fleet.started()
        chaos = fleet.find("chaos")
        since = time.monotonic()
        stuck, waiting = chaos.call(ask(0, mode)), chaos.call(ask(0))
        assert answered(await stuck) == "predict_timeout"
        assert 0.5 <= time.monotonic() - since <= 4.5
        assert answered(await waiting) == "ok"
        last_exit = chaos.status_report().last_exit
        assert last_exit is not None
        assert last_exit.reason == "timeout"


async def test_a_worker_frozen_from_outside_costs_time_and_no_call(tmp_path: Path) -> None:
    """A10."""
    async with Fleet([CHAOS], Settings(temp_dir=str(tmp_path), predict_timeout_s=1.0)) as fleet:
        await fleet.started()
        chaos = fleet.find("chaos")
        (pid,) = chaos.workers.values()
        os.kill(pid, signal.SIGSTOP)
        assert answered(await chaos.call(ask(0))) == "ok"
        assert not psutil.pid_exists(pid)


async def test_recycling_under_load_fails_no_call(tmp_path: Path, log: Path) -> None:
    """A22."""
    settings = Settings(temp_dir=str(tmp_path), workers=2, max_calls=30)
    async with Fleet([CHAOS], settings) as fleet:
        await fleet.started()
        chaos, stop = fleet.find("chaos"), asyncio.Event()
        clients = [asyncio.create_task(calls_until(chaos, stop)) for _ in range(4)]
        await until(lambda: len(side_log(log, "warmed")) >= 6, within_s=40)
        stop.set()
        codes = [code for client in clients for code in await client]
        assert set(codes) == {"ok"}
        assert chaos.status_report().restarts == 0


async def test_a_worker_that_leaks_is_recycled(tmp_path: Path) -> None:
    """A22."""
    async with Fleet([CHAOS], Settings(temp_dir=str(tmp_path), max_rss_mb=300)) as fleet:
        await fleet.started()
        chaos = fleet.find("chaos")
        before = chaos.workers
        for _ in range(3):
            assert answered(await chaos.call(ask(0, "leak", n=100))) == "ok"
        await until(lambda: chaos.workers != before and len(chaos.workers) == 1)
        assert answered(await chaos.call(ask(0))) == "ok"
        last_exit = chaos.status_report().last_exit
        assert last_exit is not None
        assert last_exit.reason == "recycled"


def write(path: Path, version: int, more: str = "") -> None:
    path.write_text(FILE.format(version=version, more=more))


async def test_a_reload_serves_the_code_of_now_and_loses_no_call(tmp_path: Path) -> None:
    write(path := tmp_path / "served.py", 1)
    async with Fleet([ModelRef("served", "file", str(path))], Settings(temp_dir=str(tmp_path), workers=2)) as fleet:
        await fleet.started()
        served, stop = fleet.find("served"), asyncio.Event()
        clients = [asyncio.create_task(calls(served, stop)) for _ in range(4)]
        write(path, 2)
        await fleet.reload("served")
        last = await served.call(Call())
        stop.set()
        codes = [code for client in clients for code in await client]
        assert set(codes) == {"ok"}
        assert b'"version":2' in last.body
        assert len(served.workers) == 2


async def calls(deployment: Deployment, stop: asyncio.Event) -> list[str]:
    codes: list[str] = []
    while not stop.is_set():
        codes.append(answered(await deployment.call(Call())))
    return codes


@pytest.mark.parametrize(
    ("more", "words"), [("raise OSError", "could not load"), ("def warm(): raise OSError", "could not warm")]
)
async def test_a_version_that_fails_leaves_the_old_one_in_its_place_and_the_status_says_why(
    tmp_path: Path, more: str, words: str
) -> None:
    write(path := tmp_path / "served.py", 1)
    async with Fleet([ModelRef("served", "file", str(path))], Settings(temp_dir=str(tmp_path))) as fleet:
        await fleet.started()
        served = fleet.find("served")
        before = served.workers
        write(path, 2, more)
        with pytest.raises(ReloadFailed, match=words):
            await fleet.reload()
        assert served.workers == before
        assert b'"version":1' in (await served.call(Call())).body
        report = served.status_report()
        assert report.last_reload is not None
        assert words in report.last_reload.message
        path.unlink()
        with pytest.raises(ReloadFailed, match="no Python file"):
            await fleet.reload("served")
        assert served.workers == before


async def test_reloading_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with Fleet([CHAOS], Settings(temp_dir=str(tmp_path))) as fleet:
        with pytest.raises(NotFound):
            await fleet.reload("other")


async def test_each_deployment_has_its_own_workers_and_environment(tmp_path: Path) -> None:
    settings = Settings(
        temp_dir=str(tmp_path),
        deployments={
            "small": DeploymentTable(model="chaos", environment={"CHAOS_ANSWER": "str"}, overrides={"workers": 1}),
            "large": DeploymentTable(model="chaos", environment={}, overrides={"workers": 2, "max_queue": 1}),
        },
    )
    refs = [ModelRef(name, "module", CHAOS.target) for name in ("small", "large")]
    async with Fleet(refs, settings) as fleet:
        await fleet.started()
        assert set(fleet.find("small").workers) == {"small-0"}
        assert set(fleet.find("large").workers) == {"large-0", "large-1"}
        answers = [await fleet.find(name).call(Call()) for name in ("small", "large")]
        assert answers[0].body != answers[1].body


async def test_poison_fails_one_deployment_and_the_other_serves_until_the_first_recovers(tmp_path: Path) -> None:
    """A11, but for the recovery after a minute, which test_deployment_life.py has."""
    refs = [CHAOS, ModelRef("other", "module", CHAOS.target)]
    async with Fleet(refs, Settings(temp_dir=str(tmp_path), restart_budget=2)) as fleet:
        await fleet.started()
        for _ in range(3):
            assert answered(await fleet.find("chaos").call(ask(0, "exit3"))) == "worker_died"
        await until(lambda: fleet.find("chaos").status is Status.FAILED)
        assert answered(await fleet.find("other").call(ask(0))) == "ok"
        assert fleet.find("chaos").status_report().restarts == 2


async def test_a_reload_for_which_there_is_no_thread_fails_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y26."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with Fleet([CHAOS], Settings(temp_dir=str(tmp_path))) as fleet:
        await fleet.started()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
            with pytest.raises(ReloadFailed, match="can't start new thread"):
                await fleet.reload("chaos")
        assert fleet.deployments["chaos"].status_report().status == "ready"
