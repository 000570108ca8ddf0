"""The store on PostgreSQL does what every store does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from modelserve.jobs.store import Store
from tests.jobs.delivery_contract import DeliveryTests
from tests.jobs.store_contract import StoreTests
from tests.jobs.store_races import StoreRaces
from tests.postgres import Cluster


@pytest.fixture(scope="module")
def stores(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """Yield stores on one database, for all tests of this file: each has a deployment of its own."""
    url, folder = postgres.database(), tmp_path_factory.mktemp("data")
    stores = [Store.open(url, folder) for _ in range(2)]
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def opened(stores: list[Store]) -> Callable[[], Store]:
    """Return what gives one store after the other."""
    return iter(stores).__next__


class TestPostgresStore(StoreTests):
    """The store's promises, on PostgreSQL."""


class TestPostgresDeliveries(DeliveryTests):
    """The store's promises for callbacks, on PostgreSQL."""


class TestPostgresRaces(StoreRaces):
    """The store's promises under races, on PostgreSQL."""

    rounds = 30
    orders = 3


@pytest.mark.soak
class TestManyPostgresRaces(StoreRaces):
    """The same, more often."""
