"""Trainings of the installed model behind a real server: followed, cancelled, done again, and served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from modelserve_digits import weights
from PIL import Image

from modelserve.testing import ServedModel

PATIENCE_S = 600.0  # a training gives way to all else on the machine
TRAIN = "/v2/models/digits/train/"

# One server, and so one event loop, for all tests of this file.
pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedModel]:
    """The model with weights and jobs of its own; new weights serve at once."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITS_WEIGHTS", str(folder / "weights.npz"))
        async with ServedModel("digits", data_dir=str(folder / "data"), reload_after_train=True) as served:
            yield served


async def start(served: ServedModel, **arguments: Any) -> str:
    reply = await served.request("POST", TRAIN, json=arguments)
    assert reply.status == 200, reply.body
    return str(reply.json()["uuid"])


async def job(served: ServedModel, uuid: str, until: Callable[[Json], bool]) -> Json:
    """Return the job once it is as one wants it."""
    deadline = time.monotonic() + PATIENCE_S
    while not until(shown := (await served.request("GET", TRAIN + uuid)).json()):
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.1)
    return dict(shown)


def has_ended(shown: Json) -> bool:
    return shown["status"] not in ("queued", "running")


async def comes_to_serve(served: ServedModel, samples: Path, name: str) -> bool:
    """Wait for the weights of this name: the workers are replaced once the job is done."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        reply = await served.predict({"image": samples / "7.png"})
        assert reply.status == 200
        if reply.json()["weights"] == name:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_the_weights_of_a_training_serve_after_it(served: ServedModel, samples: Path) -> None:
    uuid = await start(served, epochs=2)
    shown = await job(served, uuid, has_ended)
    assert (shown["status"], shown["progress"]) == ("done", 1.0), shown
    result = shown["result"]["output"]
    assert result["epochs"] == 2
    assert shown["metrics"]["accuracy"] == pytest.approx(result["accuracy"], abs=1e-4)
    assert await comes_to_serve(served, samples, result["weights"])


async def test_a_training_leaves_a_log_a_history_and_a_picture(served: ServedModel) -> None:
    uuid = await start(served, epochs=2, hidden_size=16)
    await job(served, uuid, has_ended)
    log = (await served.request("GET", f"{TRAIN}{uuid}/log")).body.decode()
    assert "epoch 2 of 2: loss" in log
    history = (await served.request("GET", f"{TRAIN}{uuid}/metrics")).json()
    assert [(point["step"], set(point["metrics"])) for point in history] == [(n, {"loss", "accuracy"}) for n in (1, 2)]
    names = [file["name"] for file in (await served.request("GET", f"{TRAIN}{uuid}/artifacts")).json()]
    assert names == ["confusion.png"]
    reply = await served.request("GET", f"{TRAIN}{uuid}/artifacts/confusion.png")
    assert reply.content_type == "image/png"
    with Image.open(BytesIO(reply.body)) as table:
        assert table.size == (620, 620)


async def test_a_cancelled_training_leaves_the_weights_as_they_were(served: ServedModel) -> None:
    await job(served, await start(served, epochs=1), has_ended)
    before = weights.path().read_bytes()
    uuid = await start(served, epochs=1000)
    await job(served, uuid, lambda shown: bool(shown.get("progress")))
    assert (await served.request("DELETE", TRAIN + uuid)).status == 200
    assert (await job(served, uuid, has_ended))["status"] == "cancelled"
    assert weights.path().read_bytes() == before


async def test_digits_that_a_client_sends_are_learnt_and_other_files_are_refused(
    served: ServedModel, tmp_path: Path
) -> None:
    np.savez(tmp_path / "more.npz", images=np.full((2, 8, 8), 16), labels=np.array([1, 1]))
    for content, status in (((tmp_path / "more.npz").read_bytes(), 200), (b"no digits", 422)):
        form = aiohttp.FormData({"epochs": "1"})
        form.add_field("dataset", content, filename="more.npz", content_type="application/octet-stream")
        reply = await served.request("POST", TRAIN, data=form)
        assert reply.status == status, reply.body
        if status == 200:
            shown = await job(served, reply.json()["uuid"], has_ended)
            assert (shown["status"], shown["args"]["dataset"]) == ("done", "more.npz"), shown
        else:
            assert reply.json()["dataset"] == ["Send an npz file with the arrays images and labels."]


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": 0}, {"hidden_size": 5000}])
async def test_arguments_out_of_range_are_refused_by_name(served: ServedModel, wrong: Json) -> None:
    reply = await served.request("POST", TRAIN, json=wrong)
    assert (reply.status, set(wrong) <= set(reply.json())) == (422, True)
