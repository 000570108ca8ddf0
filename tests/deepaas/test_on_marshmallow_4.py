"""On marshmallow 4 a package for DEEPaaS cannot be loaded, and what is told says what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import modelserve
from tests.running import running

PLACES = {
    "module": "schema = {'a': fields.Str(description='A')}",
    "arguments": "def get_predict_args():\n    return {'a': fields.Field(type='file', location='form')}",
    "missing": "def get_predict_args():\n    return {'a': fields.Int(missing=1)}",
    "trainings": "def get_train_args():\n    return {'a': fields.List(fields.Str(), enum=['a'])}\ndef train(a): pass",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_check_says_what_to_install(place: str, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(f"from webargs import fields\n{PLACES[place]}\ndef predict(**a): return 1\n")
    done = modelserve("check", "old.py", folder=tmp_path)
    assert done.status == 3
    assert "pip install 'modelserve[deepaas]'" in done.err
    assert "Traceback" not in done.err


def test_another_mistake_is_told_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def predict(): pass\npredict(what=1)\n")
    done = modelserve("check", "bad.py", folder=tmp_path)
    assert done.status == 3
    assert "unexpected keyword argument 'what'" in done.err
    assert "modelserve[deepaas]" not in done.err


def test_a_server_with_such_a_package_says_it_in_its_log(old_packages: dict[str, Path], tmp_path: Path) -> None:
    visible = [old_packages["leaf_classifier"], old_packages["audio_tagger"]]
    with running(["leaf_classifier", "audio_tagger"], folder=tmp_path, visible=visible) as server:
        assert "pip install 'modelserve[deepaas]'" in server.log
        listed = {model["id"]: model["status"] for model in server.get("/v2/models/").json()["models"]}
        assert listed == {"leaf_classifier": "failed", "audio_tagger": "ready"}
