"""Jobs with values that not every reader of JSON keeps, in arguments, metrics and results

None is lost, and none is in the way of what else there is.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.trainings import BEGIN_S, ENDED
from tests.running import Reply, Running, eventually, running
from tests.web.receiver import SECRET, Message, Receiver, receiving

pytestmark = pytest.mark.timeout(240)

# It returns what it is given as text, and counts in its metrics what it has seen.
MODEL = """
import datetime, json
from modelserve.v2 import fields, progress

class Odd:
    def __init__(self, value): self.value = value

class OddField(fields.Raw):
    def _deserialize(self, value, attr, data, **kwargs): return Odd(value)

class Echo:
    def get_metadata(self): return {"id": "echo", "name": "Echo", "description": "Returns what it is told."}
    def get_predict_args(self):
        return {"text": fields.Str(load_default='"ok"'), "seed": fields.Raw(load_default=None), "odd": OddField(),
                "mode": fields.Str(load_default=""),
                "now": fields.DateTime(load_default=lambda: datetime.datetime.now())}
    get_train_args = get_predict_args
    def predict(self, text, **others):
        return text.encode() if text.startswith("raw ") else json.loads(text)
    def train(self, text, seed, **others):
        if isinstance(seed, int): progress.log(seen=seed)
        return {"params": json.loads(text), "seed": seed}

echo = Echo()
"""

LONE = json.dumps({"text": '"\\ud800"'}).encode()

ASYNC = {"Prefer": "respond-async"}
TRAIN, PREDICT = "/v2/models/echo/train/", "/v2/models/echo/predict/"
BOTH = pytest.mark.parametrize("path", [TRAIN, PREDICT])


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Running]:
    """Yield one server for all tests; what must hold after a fault does after them."""
    folder = tmp_path_factory.mktemp("echo")
    (folder / "echo.py").write_text(MODEL)
    host = urllib.parse.urlsplit(receiver.url).netloc
    arguments = ["echo:echo", "--train-workers", "2", "--callback-hosts", host]
    with (
        running(arguments, folder=folder, visible=[folder], env={"MODELSERVE_CALLBACK_SECRET": SECRET}) as found,
        aftermath(found, "echo", jobs=True),
    ):
        yield found


def submit(server: Running, path: str, body: str | dict[str, Any], **headers: str) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return server.request("POST", path, text.encode(), {"Content-Type": "application/json", **ASYNC, **headers})


def ended(server: Running, path: str, body: str | dict[str, Any], query: str = "") -> dict[str, Any]:
    """Run a job to its end and return it."""
    reply = submit(server, path + query, body)
    assert reply.status in (200, 202), reply.body
    one = f"{path}{reply.json()['uuid']}"
    eventually(lambda: server.get(one).json()["status"] in ENDED, within_s=BEGIN_S)
    found: dict[str, Any] = server.get(one).json()
    return found


def told_of(receiver: Receiver, uuid: str) -> Message | None:
    """Return the callback of a job, once it has come."""
    return next((each for each in receiver.messages if uuid.encode() in each.body), None)


def said(seed: str, odd: str = "1") -> str:
    """Return a body with numbers as they are written here."""
    return f'{{"seed": {seed}, "odd": {odd}}}'


def events(server: Running, path: str, uuid: str) -> list[dict[str, Any]]:
    lines = server.get(f"{path}{uuid}/events").body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


@BOTH
def test_a_result_is_kept_and_told_exactly_whatever_its_numbers(server: Running, receiver: Receiver, path: str) -> None:
    """X2: in the job's object, its events, its callback and as the result by itself."""
    for value in (2**70, [-(10**400), 2**53 + 1, -0.0, 1e308, 1.0], {"deep": {"n": 2**64}}):
        expected = {"params": value, "seed": 2**70 + 1} if path == TRAIN else {"status": "OK", "predictions": value}
        query = "?" + urllib.parse.urlencode({"callback_url": receiver.url})
        job = ended(server, path, {"text": json.dumps(value), "seed": 2**70 + 1}, query)
        assert (job["status"], repr(job["result"]["output"]), job["args"]["seed"]) == (
            "done",
            repr(expected),
            2**70 + 1,
        )
        assert repr(server.get(f"{path}{job['uuid']}/result").json()) == repr(expected)
        told = events(server, path, job["uuid"])
        assert told[-1] == job
        if path == TRAIN:
            assert {"metrics": {"seen": 2**70 + 1}} in told
            (point,) = server.get(f"{path}{job['uuid']}/metrics").json()
            assert point["metrics"] == {"seen": 2**70 + 1}
        message = eventually(partial(told_of, receiver, job["uuid"]))
        assert message
        assert message.verified() == job


@BOTH
def test_a_result_with_a_lone_surrogate_ends_as_in_the_foreground(server: Running, path: str) -> None:
    """X3."""
    job = ended(server, path, json.loads(LONE))
    output = job["result"]["output"]
    assert (job["status"], output["params" if path == TRAIN else "predictions"]) == ("done", "\ud800")
    assert server.get(f"{path}{job['uuid']}/result").json() == output
    assert server.get(path).json()[0]["uuid"] == job["uuid"]
    if path == PREDICT:
        now = server.request("POST", path, LONE, {"Content-Type": "application/json"})
        assert now.json() == output


@pytest.mark.parametrize("text", ["raw \x00", "raw " + "9" * 5000, "raw " + "[" * 20_000])
def test_an_answer_of_bytes_is_the_result_whatever_it_holds(server: Running, text: str) -> None:
    """X2."""
    job = ended(server, PREDICT, {"text": text})
    assert (job["status"], job["result"]["output"]) == ("done", None)
    assert server.get(f"{PREDICT}{job['uuid']}/result").body == text.encode()


@BOTH
def test_an_integer_of_any_size_is_an_argument_or_refused(server: Running, path: str) -> None:
    """X11."""
    number = 10**399 + 7
    job = ended(server, path, {"seed": number})
    assert (job["status"], job["args"]["seed"]) == ("done", number)
    assert submit(server, path, said("1" * 4301)).status == 400
    assert submit(server, path, said("1e400")).status == 400


@BOTH
def test_a_repeated_key_is_a_conflict_where_what_was_sent_differs_in_value(server: Running, path: str) -> None:
    """X12, Y7."""
    key = {"Idempotency-Key": f"values of {path}"}
    first = submit(server, path, said("1180591620717411303424"), **key).json()["uuid"]
    different = ("1180591620717411303425", "1180591620717411303424.0", "true", "null", '"1180591620717411303424"')
    for seed in different:
        assert submit(server, path, said(seed), **key).status == 409, seed
    assert submit(server, path, said("1180591620717411303424", odd="2"), **key).status == 409
    assert submit(server, path, '{ "odd":1,\n"seed":1180591620717411303424 }', **key).json()["uuid"] == first
    assert submit(server, f"{path}?text=1", said("1180591620717411303424"), **key).status == 409


@BOTH
def test_numbers_of_one_value_are_one_and_others_are_not(server: Running, path: str) -> None:
    """X12."""
    for sent, same, other in (
        ("0.1", "0.10000000000000001", "0.1000000000000001"),
        ("0.0", "0e5", "-0.0"),
        ("1", "1 ", "1.0"),
    ):
        key = {"Idempotency-Key": f"{sent} {path}"}
        first = submit(server, path, said(sent), **key).json()["uuid"]
        assert submit(server, path, said(same), **key).json()["uuid"] == first
        assert submit(server, path, said(other), **key).status == 409


@BOTH
def test_an_honest_repetition_is_the_first_job_though_a_default_is_the_time(server: Running, path: str) -> None:
    """Y7."""
    key = {"Idempotency-Key": f"now {path}"}
    first = submit(server, path, {}, **key).json()
    assert first["args"]["now"]
    assert submit(server, path, {}, **key).json()["uuid"] == first["uuid"]
