"""The store on SQLite does for callbacks what every store does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelserve.jobs.store import Store
from tests.jobs.delivery_contract import DeliveryTests


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Return what opens the store of this test once more."""
    stores: list[Store] = []

    def open() -> Store:
        stores.append(Store.open("", tmp_path / "data"))
        return stores[-1]

    yield open
    for store in stores:
        store.close()


class TestSqliteDeliveries(DeliveryTests):
    """The store's promises for callbacks, on SQLite."""
