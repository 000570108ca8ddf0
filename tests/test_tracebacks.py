"""A mistake in a model is told by file, line and code, in its author's frames alone: L13."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelserve.errors import BadRequest
from modelserve.tracebacks import author_summary, author_traceback
from tests.cli.program import modelserve
from tests.running import TREE, eventually, running

OURS = str(TREE / "modelserve")

# The model's mistake, and where it shows: the line of the file, and the code in it.
MISTAKES = {
    "a syntax error": ("def predict(x)\n    return x\n", 1, "def predict(x)"),
    "a missing package": ("import missing_package\n", 1, "import missing_package"),
    "a name in a class body": ("class Model:\n    size = SIZE\n", 2, "size = SIZE"),
    "making it": ("class Model:\n    def __init__(self):\n        {}['k']\n    def predict(self): ...\n", 3, "{}['k']"),
    "get_metadata": ("def get_metadata():\n    1 / 0\ndef predict(): ...\n", 2, "1 / 0"),
    "get_predict_args": (
        "from modelserve.v2 import fields\ndef get_predict_args():\n    return {'x': fields.Flot()}\n"
        "def predict(x): ...\n",
        3,
        "return {'x': fields.Flot()}",
    ),
    "a keyword of a field": (
        "from modelserve.v2 import fields\ndef get_predict_args():\n    return {'x': fields.Int(load_defalt=1)}\n"
        "def predict(x): ...\n",
        3,
        "return {'x': fields.Int(load_defalt=1)}",
    ),
    "schema": (
        "from modelserve.v2 import fields\nschema = {'x': fields.Flot()}\ndef predict(): ...\n",
        2,
        "fields.Flot()",
    ),
    "get_train_args": ("def get_train_args():\n    int('a')\ndef train(): ...\n", 2, "int('a')"),
    "warm": ("def warm():\n    open('/missing')\ndef predict(): ...\n", 2, "open('/missing')"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_names_file_line_and_code(tmp_path: Path, mistake: str) -> None:
    source, line, code = MISTAKES[mistake]
    file = tmp_path / "model.py"
    file.write_text(source)
    done = modelserve("check", f"{file}:Model" if "class Model" in source else str(file), folder=tmp_path)
    assert done.status == 3
    told = " ".join(done.err.split())
    assert f"{file}, line {line}: " in told
    assert code in told
    assert OURS not in done.err
    assert "<frozen" not in done.err


MODEL = """
from modelserve.v2 import fields

def get_predict_args():
    return {"x": fields.Int(load_default=0)}

def predict(x):
    return 1 / x

def get_train_args():
    return {}

def train():
    raise ValueError("no data")
"""


def test_the_log_has_no_frame_of_ours_at_a_call_a_training_a_batch_and_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    home = {"XDG_RUNTIME_DIR": "", "TMPDIR": str(tmp_path / "tmp")}
    with running([str(file)], folder=tmp_path, env=home) as server:
        assert server.predict("model", {}).status == 500
        job = f"/v2/models/model/train/{server.request('POST', '/v2/models/model/train/').json()['uuid']}"
        eventually(lambda: server.request("GET", job).json()["status"] == "error", within_s=40)
        its_log = server.request("GET", f"{job}/log").body.decode()
        file.write_text(MODEL + "\ndef warm():\n    no_such_name\n")
        reloaded = modelserve("reload", folder=tmp_path, variables=home)
        status = json.loads(modelserve("status", "--json", folder=tmp_path, variables=home).out)
        log = server.log
    place = f"NameError: name 'no_such_name' is not defined ({file}, line 17: no_such_name)"
    assert reloaded.status == 1
    assert place in " ".join(reloaded.err.split())
    assert place in log
    assert place in json.dumps(status)
    assert f'File "{file}", line 8, in predict' in log
    assert f'File "{file}", line 14, in train' in log
    assert f'File "{file}", line 14, in train' in its_log
    assert OURS not in log
    assert OURS not in its_log
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"x": 0}\n')
    file.write_text(MODEL)
    done = modelserve("batch", str(file), "--input", str(rows), "--output", "out.jsonl", folder=tmp_path)
    assert OURS not in done.err + (tmp_path / "out.jsonl").read_text()


def test_a_cause_and_a_group_lose_our_frames_too() -> None:
    def raising() -> None:
        try:
            BadRequest.__init__(*[])
        except TypeError as error:
            raise ExceptionGroup("two", [ValueError("a"), KeyError("b")]) from error

    with pytest.raises(ExceptionGroup) as raised:
        raising()
    text = author_traceback(raised.value)
    assert "TypeError" in text
    assert "ValueError: a" in text
    assert OURS + "/" not in text
    assert author_summary(raised.value).startswith(f"ExceptionGroup: two (2 sub-exceptions) ({__file__}, line ")


def test_an_error_of_ours_without_a_frame_of_its_author_is_its_sentence_alone() -> None:
    assert author_traceback(BadRequest("No.")) == "modelserve.errors.BadRequest: No.\n"
    assert author_summary(BadRequest("No.")) == "modelserve.errors.BadRequest: No."
