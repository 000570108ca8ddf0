"""Values of every type, as clients get them: in an answer, as a job's output, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import modelserve
from tests.running import Running, eventually, running
from tests.v2.values import NULLED, REFUSED, SENT
from tests.web.v2 import valued
from tests.web.v2.asking import ended, post, show

ROOT = "/v2/models/valued"
ALL = f"[{','.join(text for _, text in SENT.values())}]".encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """No value costs a worker: orjson ends the process over some of numpy's times."""
    with running([str(valued.__file__)], folder=tmp_path_factory.mktemp("values")) as server:
        yield server
        assert server.log.count("worker is warm") == 1


def test_all_of_them_at_once_are_sent_as_each_alone(server: Running) -> None:
    body = server.predict("valued", {"names": [*SENT]}).body
    assert body == b'{"status":"OK","predictions":%b}' % ALL
    for name in ("set", "deque", "range", "complex", "datetime64[D]", "numpy float32", "a quarter of an hour"):
        alone = server.predict("valued", {"names": [name]})
        assert alone.body == b'{"status":"OK","predictions":%b}' % SENT[name][1].encode(), name


@pytest.mark.parametrize(
    "name", ["NaT in [D]", "NaT[ns]", "nan", "masked ints", "generator", "bytes", "key of a tuple"]
)
def test_what_json_cannot_say_is_refused_and_the_log_says_why(server: Running, name: str) -> None:
    """V1, V2."""
    reply = server.predict("valued", {"names": [name]})
    assert (reply.status, reply.json()["code"]) == (500, "bad_answer")
    why = "which JSON cannot say" if name in NULLED else REFUSED[name][1]
    eventually(lambda: why in server.log)


def test_a_background_prediction_and_a_training_have_the_same_text(server: Running) -> None:
    reply = post(server, f"{ROOT}/predict/", {"names": [*SENT]}, Prefer="respond-async")
    assert reply.status == 202
    path = reply.headers["Location"]
    assert ended(server, path)["status"] == "done"
    assert ALL in server.get(f"{path.rstrip('/')}/result").body
    path = f"{ROOT}/train/{post(server, f'{ROOT}/train/', {'names': [*SENT]}).json()['uuid']}"
    assert ended(server, path)["status"] == "done"
    assert json.loads(ALL) == show(server, path)["result"]["output"]


def test_a_training_is_done_whatever_it_returns(server: Running) -> None:
    """V13."""
    names = [*NULLED, *REFUSED]
    path = f"{ROOT}/train/{post(server, f'{ROOT}/train/', {'names': names}).json()['uuid']}"
    job = ended(server, path)
    assert job["status"] == "done"
    output = job["result"]["output"]
    assert len(output) == len(names)
    assert output[: len(NULLED)] == [json.loads(text) for _, text in NULLED.values()]
    log = server.get(f"{path}/log").body.decode()
    assert "what train returned is kept by its text where JSON cannot say it" in log


def test_a_batch_writes_the_same(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"names": [*SENT]}) + "\n" + json.dumps({"names": ["NaT"]}) + "\n")
    flags = ["--input", "in.jsonl", "--output", "out.jsonl"]
    modelserve("batch", str(valued.__file__), *flags, folder=tmp_path)
    one, two = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert ALL in one
    assert json.loads(two)["error"]["code"] == "bad_answer"
