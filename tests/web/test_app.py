"""The route table: each route with and without its trailing slash, its methods, and everything under a base path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, running

GET_ROUTES = (
    "/v2",
    "/v2/models",
    "/v2/models/plain",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/swagger.json",
    "/api",
    "/docs",
    "/redoc",
    "/assets/icon.svg",
)
PREDICT = "/v2/models/plain/predict"
NOT_THERE = (
    "/nothing",
    "/v2/models/plain/nothing",
    "/v3/",
    "/v2/models/plain/predict/more",
    "/v2/models/a%2Fb",
)


# With several slashes in a row, and where that leads; never to another host.
SEVERAL = {
    "//v2": "/v2",
    "///v2//models/plain///": "/v2/models/plain/",
    "/v2/models//?a=//": "/v2/models/?a=//",
    "//evil.example/": "/evil.example/",
    "//\\evil.example/": "/%5Cevil.example/",
    "/\\/evil.example//": "/%5C/evil.example/",
}


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(["plain"], visible=[packages["plain"]], folder=tmp_path_factory.mktemp("app")) as server:
        yield server


@pytest.fixture(scope="module")
def lab(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same under a prefix, given with a slash at its end."""
    folder = tmp_path_factory.mktemp("lab")
    with running(["plain", "--base-path", "/lab/x/"], visible=[packages["plain"]], folder=folder) as server:
        yield server


@pytest.fixture(scope="module")
def jobless(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same without trainings and background predictions."""
    folder = tmp_path_factory.mktemp("jobless")
    with running(["plain", "--no-train"], visible=[packages["plain"]], folder=folder) as server:
        yield server


@pytest.mark.parametrize("path", GET_ROUTES)
def test_every_page_answers_with_and_without_a_slash_at_its_end(server: Running, path: str) -> None:
    for form in (path, f"{path}/"):
        reply = server.get(form)
        assert reply.status == 200, form
        assert reply.body


@pytest.mark.parametrize("path", [PREDICT, f"{PREDICT}/"])
def test_a_post_is_answered_in_both_forms_without_a_redirect(server: Running, path: str) -> None:
    reply = server.request("POST", path, b'{"x": 1}', {"Content-Type": "application/json"})
    assert (reply.status, reply.json()) == (200, {"y": 2})


@pytest.mark.parametrize("path", ["/", *GET_ROUTES])
def test_head_answers_as_get_without_a_body(server: Running, path: str) -> None:
    got, head = server.get(path), server.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    if path != "/metrics":  # which the requests in between may have made longer
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize("path", ["/", *GET_ROUTES])
def test_a_page_refuses_other_methods_and_says_which_it_answers(server: Running, path: str) -> None:
    reply = server.request("POST", path, b"{}")
    assert (reply.status, reply.json()["code"]) == (405, "method_not_allowed")
    assert set(reply.headers["Allow"].split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_predict_refuses_other_methods_than_to_predict_and_to_list(server: Running, method: str) -> None:
    reply = server.request(method, f"{PREDICT}/")
    assert (reply.status, reply.json()["code"]) == (405, "method_not_allowed")
    assert set(reply.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_where_no_jobs_are_kept_predict_answers_to_post_alone(jobless: Running, method: str) -> None:
    reply = jobless.request(method, f"{PREDICT}/")
    assert reply.status == 405
    assert reply.headers["Allow"] == "POST"
    if method != "HEAD":
        assert reply.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", SEVERAL)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_several_slashes_lead_to_the_path_with_one(server: Running, path: str, method: str) -> None:
    reply = server.request(method, path)
    assert (reply.status, reply.headers["Location"]) == (308, SEVERAL[path])


def test_several_slashes_below_a_prefix(lab: Running) -> None:
    assert lab.get("//lab/x//v2/").headers["Location"] == "/lab/x/v2/"


@pytest.mark.parametrize("path", NOT_THERE)
def test_a_path_that_is_not_there_is_a_404_in_json(server: Running, path: str) -> None:
    reply = server.get(path)
    assert (reply.status, reply.json()["code"]) == (404, "not_found")
    assert set(reply.json()) == {"message", "code", "request_id"}


def test_no_path_leads_out_of_the_assets(server: Running) -> None:
    for path in ("/assets/../app.py", "/assets/%2e%2e/app.py", "/assets/..%2fapp.py", "/assets/", "/assets/nothing.js"):
        assert server.get(path).status == 404, path


@pytest.mark.parametrize("path", ["", *GET_ROUTES])
def test_under_a_base_path_every_page_is_below_it_in_both_forms(lab: Running, path: str) -> None:
    assert lab.get(f"/lab/x{path}").status == lab.get(f"/lab/x{path}/").status == 200


@pytest.mark.parametrize("path", ["/", "/lab", "/lab/", "/lab/xy/v2/", *GET_ROUTES])
def test_under_a_base_path_nothing_is_outside_it(lab: Running, path: str) -> None:
    reply = lab.get(path)
    assert (reply.status, reply.json()["code"]) == (404, "not_found")


def test_under_a_base_path_predict_answers(lab: Running) -> None:
    reply = lab.request("POST", f"/lab/x{PREDICT}?x=1")
    assert (reply.status, reply.json()) == (200, {"y": 2})
    assert lab.request("POST", f"{PREDICT}?x=1").status == 404


@pytest.mark.parametrize("path", ["/", "/v2/", "/v2/models/", "/v2/models/plain/"])
def test_under_a_base_path_every_link_leads_somewhere_below_it(lab: Running, path: str) -> None:
    links = re.findall(r'"href":"(/[^"]*)"', lab.get(f"/lab/x{path}").body.decode())
    assert links
    for link in links:
        assert link.startswith("/lab/x/")
        assert lab.get(link).status == 200, link


@pytest.mark.parametrize("path", ["/api", "/redoc"])
def test_under_a_base_path_every_address_in_a_page_is_below_it(lab: Running, path: str) -> None:
    addresses = re.findall(r'(?:href|src|data-spec-url)="([^"]+)"', lab.get(f"/lab/x{path}").body.decode())
    assert addresses
    for address in addresses:
        assert address.startswith("/lab/x/")
        assert lab.get(address).status == 200, address


def test_under_a_base_path_the_documents_name_it(lab: Running) -> None:
    assert lab.get("/lab/x/openapi.json").json()["servers"] == [{"url": "/lab/x"}]
    assert lab.get("/lab/x/swagger.json").json()["basePath"] == "/lab/x"


def test_under_a_base_path_redirects_stay_below_it(lab: Running) -> None:
    assert lab.get("/lab/x/ui").headers["Location"] == "/lab/x/api"
    assert lab.get("/lab/x/", Accept="text/html").headers["Location"] == "/lab/x/api"
