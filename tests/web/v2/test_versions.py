"""The two documents that a client starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, running


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(["plain"], visible=[packages["plain"]], folder=tmp_path_factory.mktemp("versions")) as server:
        yield server


def test_the_root_names_the_versions_and_where_the_documents_are(server: Running) -> None:
    shown = server.get("/").json()
    assert shown["versions"] == [
        {
            "id": "v2",
            "version": "stable",
            "links": [{"rel": "self", "type": "application/json", "href": "/v2/"}],
        }
    ]
    assert {link["href"] for link in shown["links"]} == {"/api", "/openapi.json"}
    for link in shown["links"]:
        assert server.get(link["href"]).headers["Content-Type"].startswith(link["type"])


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/*"])
def test_a_program_gets_the_root_as_json(server: Running, accept: str) -> None:
    reply = server.get("/", Accept=accept)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_a_browser_is_sent_from_the_root_to_the_page(server: Running, accept: str) -> None:
    reply = server.get("/", Accept=accept)
    assert (reply.status, reply.headers["Location"]) == (302, "/api")


def test_deepaas_address_of_the_page_leads_to_ours(server: Running) -> None:
    reply = server.get("/ui")
    assert (reply.status, reply.headers["Location"]) == (302, "/api")


def test_version_2_answers_for_deepaas_and_for_open_inference(server: Running) -> None:
    shown = server.get("/v2/").json()
    assert (shown["id"], shown["version"], shown["name"]) == ("v2", "stable", "modelserve")
    assert shown["links"][0]["href"] == "/v2/"
    assert shown["extensions"] == []
