"""The two documents of running servers: valid, complete, and made only once for what they describe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from openapi_spec_validator import validate

from modelserve.access.roll import Roll
from modelserve.messages import Description, Metadata
from modelserve.runtime.fleet import Fleet
from modelserve.settings import Settings
from modelserve.web.auth import Guard
from modelserve.web.documents import Documents
from modelserve.web.published import Published
from tests.running import Running, running
from tests.web import telling

DOCUMENTS = ("/openapi.json", "/swagger.json")
MODELS = ("plain", "chaos", "chaos-batch", "telling")


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Four models that serve, one that cannot predict, and one that cannot start."""
    own = [f"{telling.__file__}:Telling", f"{telling.__file__}:Silent"]
    arguments = ["plain", "chaos", "chaos-batch", "broken", *own, "--title", "Four & more"]
    with running(arguments, visible=list(packages.values()), folder=tmp_path_factory.mktemp("documents")) as server:
        yield server


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_document_of_a_server_with_many_models_is_valid(server: Running, path: str) -> None:
    reply = server.get(path)
    assert reply.headers["Content-Type"].startswith("application/json")
    validate(reply.json())


@pytest.mark.parametrize("path", DOCUMENTS)
def test_it_has_a_predict_path_for_each_model_that_can_predict_and_for_no_other(server: Running, path: str) -> None:
    paths = server.get(path).json()["paths"]
    predict = {name for name in paths if name.endswith("/predict/")}
    assert predict == {f"/v2/models/{name}/predict/" for name in MODELS}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_it_has_the_title_of_the_settings(server: Running, path: str) -> None:
    assert server.get(path).json()["info"]["title"] == "Four & more"


def test_every_get_path_of_the_document_answers(server: Running) -> None:
    for path, item in server.get("/openapi.json").json()["paths"].items():
        if "get" in item and "{uuid}" not in path:
            assert server.get(path.replace("{name}", "plain")).status == 200, path


class OneDeployment:
    """As much of a fleet as the documents look at."""

    def __init__(self) -> None:
        self.deployment = SimpleNamespace(name="m", description=None)
        self.deployments = {"m": self.deployment}

    def find(self, name: str) -> SimpleNamespace:
        return self.deployments[name]

    def describe(self, text: str) -> None:
        self.deployment.description = Description(Metadata("m", "M", text), implements=["predict"])


async def body(documents: Documents, page: str) -> bytes:
    response = await getattr(documents, page)(make_mocked_request("GET", "/"))
    return cast(bytes, response.body)


@pytest.mark.parametrize("page", ["openapi", "swagger"])
async def test_it_is_kept_until_a_description_changes(page: str) -> None:
    fleet = OneDeployment()
    published = Published(cast(Fleet, cast(Any, fleet)), Settings(), Guard(Roll()), keeps_jobs=False)
    documents = Documents(published, Settings())
    empty = await body(documents, page)
    assert await body(documents, page) is empty

    fleet.describe("The first version.")
    first = await body(documents, page)
    assert b"The first version." in first
    fleet.describe("The first version.")  # a restarted worker says the same again
    assert await body(documents, page) is first

    fleet.describe("The second version.")
    second = await body(documents, page)
    assert b"The second version." in second
    assert b"The first version." not in second
