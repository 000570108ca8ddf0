"""Models of another interpreter's environment: a real virtual environment, made for these tests."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

import pytest

import modelserve
from modelserve.discovery import again, find
from modelserve.errors import NoModel
from modelserve.names import GROUP


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that sees this one's packages, and in which alone a model is installed."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    ours = [str(Path(modelserve.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
    (site / "ours.pth").write_text("\n".join(ours))
    _install(site, "1.0")
    return folder


def _install(site: Path, version: str) -> None:
    info = site / "only_there-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: only-there\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nonly-there = only_there:Model")
    (site / "only_there.py").write_text("raise SystemExit('a model that is looked for is not imported')")


def _python(environment: Path) -> str:
    return str(environment / "bin" / "python")


def test_a_model_is_found_in_the_environment_of_its_deployments_interpreter(environment: Path) -> None:
    python = _python(environment)
    (ref,) = find([], deployments={"a": "only-there"}, python_of={"a": python}.__getitem__)
    assert (ref.name, ref.model, ref.kind, ref.target) == ("a", "only-there", "entry_point", "only_there:Model")
    assert (ref.python, ref.distribution["version"]) == (python, "1.0")
    with pytest.raises(NoModel):
        find([], deployments={"a": "only-there"})


def test_a_module_of_that_environment_may_be_named_too(environment: Path) -> None:
    (ref,) = find(["only_there:Model"], python_of=lambda name: _python(environment))
    assert (ref.name, ref.kind, ref.target) == ("model", "module", "only_there:Model")


def test_where_nothing_is_named_every_model_there_is_found(environment: Path) -> None:
    refs = find([], python_of=lambda name: _python(environment))
    assert "only-there" in [ref.name for ref in refs]


def test_an_upgrade_there_is_seen(environment: Path) -> None:
    python = _python(environment)
    (ref,) = find([], deployments={"a": "only-there"}, python_of=lambda name: python)
    (site,) = environment.glob("lib/python*/site-packages")
    _install(site, "2.0")
    try:
        found = again(ref)
    finally:
        _install(site, "1.0")
    assert (found.name, found.model, found.python) == ("a", "only-there", python)
    assert found.distribution["version"] == "2.0"


def test_a_model_that_is_not_there_is_told_with_the_interpreter_and_the_deployment(environment: Path) -> None:
    with pytest.raises(NoModel) as caught:
        find([], deployments={"a": "only-here"}, python_of=lambda name: _python(environment))
    assert caught.value.message.startswith(f"The deployment 'a' cannot be served. {_python(environment)} says: ")
    assert "did you mean only-there?" in caught.value.message


def test_an_interpreter_without_modelserve_is_one_sentence_that_says_what_to_install(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", symlinks=True)
    python = str(tmp_path / "empty" / "bin" / "python")
    with pytest.raises(NoModel, match="-m pip install modelserve") as caught:
        find(["digits"], python_of=lambda name: python)
    assert python in caught.value.message
    assert "No module named" in caught.value.log
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", ["", "#!/bin/sh\necho not json\n"], ids=["no program", "another program"])
def test_what_is_no_interpreter_is_one_sentence(tmp_path: Path, content: str) -> None:
    program = tmp_path / "python"
    program.write_text(content)
    os.chmod(program, 0o755)
    with pytest.raises(NoModel, match="cannot be asked for its models"):
        find(["digits"], python_of=lambda name: str(program))


def test_a_file_in_the_working_directory_does_not_stand_in_for_a_module(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert find(["only-there"], python_of=lambda name: _python(environment))[0].name == "only-there"
