"""A training of the installed model behind a real server: its weights serve after it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from modelserve.testing import ServedModel

PATIENCE_S = 600.0  # a training gives way to all else on the machine
TRAIN = "/v2/models/digits-torch/train/"


async def test_the_weights_of_a_training_serve_after_it(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITS_TORCH_WEIGHTS", str(tmp_path / "weights.pt"))
    async with ServedModel("digits-torch", data_dir=str(tmp_path / "data"), reload_after_train=True) as served:
        reply = await served.request("POST", TRAIN, json={"epochs": 1})
        assert reply.status == 200, reply.body
        uuid, deadline = reply.json()["uuid"], time.monotonic() + PATIENCE_S
        while (shown := (await served.request("GET", TRAIN + uuid)).json())["status"] in ("queued", "running"):
            assert time.monotonic() < deadline, shown
            await asyncio.sleep(0.1)
        assert shown["status"] == "done", shown
        names = [file["name"] for file in (await served.request("GET", f"{TRAIN}{uuid}/artifacts")).json()]
        assert names == ["confusion.png"]
        trained = shown["result"]["output"]["weights"]
        while (answer := (await served.predict({"image": samples / "7.png"})).json())["weights"] != trained:
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.1)
