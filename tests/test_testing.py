"""What model authors use for their tests, used in real runs of pytest: on a good model, and on bad ones."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from modelserve.testing import ServedModel
from modelserve.v2 import fields

MODELS = '''
from pathlib import Path
from modelserve.testing import ContractCheck, served_model
from modelserve.v2 import fields

class Good:
    """Adds one."""
    def get_predict_args(self):
        return {
            "x": fields.Int(required=True, metadata={"description": "A whole number."}),
            "file": fields.File(load_default=None, metadata={"description": "A file."}),
        }
    def predict(self, x, file):
        return {"y": x + 1, "type": file and file.content_type}
'''

GOOD = """
class TestGood(ContractCheck):
    model = Good
    good_calls = [{"x": 1}, {"x": 2, "file": Path(__file__)}]

async def test_the_fixture_serves_and_takes_settings(served_model):
    served = await served_model(Good, max_body_bytes=100)
    reply = await served.predict({"x": 1})
    assert reply.json() == {"status": "OK", "predictions": {"y": 2, "type": None}}
    assert "predict" in served.description.implements
    assert (await served.request("POST", "/v2/models/good/predict/", data=b"x" * 101)).status == 413
    other = await served_model(Good)
    assert other.url != served.url
"""

BAD = """
class Undescribed(Good):
    def get_predict_args(self):
        return Good.get_predict_args(self) | {"x": fields.Int(required=True)}

class TestUndescribed(ContractCheck):
    model = Undescribed

class TestWrongCalls(ContractCheck):
    model = Good
    good_calls = [{"x": 1}, {"x": "one"}]

class Mute:
    def warm(self):
        pass

class TestMute(ContractCheck):
    model = Mute

from marshmallow import INCLUDE, Schema, ValidationError, pre_load

class Lax(Schema):
    class Meta:
        unknown = INCLUDE
    x = fields.Int(required=True, metadata={"description": "A whole number."})

    @pre_load
    def refuse(self, data, **options):
        if not data:
            raise ValidationError("Nothing was given.", "everything")
        return data | {"x": 1}

class TestLax(ContractCheck):
    model = type("LaxModel", (), {"get_predict_args": lambda self: Lax, "predict": lambda self, **given: 1})

class Unloadable:
    def __init__(self):
        raise RuntimeError("no weights here")

class TestUnloadable(ContractCheck):
    model = Unloadable
"""


def pytest_run(source: str, folder: Path, *options: str) -> str:
    """Run a file of tests as an author would; return the output."""
    (folder / "test_model.py").write_text(MODELS + source)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=short", "-c", "/dev/null"]
    settings = ["--rootdir", str(folder), "-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        [*command, *settings, *options, "test_model.py"], capture_output=True, text=True, check=False, cwd=folder
    )
    return done.stdout + done.stderr


def outcomes(output: str, outcome: str) -> set[str]:
    found = (line.split(" - ")[0] for line in output.splitlines() if line.startswith(f"{outcome} test_"))
    return {line.partition("::")[2] for line in found}


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_good_model_passes_every_check_in_both_modes_of_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    source = GOOD if mode == "auto" else GOOD.replace("async def", "import pytest\n@pytest.mark.asyncio\nasync def")
    output = pytest_run(source, tmp_path, "-o", f"asyncio_mode={mode}", "-W", "error")
    assert " 7 passed" in output, output


def test_each_check_fails_for_a_model_that_breaks_it(tmp_path: Path) -> None:
    output = pytest_run(BAD, tmp_path, "-o", "asyncio_mode=auto", "-k", CHOSEN)
    assert outcomes(output, "FAILED") == {
        "TestUndescribed::test_every_argument_is_described_for_its_callers",
        "TestWrongCalls::test_good_calls_are_answered",
        "TestMute::test_its_routes_are_in_the_openapi",
        "TestLax::test_missing_arguments_are_named",
        "TestLax::test_an_unknown_argument_is_refused_by_name",
    }, output
    assert outcomes(output, "ERROR") == {"TestUnloadable::test_it_describes_itself"}, output
    assert "give these fields metadata={'description': ...}: ['x']" in output
    assert "{'x': 'one'} was answered 422" in output
    assert "no weights here" in output, "the author reads why the model could not be started"


# A server is started for each check, so only those are run that say something.
CHOSEN = (
    "(TestUndescribed and every_argument) or (TestWrongCalls and good_calls) or (TestMute and routes)"
    " or (TestLax and (missing or unknown)) or (TestUnloadable and itself)"
)


class Adder:
    """Adds one."""

    def get_predict_args(self) -> dict[str, Any]:
        """Return the one argument."""
        return {"x": fields.Int(required=True)}

    def predict(self, x: int) -> dict[str, int]:
        """Return ``x`` plus one."""
        return {"y": x + 1}


async def test_a_served_model_is_a_context_and_its_description_is_there_while_it_serves() -> None:
    served = ServedModel(Adder)
    assert served.url == ""
    async with served:
        assert [argument.name for argument in served.description.predict] == ["x"]
        reply = await served.predict({"x": 1}, accept="application/json")
        assert (reply.status, reply.content_type) == (200, "application/json")
        assert reply.headers["X-Request-ID"]
        assert (await served.predict({"x": 1}, accept="text/csv")).status == 406


async def test_its_jobs_are_kept_in_a_folder_that_goes_with_it(
    tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with ServedModel(Adder):
        assert list(tmp_path.glob("modelserve-data-*/modelserve.db"))
    assert not list(tmp_path.glob("modelserve-data-*"))
    assert not data_home.exists(), "the user's own folder is left alone"


def test_an_unknown_setting_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="wrokers"):
        ServedModel(Adder, wrokers=2)
