"""All deployments of a server: started together, found by name, drained and ended, with real workers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from modelserve.discovery import ModelRef
from modelserve.errors import NotFound, SettingsError, Stopping
from modelserve.metrics import Metrics
from modelserve.runtime.fleet import Fleet, Status
from modelserve.settings import Settings
from tests.models.installed import side_log
from tests.runtime.workers import CHAOS, ask, until

PLAIN = ModelRef("plain", "module", "modelserve_plain")
BROKEN = ModelRef("broken", "module", "modelserve_broken")


@pytest.fixture(autouse=True)
def log(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let workers find the models, and return the side log of the chaos model."""
    for folder in packages.values():
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    return tmp_path / "side.log"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "temp").mkdir()
    return Settings(temp_dir=str(tmp_path / "temp"))


async def test_each_model_is_a_deployment_of_its_own_and_one_that_fails_harms_no_other(settings: Settings) -> None:
    async with Fleet([PLAIN, CHAOS, BROKEN], settings) as fleet:
        assert {deployment.status for deployment in fleet.deployments.values()} == {Status.STARTING}
        await fleet.started()
        statuses = {name: deployment.status for name, deployment in fleet.deployments.items()}
        assert statuses == {"plain": Status.READY, "chaos": Status.READY, "broken": Status.FAILED}
        answer = await fleet.find("chaos").call(ask(0))
        assert answer.failure is None


async def test_each_deployment_has_as_many_workers_as_the_settings_say(tmp_path: Path) -> None:
    metrics = Metrics()
    async with Fleet([PLAIN], Settings(workers=2, temp_dir=str(tmp_path)), metrics) as fleet:
        await fleet.started()
        assert set(fleet.find("plain").workers) == {"plain-0", "plain-1"}
        assert b'modelserve_workers{deployment="plain",state="warm"} 2.0' in metrics.render()


async def test_an_unknown_name_is_not_found_and_not_repeated(settings: Settings) -> None:
    async with Fleet([PLAIN], settings) as fleet:
        with pytest.raises(NotFound) as caught:
            fleet.find("<script>")
        assert "<script>" not in caught.value.message


async def test_leaving_it_ends_every_worker_and_removes_its_folder(settings: Settings) -> None:
    async with Fleet([PLAIN, CHAOS], settings) as fleet:
        await fleet.started()
        workers = [psutil.Process(pid) for name in fleet.deployments for pid in fleet.find(name).workers.values()]
        assert len(workers) == 2
        assert Path(fleet.folder).stat().st_mode & 0o777 == 0o700
    assert not any(worker.is_running() for worker in workers)
    assert list(Path(settings.temp_dir).iterdir()) == []


async def test_leaving_it_while_models_are_loading_leaves_nothing(
    settings: Settings, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_WARM", "hang")
    since = time.monotonic()
    async with Fleet([CHAOS, BROKEN], settings):
        await until(lambda: side_log(log, "warm"))
        (worker,) = {line["pid"] for line in side_log(log)}
    assert not psutil.pid_exists(worker)
    assert list(Path(settings.temp_dir).iterdir()) == []
    assert time.monotonic() - since < 15


async def test_draining_gives_running_calls_their_grace_and_answers_the_rest(settings: Settings, log: Path) -> None:
    async with Fleet([CHAOS, PLAIN], settings) as fleet:
        await fleet.started()
        short, long = (fleet.find("chaos").call(ask(0, "sleep", n=seconds)) for seconds in (0.2, 300))
        draining = asyncio.create_task(fleet.drain(1.0))
        await until(lambda: fleet.find("plain").status is Status.STOPPING)
        with pytest.raises(Stopping):
            fleet.find("plain").call(ask(0))
        assert (await short).failure is None
        await draining
        failure = (await long).failure
        assert failure is not None
        assert failure.code == "stopping"


async def test_draining_an_idle_fleet_ends_at_once(settings: Settings) -> None:
    async with Fleet([PLAIN, BROKEN], settings) as fleet:
        await fleet.started()
        await asyncio.wait_for(fleet.drain(60), 5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(Settings(device="cuda:99"), "cuda"), (Settings(temp_dir="/no/such/folder"), "where no folder can be made")],
)
async def test_what_is_not_there_is_refused_on_entering(
    wrong: Settings, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SettingsError, match=words):
        await Fleet([PLAIN], wrong).__aenter__()
