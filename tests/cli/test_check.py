"""``modelserve check`` shows what a model is, or says in plain words why it cannot be one."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests.cli.program import modelserve

TOY = Path(__file__).with_name("toy.py")


def test_a_model_that_can_serve_is_shown_whole(tmp_path: Path) -> None:
    done = modelserve("check", f"{TOY}:Toy", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["version", "1.5"] in lines
    assert ["description", "Says", "what", "it", "[was]", "given."] in lines
    assert ["provides", "get_metadata,", "get_predict_args,", "predict"] in lines
    assert ["answers", "application/json,", "image/png"] in lines
    assert ["batches", "no"] in lines
    assert ["top_k", "integer", "yes", "query,", "form,", "JSON", "How", "many."] in lines
    assert ["tags", "list", "of", "string", "['none']", "no", "query,", "form,", "JSON"] in lines
    assert ["text_file", "file", "no", "form"] in lines
    assert ["where", "string", "no", "query"] in lines
    assert "toy is loaded and warm" in done.out
    assert "\x1b" not in done.out


def test_a_nested_schema_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "nesting.py").write_text("""
from modelserve.v2 import fields
Person = {"name": fields.Str()}
def get_predict_args():
    return {"who": fields.Nested(Person), "them": fields.List(fields.Nested(Person)), "any": fields.Raw()}
def predict(**arguments):
    return 1
""")
    lines = [line.split() for line in modelserve("check", "nesting.py", folder=tmp_path).out.splitlines()]
    for words in ("who object", "them list of object", "any any"):
        assert any(line[: len(words.split())] == words.split() for line in lines), words


@pytest.mark.parametrize(
    ("model", "stage", "why", "advice"),
    [
        ("NoWeights", "warm", "FileNotFoundError: no weights at /w", "warm() raised"),
        ("NoName", "describe", "name", ""),
        ("Dies", "load", "7", ""),
    ],
)
def test_a_model_that_cannot_start_is_told_by_stage_reason_and_advice(
    tmp_path: Path, model: str, stage: str, why: str, advice: str
) -> None:
    done = modelserve("check", f"{TOY}:{model}", folder=tmp_path)
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"{model.lower()} could not be started: it failed to {stage}.\n")
    assert why in done.err
    assert advice in done.err
    assert "\x1b" not in done.err


def test_a_name_that_is_not_in_the_file_is_one_sentence_without_a_traceback(tmp_path: Path) -> None:
    done = modelserve("check", f"{TOY}:Toyy", folder=tmp_path)
    assert done.status == 3
    assert done.err.splitlines()[1].endswith("toy.py has no attribute 'Toyy'; did you mean Toy?")
    assert "Traceback" not in done.err
    done = modelserve("check", str(TOY), folder=tmp_path)
    assert "toy.py has no predict of its own; name a class in it, such as" in done.err


def test_the_log_is_shown_to_those_who_ask_for_it(tmp_path: Path) -> None:
    done = modelserve("check", f"{TOY}:NoWeights", "--log-level", "error", folder=tmp_path)
    assert " ERROR modelserve.runtime." in done.err


def test_weights_that_run_code_when_they_are_loaded_are_warned_of(tmp_path: Path) -> None:
    """M09."""
    (tmp_path / "toy.py").write_text(TOY.read_text())
    for name in ("net.pt", "old.PKL", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    done = modelserve("check", f"{tmp_path / 'toy.py'}:Toy", folder=tmp_path)
    assert done.status == 0
    assert done.err.startswith("Warning: net.pt, old.PKL: loading a pickle runs the code in it.")
    assert "notes" not in done.err


def test_a_package_is_looked_at_without_being_imported(tmp_path: Path) -> None:
    """M09."""
    package = tmp_path / "site" / "heavy"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text(TOY.read_text())
    (package / "weights" / "net.joblib").write_bytes(b"")
    done = modelserve("check", "heavy.model:Toy", folder=tmp_path)
    assert (done.status, done.err.partition(":")[2][:20]) == (0, " weights/net.joblib:")


MODEL = """
from modelserve.v2 import fields

def get_predict_args():
    return {"x": fields.Int(required=True, validate=lambda x: x > 0)}

def predict(%s):
    return 1
"""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (MODEL % "y", "predict takes y, but get_predict_args declares x: no call could run."),
        ("def predict(x):\n    return x\n", "predict needs x, and there is no get_predict_args that declares it."),
        ("x = 1\n", "is no model: it has neither predict, predict_batch nor train; write them as functions"),
        ("class Model:\n    def run(self): pass\n", "is no model"),
    ],
)
def test_what_no_call_could_run_is_one_sentence(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "n.py").write_text(source)
    done = modelserve("check", "n.py", folder=tmp_path)
    assert (done.status, done.out) == (3, "")
    assert words in " ".join(done.err.split())
    assert "Traceback" not in done.err


@pytest.mark.skipif(importlib.metadata.version("marshmallow").startswith("3."), reason="it heeds what they return")
def test_what_is_warned_of_is_shown_too(tmp_path: Path) -> None:
    (tmp_path / "n.py").write_text(MODEL % "x")
    done = modelserve("check", "n.py", folder=tmp_path)
    assert done.status == 0
    assert "the validator of the argument of predict x returns whether a value is valid" in done.err
