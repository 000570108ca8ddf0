"""The limits that bodies meet by their kind: text of forms, bodies of no told length, and uploads while calls wait."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.faults.told import counted
from tests.running import Reply, Running, eventually, multipart, running

MODEL = """
import time
from modelserve.v2 import BaseModel, fields

class Waits(BaseModel):
    def get_metadata(self):
        return {"name": "Waits", "description": "Waits."}

    def get_predict_args(self):
        return {"text": fields.Str(load_default=""), "wait": fields.Float(load_default=0), "file": fields.File()}

    def predict(self, text, wait, file=None):
        if wait:
            open(text, "w").close()
            time.sleep(wait)
        return len(text) + (file.size if file else 0)
"""

TABLES = """
max_queue_bytes = 1000
workers = 1

[deployments.small]
model = "limited_model:Waits"
max_body_bytes = 1000

[deployments.large]
model = "limited_model:Waits"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "limited_model.py").write_text(MODEL)
    (folder / "modelserve.toml").write_text(TABLES)
    with running([], folder=folder, visible=[folder]) as server:
        yield server


def send_form(server: Running, model: str, fields: Mapping[str, str], size: int = 0) -> tuple[int, int]:
    """Return the status and what the model answered, -1 for nothing."""
    body, kind = multipart(fields, {"file": ("f.bin", b"x" * size, "application/octet-stream")} if size else {})
    reply = server.request("POST", f"/v2/models/{model}/predict/", body, {"Content-Type": kind})
    return reply.status, reply.json().get("predictions", -1)


def test_text_fields_of_a_form_are_bounded_as_a_body_is(server: Running) -> None:
    assert send_form(server, "small", {"text": "x" * 900}) == (200, 900)
    assert send_form(server, "small", {"text": "x" * 1001}) == (413, -1)
    assert send_form(server, "small", {"text": "x" * 600, "more": "x" * 600}) == (413, -1)
    assert send_form(server, "large", {"text": "x" * 1001}) == (200, 1001)
    assert send_form(server, "small", {"text": "x" * 900}, size=5000) == (200, 5900)


def test_a_body_of_no_told_length_is_bounded_by_its_own_deployment(server: Running) -> None:
    def send(model: str, size: int) -> int:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = json.dumps({"text": "x" * size}).encode()
        chunks = (body[start : start + 100] for start in range(0, len(body), 100))
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        connection.request("POST", f"/v2/models/{model}/predict/", chunks, headers, encode_chunked=True)
        status = connection.getresponse().status
        connection.close()
        return status

    assert [send("small", 500), send("small", 1500), send("large", 1500)] == [200, 413, 200]


def test_an_upload_larger_than_what_may_wait_is_taken_while_a_call_waits(server: Running, tmp_path: Path) -> None:
    """F06: its bytes lie on the disk."""
    first = server.predict_soon("large", {"wait": 3.0, "text": str(tmp_path / "begun")})
    eventually((tmp_path / "begun").exists)
    more: list[Future[Reply]] = []

    def one_waits() -> bool:  # the first few go to the worker ahead
        more.append(server.predict_soon("large", {"text": "x" * 400}))
        return counted(server, "modelserve_queue_bytes", deployment="large") > 0

    eventually(one_waits)
    assert server.predict("large", {"text": "x" * 900}).status == 503, "no more bytes may wait"
    assert send_form(server, "large", {"text": "x"}, size=100_000) == (200, 100_001)
    assert first.result().status == 200
    assert {reply.result().status for reply in more} <= {200, 503}
