"""What tests of jobs share: a house with the chaos model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from modelserve.discovery import ModelRef
from modelserve.settings import Settings
from tests.jobs.house import House, opened
from tests.runtime.workers import CHAOS

Open = Callable[..., Awaitable[House]]


@pytest.fixture
def models(packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let workers find the models, and return the side log that they write."""
    for folder in packages.values():
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "side.log"))
    return tmp_path / "side.log"


@pytest_asyncio.fixture
async def open_house(models: Path, tmp_path: Path) -> AsyncIterator[Open]:
    """Yield a function that opens a house until the test ends: ``await open_house(train_workers=2)``."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_(ref: ModelRef = CHAOS, **settings: Any) -> House:
            chosen = Settings(**({"train_cancel_s": 0.5} | settings))
            return await stack.enter_async_context(opened(tmp_path, chosen, ref))

        yield open_


@pytest_asyncio.fixture
async def house(open_house: Open) -> House:
    """A house with one slot for trainings."""
    return await open_house()
