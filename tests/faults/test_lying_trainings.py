"""Trainings whose workers say what no training says: each job has an end that can be read, and the server none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.aftermath import MIB, aftermath
from tests.faults.told import counted
from tests.faults.trainings import ENDED, becomes
from tests.running import running

MODEL = r"""
import os, struct, threading, time
from modelserve.frames import encode
from modelserve.messages import (
    Answer, Answers, Checked, Description, Failure, FileAnswer, Metadata, Part, Ready, TrainingDone,
    TrainingFailed, TrainingProgress, encode_training_event,
)
from modelserve.v2 import fields

with open("/proc/self/cmdline") as file:
    CHANNEL = int(next(word for word in file.read().split("\0") if word.count(",") == 2).split(",")[0])

def get_metadata():
    return {"name": "liar", "description": "Writes to the channel itself."}

def get_predict_args():
    return {"mode": fields.Str(load_default="ok")}

get_train_args = get_predict_args

def predict(mode):
    return mode

def said(*messages):
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))

def told(event, id=1, failure=None, **more):
    data = event if type(event) is bytes else encode_training_event(event)
    return said(Part(id, data, failure=failure, **more))

def report(text):
    return told(b'{"event":"progress",' + text + b"}")

DONE = told(TrainingDone(False, b"1"), last=True)
NUMBERS = b",".join(b'"%d":1' % number for number in range(70_000))
MODES = {
    "garbage": bytes(range(256)) * 40,
    "bodies": struct.pack("!IIII", 100, 2, 0, 0xFFFFFFF0),
    "ready": said(Ready(Description(Metadata("h", "h", "h")))),
    "checked": said(Checked(Answer(1))),
    "no_answer": said(Answers([])),
    "answer_of_another": said(Answers([Answer(2, failure=Failure(500, "x", "Another."))])),
    "answer_of_a_file": said(Answers([Answer(1, file=FileAnswer("/dev/null", 5, True))])),
    "answers": said(Answers([])) * 300_000,
    "end_of_another": told(TrainingDone(False, b"1"), id=2, last=True),
    "report_of_10_MB": report(b'"metrics":{"' + b"x" * 10_000_000 + b'":1}'),
    "nan": report(b'"metrics":{"a":NaN}'),
    "progress_of_inf": report(b'"progress":1e999'),
    "reports": report(b'"metrics":{' + NUMBERS + b"}") * 100,
    "large_failure": told(TrainingFailed(False), last=True, failure=Failure(500, "x", "m" * 9_000_000, log="l" * 9000)),
    "twice_the_end": DONE * 2,
    "no_json": told(TrainingDone(False, b"\xff{"), last=True),
    "long_numbers": report(b'"metrics":{"a":' + b"9" * 400 + b'},"step":' + b"9" * 30),
}

def train(mode):
    if mode != "ok":
        data = memoryview(MODES[mode])
        while data:
            data = data[os.write(CHANNEL, data):]
        threading.Event().wait(30 if mode != "long_numbers" else 0)  # until it is ended
    return {"returned": mode}
"""

MODES = [line.split('"')[1] for line in MODEL.splitlines() if line.startswith('    "') and '": ' in line]

# These have an end of their own; all others end with an error.
DONE = ("twice_the_end", "no_json", "long_numbers")

PATH = "/v2/models/liar/train/"
JSON = {"Content-Type": "application/json"}

# The server may take a frame's largest head for each that runs, and what it has anyway.
MORE_BYTES = 90 * MIB


@pytest.mark.timeout(240)
def test_whatever_a_training_says_its_job_has_an_end_that_can_be_read(tmp_path: Path) -> None:
    """X7, Y29: and neither the server nor who predicts meanwhile takes harm."""
    (tmp_path / "liar.py").write_text(MODEL)
    arguments = [str(tmp_path / "liar.py"), "--train-workers", "4"]
    with running(arguments, folder=tmp_path) as server, aftermath(server, "liar", jobs=True, more_bytes=MORE_BYTES):
        uuids = {}
        for mode in MODES:
            reply = server.request("POST", PATH, b'{"mode":"%s"}' % mode.encode(), JSON)
            uuids[mode] = reply.json()["uuid"]
        for mode, uuid in uuids.items():
            ended = becomes(server, uuid, *ENDED, path=PATH)
            assert (mode, ended["status"]) == (mode, "done" if mode in DONE else "error")
            job = server.get(f"{PATH}{uuid}")
            assert len(job.body) < 40_000
            assert server.get(f"{PATH}{uuid}/metrics").status == server.get(f"{PATH}{uuid}/events").status == 200
            assert server.predict("liar", {}).status == 200
        assert server.get(PATH).status == 200
        assert server.get(f"{PATH}{uuids['long_numbers']}").json()["metrics"] == {"a": int("9" * 400)}
        assert counted(server, "modelserve_part_failures_total") == 0
    assert "Traceback" not in server.log
