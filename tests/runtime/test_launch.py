"""Starting interpreters: the server's own and those of other virtual environments, good ones and bad ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import modelserve
from modelserve.discovery import ModelRef, carry
from modelserve.messages import Call
from modelserve.runtime.interface import StartFailed
from modelserve.runtime.process import LocalBackend
from tests.runtime.workers import Heard, spec, until

# A model that answers what its worker is like.
MIRROR = """
import os, sys

def predict():
    return {"path": sys.path, "prefix": sys.prefix, "argv": sys.argv, "stdin": os.readlink("/proc/self/fd/0"),
            "session": os.getsid(0) == os.getpid(), "modules": sorted(sys.modules), "SAID": os.environ.get("SAID"),
            "env": os.environ.get("PYTHONPATH", "")}
"""


@pytest.fixture
def mirror(tmp_path: Path) -> ModelRef:
    """A model file in a folder of its own."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mirror.py").write_text(MIRROR)
    return ModelRef("mirror", "file", str(tmp_path / "models" / "mirror.py"))


Made = Callable[..., Path]


@pytest.fixture
def environment(tmp_path: Path) -> Made:
    """Return a function that makes a virtual environment with these lines in a .pth file, and gives its interpreter."""

    def make(line: str = "") -> Path:
        folder = tmp_path / "venv"
        venv.create(folder, with_pip=False, symlinks=True)
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "more.pth").write_text(line)
        return folder / "bin" / "python"

    return make


async def answer(ref: ModelRef, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what a worker of a model predicts."""
    heard = Heard()
    replica = LocalBackend(str(folder)).replica(msgspec.structs.replace(spec(ref), **changes))
    await replica.start(heard)
    replica.send([Call(id=1)])
    await until(lambda: heard.answers)
    await replica.stop(5)
    predictions: dict[str, Any] = json.loads(heard.answers[1].body)["predictions"]
    return predictions


async def refusal(ref: ModelRef, folder: Path, **changes: Any) -> str:
    """Return why a worker of a model does not start."""
    replica = LocalBackend(str(folder)).replica(msgspec.structs.replace(spec(ref), **changes))
    with pytest.raises(StartFailed) as caught:
        await replica.start(Heard())
    assert caught.value.failed.stage == "load"
    return caught.value.failed.message


async def test_a_worker_is_a_session_of_its_own_without_the_servers_input_and_arguments(
    mirror: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)  # what measures the tests imports multiprocessing itself
    seen = await answer(mirror, tmp_path)
    assert (seen["session"], seen["stdin"], len(seen["argv"])) == (True, "/dev/null", 1)
    assert not {"multiprocessing", "multiprocess", "asyncio"} & set(seen["modules"])


async def test_a_worker_imports_from_where_the_program_does_and_in_that_order(mirror: ModelRef, tmp_path: Path) -> None:
    seen = await answer(mirror, tmp_path)
    ours = [path or os.getcwd() for path in sys.path]
    assert [path for path in seen["path"] if path in ours] == [path for path in ours if path in seen["path"]]
    left_out = sysconfig.get_path("scripts")  # where a program's own script lies, of which no model imports
    assert [path for path in ours if path not in [*seen["path"], left_out] and "__editable__" not in path] == []


async def test_what_a_program_put_behind_its_import_path_stays_behind(
    mirror: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "front"), *sys.path, str(tmp_path / "back")])
    path = (await answer(mirror, tmp_path))["path"]
    assert path[0] == str(tmp_path / "models"), "the model's own folder, which loading it puts first"
    places = [
        path.index(each) for each in (str(tmp_path / "front"), sysconfig.get_path("stdlib"), str(tmp_path / "back"))
    ]
    assert places == sorted(places)


async def test_files_named_like_the_standard_librarys_do_not_break_a_start(
    mirror: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("json", "logging", "socket", "struct", "signal", "queue", "random", "modelserve_v2", "typing"):
        (folder / f"{name}.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert str(folder) in (await answer(mirror, tmp_path))["path"]


async def test_an_environment_of_the_deployment_is_there_before_anything_is_imported(
    mirror: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "servers"))
    theirs = {"PYTHONPATH": str(tmp_path / "theirs"), "SAID": "yes"}
    seen = await answer(mirror, tmp_path, environment=theirs)
    assert (seen["SAID"], seen["env"]) == ("yes", str(tmp_path / "theirs"))
    assert seen["path"].index(str(tmp_path / "theirs")) < seen["path"].index(sysconfig.get_path("stdlib"))
    assert str(tmp_path / "servers") not in seen["path"]


async def test_a_model_that_was_defined_in_the_program_is_carried_by_value(tmp_path: Path) -> None:
    class Sum:
        def __init__(self) -> None:
            self.offset = 41

        def predict(self) -> dict[str, int]:
            return {"sum": self.offset + 1}

    Sum.__module__ = "__main__"  # as in a script or a notebook
    assert await answer(carry(Sum), tmp_path) == {"sum": 42}


async def test_another_interpreter_serves_with_its_own_packages(
    mirror: ModelRef, tmp_path: Path, environment: Made
) -> None:
    packages = sysconfig.get_path("purelib")
    home = os.path.dirname(os.path.dirname(modelserve.__file__))
    python = environment(f"{home}\nimport site; site.addsitedir({packages!r})\n")
    seen = await answer(mirror, tmp_path, python=str(python))
    assert seen["prefix"] == str(tmp_path / "venv")
    assert seen["prefix"] != sys.prefix


async def test_an_interpreter_that_is_not_there_is_a_failed_start_that_says_what_to_do(
    mirror: ModelRef, tmp_path: Path
) -> None:
    text = await refusal(mirror, tmp_path, python=str(tmp_path / "none" / "python"))
    assert "none/python', which cannot be run (No such file or directory)" in text
    assert f"has modelserve {modelserve.__version__}" in text


async def test_a_file_that_is_no_interpreter_is_a_failed_start_that_says_what_to_do(
    mirror: ModelRef, tmp_path: Path
) -> None:
    (tmp_path / "python").write_text("no program")
    assert "which cannot be run (Permission denied)" in await refusal(mirror, tmp_path, python=str(tmp_path / "python"))
    (tmp_path / "python").chmod(0o755)
    assert "which cannot be run (Exec format error)" in await refusal(mirror, tmp_path, python=str(tmp_path / "python"))


async def test_an_interpreter_without_modelserve_is_a_failed_start_that_says_what_to_install(
    mirror: ModelRef,
    tmp_path: Path,
    environment: Made,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "modelserve").exists()])
    python = environment()
    text = await refusal(mirror, tmp_path, python=str(python))
    assert text.startswith(f"{python} cannot import modelserve")
    assert f"run {python} -m pip install modelserve=={modelserve.__version__}" in text
    assert "ModuleNotFoundError" in capfd.readouterr().err


async def test_an_interpreter_with_another_modelserve_is_a_failed_start_that_says_what_to_install(
    mirror: ModelRef, tmp_path: Path, environment: Made
) -> None:
    (tmp_path / "old" / "modelserve").mkdir(parents=True)
    (tmp_path / "old" / "modelserve" / "__init__.py").write_text("__version__ = '0.0.1'")
    python = environment(str(tmp_path / "old"))
    text = await refusal(mirror, tmp_path, python=str(python))
    assert text.startswith(f"{python} has another version of modelserve than the server: run {python} -m pip install")


def test_a_program_that_adds_no_folder_gives_its_workers_none() -> None:
    """As the command modelserve does, whose own folder comes first on its path."""
    code = (
        "import sys; sys.path[0] = sys.argv[1]\nfrom modelserve.runtime.launch import added_paths; print(added_paths())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sysconfig.get_path("scripts")], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "AddedPaths(front=[], back=[])"
