"""Deployments that share nothing but the server: other interpreters, other dependencies, other settings."""

from __future__ import annotations

import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import modelserve
from tests.faults.aftermath import aftermath
from tests.faults.test_reload import home, order
from tests.faults.traffic import traffic
from tests.running import Running, eventually, running

BUILD = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'

PAINT = {"1.0": "def mix(a, b):\n    return a + b\n", "2.0": "def blend(*colours):\n    return list(colours)\n"}
"""A library whose second version has another interface than the first."""

PAINTER = """
from importlib.metadata import version
from modelserve.v2 import fields
from paint import {function}

PAINT = version("paint")  # read here: while pip replaces a package it is not there for a moment

def get_predict_args():
    return {{"a": fields.Str(required=True), "b": fields.Str(required=True)}}

def predict(a, b):
    return {{"mixed": {function}(a, b), "paint": PAINT}}
"""


def package(folder: Path, name: str, version: str, code: str, more: str = "") -> Path:
    """Write the sources of a package of one module."""
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(code)
    project = f'[project]\nname = "{name}"\nversion = "{version}"\n{more}\n'
    (folder / "pyproject.toml").write_text(f'{BUILD}{project}[tool.setuptools]\npy-modules = ["{name}"]\n')
    return folder


def sources(folder: Path, version: str, code: str = PAINTER) -> list[str]:
    """Return the sources of a painter and of the version of the library that it demands."""
    function = "mix" if version == "1.0" else "blend"
    needs = f'dependencies = ["paint=={version}"]\n[project.entry-points."modelserve.v2.model"]\npainter = "painter"'
    paint = package(folder / "paint", "paint", version, PAINT[version])
    painter = package(folder / "painter", "painter", version, code.format(function=function), needs)
    return [str(paint), str(painter)]


def environment(folder: Path) -> Path:
    """Make a virtual environment that sees the packages of this one, and return its interpreter."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    ours = [str(Path(modelserve.__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "ours.pth").write_text("\n".join(ours))
    return folder / "bin" / "python"


def pip_install(python: Path, *what: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "--no-index", "--no-build-isolation", "--upgrade", *what], check=True)


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two interpreters; each has a painter, whose versions need conflicting versions of one library."""
    folder = tmp_path_factory.mktemp("environments")
    pythons = {version: environment(folder / version) for version in PAINT}
    for version, python in pythons.items():
        pip_install(python, *sources(folder / f"sources-{version}", version))
    return pythons


def tables(**of: str) -> str:
    return "\n".join(f"[deployments.{name}]\n{text}" for name, text in of.items())


@pytest.fixture
def painters(pythons: dict[str, Path], tmp_path: Path) -> Iterator[Running]:
    """Yield a server of both painters, as the deployments old and new."""
    of = {name: f'model = "painter"\npython = "{pythons[version]}"' for name, version in NAMES.items()}
    (tmp_path / "modelserve.toml").write_text(tables(**of))
    with running([], folder=tmp_path, env=home(tmp_path)) as server:
        yield server


NAMES = {"old": "1.0", "new": "2.0"}
COLOURS = {"a": "red", "b": "blue"}


def mixed(server: Running, name: str) -> Any:
    reply = server.predict(name, COLOURS)
    assert reply.status == 200, reply.body
    return reply.json()["predictions"]


def test_two_models_with_conflicting_dependencies_serve_side_by_side(
    painters: Running, pythons: dict[str, Path]
) -> None:
    assert mixed(painters, "old") == {"mixed": "redblue", "paint": "1.0"}
    assert mixed(painters, "new") == {"mixed": ["red", "blue"], "paint": "2.0"}
    for name, version in NAMES.items():
        assert painters.get(f"/v2/models/{name}/").json()["version"] == version
    commands = {worker.cmdline()[0] for worker in painters.workers()}
    assert commands == {str(python) for python in pythons.values()}


def test_a_worker_of_another_interpreter_that_dies_is_replaced_by_one_of_it(painters: Running) -> None:
    """A01."""
    for worker in painters.workers():
        worker.kill()
    assert [mixed(painters, name)["paint"] for name in NAMES] == ["1.0", "2.0"]


def test_a_package_in_another_environment_is_upgraded_under_load_without_a_failed_call(tmp_path: Path) -> None:
    """G07: ``pip install -U`` there, then a version that cannot be loaded."""
    python = environment(tmp_path / "environment")
    pip_install(python, *sources(tmp_path / "first", "1.0"))
    arguments = ["painter", "--python", str(python)]
    with running(arguments, folder=tmp_path, env=home(tmp_path)) as server, traffic(server, "painter", COLOURS) as sent:
        pip_install(python, *sources(tmp_path / "second", "2.0"))
        assert order(server, "reload").out == "painter: reloaded\n"
        assert mixed(server, "painter")["paint"] == "2.0"
        broken = PAINTER.replace("import {function}", "import nothing")
        pip_install(python, *sources(tmp_path / "third", "2.0", broken)[1:])
        done = order(server, "reload")
        assert (done.status, done.out) == (1, "")
        assert "cannot import name 'nothing'" in done.err
        assert mixed(server, "painter")["mixed"] == ["red", "blue"]
    assert sent.statuses == {200}


def test_a_stop_while_another_interpreter_is_asked_anew_waits_for_nothing(tmp_path: Path) -> None:
    """G10."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ -e {tmp_path}/hangs ] && exec sleep 300\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "model.py").write_text("def predict():\n    return 1\n")
    with running(["model.py", "--python", str(python)], folder=tmp_path, env=home(tmp_path)) as server:
        (tmp_path / "hangs").touch()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: [process for process in server.family() if process.name() == "sleep"])
        family = server.family()
        assert server.predict("model", {}).status == 200
        assert server.terminate(within_s=12) == 0
        eventually(lambda: not [process for process in family if process.is_running()])


TWINS = {
    "left": 'model = "chaos"\npredict_timeout_s = 1\nenvironment = { CHAOS_ANSWER = "state", SIDE = "left" }',
    "right": 'model = "chaos"\nworkers = 2\nenvironment = { SIDE = "right" }',
}


@pytest.fixture
def twins(packages: dict[str, Path], tmp_path: Path) -> Iterator[Running]:
    """Yield a server of one model under two names."""
    (tmp_path / "modelserve.toml").write_text(tables(**TWINS))
    visible = [packages["chaos"]]
    with (
        running([], folder=tmp_path, visible=visible, env=home(tmp_path)) as server,
        aftermath(server, "left", workers=3),
    ):
        yield server


def test_one_model_runs_under_two_names_with_settings_and_environment_of_each(twins: Running) -> None:
    left = twins.predict("left", {}).json()["predictions"]
    right = twins.predict("right", {"mode": "state"}).json()["predictions"]
    assert (left["environ"]["SIDE"], right["environ"]["SIDE"]) == ("left", "right")
    assert left["pid"] != right["pid"]
    assert twins.predict("right", {}).json()["predictions"]["mode"] == "ok", "only the other has another answer"
    slow = {"mode": "sleep", "n": 1.5}
    late, served = twins.predict_soon("left", slow), twins.predict_soon("right", slow)
    assert (late.result(10).status, served.result(10).status) == (504, 200)
    assert twins.predict("chaos", {}).status == 404, "the model's own name is not served"


def test_what_one_name_suffers_the_other_does_not_feel(twins: Running) -> None:
    """A11, with one model under two names."""
    with traffic(twins, "right", {}, clients=2) as sent:
        for mode in ("exit3", "segv", "spin_c", "kill"):
            assert twins.predict("left", {"mode": mode}).status in (500, 504)
    assert sent.statuses == {200}
