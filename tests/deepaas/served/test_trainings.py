"""Trainings as DEEPaaS's clients follow them (D6, D7, D8)."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.running import Running, eventually, multipart

TRAIN = "/v2/models/plant_pictures/train/"
FORMAT = "%Y-%m-%d %H:%M:%S.%f"


def begin(server: Running, **query: Any) -> dict[str, Any]:
    reply = server.request("POST", f"{TRAIN}?{urlencode(query)}")
    assert reply.status == 200, reply.body
    begun: dict[str, Any] = reply.json()
    return begun


def one(server: Running, uuid: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(TRAIN + uuid).json()
    return found


def followed(server: Running, uuid: str) -> dict[str, Any]:
    """Ask again while it runs, as clients of DEEPaaS do."""
    deadline = time.monotonic() + 60
    while (job := one(server, uuid))["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return job


def test_a_training_that_waits_is_running_for_a_client_that_loops(pictures: Running) -> None:
    """D7."""
    first, second = begin(pictures, wait=1), begin(pictures)
    assert {first["status"], second["status"]} == {"running"}
    assert {job["status"] for job in pictures.get(TRAIN).json() if job["uuid"] in (first["uuid"], second["uuid"])} == {
        "running"
    }
    assert [followed(pictures, job["uuid"])["status"] for job in (first, second)] == ["done", "done"]


def test_the_list_has_the_results(pictures: Running) -> None:
    """D6."""
    small, large = begin(pictures, epochs=2), begin(pictures, size=200_000)
    for job in (small, large):
        followed(pictures, job["uuid"])
    listed = {job["uuid"]: job for job in pictures.get(TRAIN).json()}
    assert listed[small["uuid"]] == one(pictures, small["uuid"])
    assert listed[small["uuid"]]["result"]["output"]["epochs"] == 2
    result = listed[large["uuid"]]["result"]
    assert result["output"] is None
    assert result["output_bytes"] > 200_000


def test_dates_and_duration_are_read_as_deepaas_writes_them(pictures: Running) -> None:
    """D8."""
    before = datetime.now() - timedelta(seconds=5)
    begun = begin(pictures, wait=0.1)
    assert set(begun) == {"uuid", "date", "status", "args"}
    date = datetime.strptime(begun["date"], FORMAT)
    assert before < date < datetime.now() + timedelta(seconds=5)
    result = followed(pictures, begun["uuid"])["result"]
    assert set(result) == {"output", "finish_date", "duration"}
    assert str(datetime.strptime(result["finish_date"], FORMAT) - date) == result["duration"]
    assert result["output"]["loss"] is None, "NaN, which JSON cannot say"


def test_a_training_that_fails_or_is_cancelled_says_so(pictures: Running) -> None:
    failed = followed(pictures, begin(pictures, epochs=13)["uuid"])
    assert (failed["status"], "result" in failed) == ("error", False)
    assert failed["message"]
    begun = begin(pictures, wait=60)
    reply = pictures.request("DELETE", TRAIN + begun["uuid"])
    assert (reply.status, datetime.strptime(reply.json()["date"], FORMAT)) == (
        200,
        datetime.strptime(begun["date"], FORMAT),
    )
    eventually(lambda: one(pictures, begun["uuid"])["status"] == "cancelled")


def test_a_file_is_told_by_its_name(pictures: Running) -> None:
    body, kind = multipart({}, {"data": ("leaves.csv", b"1", "text/csv")})
    begun = pictures.request("POST", TRAIN, body, {"Content-Type": kind}).json()
    assert begun["args"]["data"] == "leaves.csv"
    assert followed(pictures, begun["uuid"])["status"] == "done"


def test_the_root_leads_to_the_document_that_deepaas_clients_read(pictures: Running) -> None:
    """D8."""
    links = {link["rel"]: link["href"] for link in pictures.get("/").json()["links"]}
    assert links == {"help": "/api", "describedby": "/swagger.json"}
    assert pictures.get(links["describedby"]).json()["swagger"] == "2.0"


@pytest.mark.parametrize("path", ["/v2/models/plant_pictures/", "///v2/models/plant_pictures/"])
def test_metadata_is_shown_as_it_is_given(pictures: Running, path: str) -> None:
    """D8."""
    reply = pictures.get(path)
    if reply.status == 308:
        reply = pictures.get(reply.headers["Location"])
    shown = reply.json()
    assert (shown["author"], shown["version"]) == (["A. Botanist", "B. Gardener"], 2)
    assert (shown["name"], shown["summary"], shown["license"]) == ("Plant pictures", "Draws plants", "")


def test_nan_is_refused_as_the_page_says(pictures: Running) -> None:
    """D8."""
    reply = pictures.request(
        "POST", "/v2/models/plant_pictures/predict/?what=nan", headers={"Accept": "application/json"}
    )
    assert (reply.status, reply.json()["code"]) == (500, "bad_answer")
