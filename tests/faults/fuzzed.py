"""A model with an argument of every kind, for tests that send what is nearly right; and requests that are right.

with running([MODEL], folder=folder) as server:
    for request in good_requests(server): ...
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from modelserve.v2 import fields, progress
from tests.running import Running, eventually, multipart

__all__ = ["MODEL", "Fuzzed", "Good", "good_requests"]

MODEL = f"{__file__}:Fuzzed"

_BASE = "/v2/models/fuzzed"
_JSON = {"Content-Type": "application/json"}

_KINDS = ("application/json", "application/x-npy", "text/csv")


class Fuzzed:
    """Answers with what it was given, and trains in a moment."""

    def get_metadata(self) -> dict[str, str]:
        """Return what is required."""
        return {"name": "Fuzzed", "description": "Takes everything."}

    def get_predict_args(self) -> dict[str, Any]:
        """Return an argument of each kind, none of them required."""
        return {
            "mode": fields.Str(load_default="ok"),
            "x": fields.Int(load_default=0),
            "y": fields.Float(load_default=0.0),
            "when": fields.DateTime(load_default=None, allow_none=True),
            "words": fields.List(fields.Str(), load_default=[]),
            "data": fields.Raw(load_default=None, allow_none=True),
            "array": fields.NDArray(load_default=None, allow_none=True),
            "file": fields.File(load_default=None),
            "trace": fields.Str(load_default="", data_key="X-Trace", metadata={"location": "headers"}),
        }

    def predict(self, **arguments: Any) -> Any:
        """Return what came, with the sizes of what is large."""
        array, file = arguments.pop("array"), arguments.pop("file")
        return {
            **arguments,
            "array": None if array is None else list(array.shape),
            "file": None if file is None else [file.original_filename, len(file.read_bytes())],
        }

    def get_train_args(self) -> dict[str, Any]:
        """Return a few."""
        return {
            "epochs": fields.Int(required=True),
            "data": fields.Raw(load_default=None, allow_none=True),
            "file": fields.File(load_default=None),
        }

    def train(self, epochs: int, data: Any, file: Any) -> Any:
        """Leave something to be read of everything that a training can leave."""
        print("trained")  # noqa: T201
        progress.log(step=1, loss=0.5)
        (progress.artifacts / "weights.txt").write_text("weights")
        return {"epochs": epochs, "data": data}


class Good(NamedTuple):
    """A request that is right, and the status of its response."""

    data: bytes
    status: int


def good_requests(server: Running) -> list[Good]:
    """Return a request for each door of a server with this model; the last thing that each asks for is to be closed."""
    npy = io.BytesIO()
    np.save(npy, np.arange(6, dtype="float32").reshape(2, 3))
    form, kind = multipart({"mode": "ok", "x": "3"}, {"file": ("a.bin", b"\x00\xff\r\n--a\r\n" * 3, "image/png")})
    upload, _ = multipart({}, {"array": ("a.npy", npy.getvalue(), "application/x-npy")})
    predict, train = f"{_BASE}/predict/", f"{_BASE}/train/"
    values = {"mode": "ok", "x": 1, "y": 0.5, "words": ["a", "\u00e9"], "data": {"k": [None, True]}, "array": [[1, 2]]}
    posted = [
        (predict, json.dumps(values).encode(), _JSON),
        (predict, b"{}", _JSON | {"X-Trace": "t", "Accept": "text/html;q=0.1, application/json", "X-Timeout-S": "9"}),
        (f"{predict}?x=3&mode=%C3%A9&words=a&words=b", b"", {}),
        (predict, b"mode=ok&x=4&words=a&words=%C3%A9", {"Content-Type": "application/x-www-form-urlencoded"}),
        (predict, form, {"Content-Type": kind}),
        (predict, upload, {"Content-Type": kind}),
    ]
    found = [Good(_request("POST", path, headers, body), 200) for path, body, headers in posted]
    found.append(Good(_chunked(predict, [b'{"x"', b": 5", b"}"]), 200))
    # What is refused, so that no job is made each time; those that are taken have tests of their own.
    found.append(Good(_request("POST", train, _JSON, b'{"epochs": "many", "data": 1}'), 422))
    found.append(Good(_request("POST", predict, _JSON | {"Prefer": "respond-async"}, b'{"x": "much"}'), 422))
    found += [Good(_request("GET", path, {}, b""), 200) for path in _readable(server)]
    found.append(Good(_request("DELETE", f"{train}{'0' * 32}", {}, b""), 404))
    found.append(Good(_request("OPTIONS", predict, {"Origin": "https://example.org"}, b""), 405))
    found.append(Good(_request("GET", "/nosuch", {}, b""), 404))
    return found


def _readable(server: Running) -> list[str]:
    """Return what can be read of a server, of a training and of a background prediction on it that have ended."""
    paths = ["/", "/v2/", "/v2/models/", f"{_BASE}/", "/healthz", "/readyz", "/metrics", "/openapi.json"]
    paths += [
        "/swagger.json",
        "/api",
        "/assets/page.css",
        f"{_BASE}/log?tail=2",
        f"{_BASE}/train/",
        f"{_BASE}/predict/",
    ]
    for operation, body, headers in (
        ("train", b'{"epochs": 1}', _JSON),
        ("predict", b'{"x": 1}', _JSON | {"Prefer": "respond-async"}),
    ):
        job = server.request("POST", f"{_BASE}/{operation}/", body, headers).json()
        one = f"{_BASE}/{operation}/{job['uuid']}"
        eventually(functools.partial(_is_done, server, one), within_s=40)
        paths += [one, f"{one}/events", f"{one}/metrics", f"{one}/artifacts"]
        paths += [f"{one}/log", f"{one}/artifacts/weights.txt"] if operation == "train" else [f"{one}/result"]
    return paths


def _is_done(server: Running, path: str) -> bool:
    return bool(server.get(path).json()["status"] == "done")


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lengths = {"Content-Length": str(len(body))} if method == "POST" else {}
    given = {"Host": "localhost", **headers, **lengths, "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _chunked(path: str, chunks: list[bytes]) -> bytes:
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    head = _request("POST", path, _JSON | {"Transfer-Encoding": "chunked"}, b"").replace(b"Content-Length: 0\r\n", b"")
    return head + coded
