"""The listing of what is served, what cannot predict and what has failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import Running, running
from tests.web import telling


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    visible = [packages["plain"], packages["broken"]]
    arguments = ["plain", "broken", f"{telling.__file__}:Telling", f"{telling.__file__}:Silent"]
    with running(arguments, visible=visible, folder=tmp_path_factory.mktemp("models")) as server:
        yield server


def hrefs(shown: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in shown["links"]}


def test_the_list_has_every_deployment_with_its_status(server: Running) -> None:
    models = server.get("/v2/models/").json()["models"]
    assert {model["id"]: model["status"] for model in models} == {
        "plain": "ready",
        "broken": "failed",
        "telling": "ready",
        "silent": "ready",
    }
    for model in models:
        assert {"id", "name", "description", "links", "status"} <= set(model)
        assert hrefs(model)["self"] == f"/v2/models/{model['id']}/"


def test_one_model_is_shown_as_in_the_list(server: Running) -> None:
    models = server.get("/v2/models/").json()["models"]
    for model in models:
        assert server.get(f"/v2/models/{model['id']}/").json() == model


def test_a_model_shows_all_that_it_says_of_itself(server: Running) -> None:
    shown = server.get("/v2/models/telling/").json()
    links = shown.pop("links")
    assert shown == {
        "id": "telling",
        "name": "Telling",
        "description": "Tells what it was given.",
        "license": "Apache-2.0",
        "author": "A. Author",
        "version": "1.2.3",
        "url": "https://example.org/telling",
        "status": "ready",
    }
    assert [link["href"] for link in links] == [
        "/v2/models/telling/",
        "/v2/models/telling/predict/",
        "https://example.org/help",
    ]


def test_a_model_that_cannot_predict_links_to_no_predict(server: Running) -> None:
    assert "predict" not in hrefs(server.get("/v2/models/silent/").json())


def test_a_model_that_failed_says_so_and_where_to_look_but_not_why(server: Running) -> None:
    shown = server.get("/v2/models/broken/").json()
    assert shown["message"] == "The model could not be loaded. The server's log says why."
    assert "predict" not in hrefs(shown)
    assert "ready" not in str(shown)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/models/nosuch/"), ("GET", "/v2/models/nosuch"), ("POST", "/v2/models/nosuch/predict/"),
     ("POST", "/v2/models/nosuch/predict"), ("GET", "/v2/models/%3Cscript%3E/"), ("GET", "/v2/models/Plain/")],
)  # fmt: skip
def test_an_unknown_model_is_a_404_on_every_route(server: Running, method: str, path: str) -> None:
    reply = server.request(method, path)
    assert (reply.status, reply.json()["code"]) == (404, "not_found")
    assert "nosuch" not in reply.json()["message"]
    assert b"<script>" not in reply.body
