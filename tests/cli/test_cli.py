"""The command line's errors are one sentence and a status; its help is complete; starting it loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelserve.settings import FIELDS
from tests.cli.program import environment, modelserve

COMMANDS = ("run", "models", "check", "predict", "train", "jobs")


def _install(folder: Path, name: str, *points: str, version: str = "1.0") -> None:
    info = folder / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A test model.\n")
    (info / "entry_points.txt").write_text("\n".join(["[modelserve.v2.model]", *points]))


@pytest.mark.parametrize("module", ["modelserve", "modelserve.__main__", "modelserve.settings", "modelserve.discovery"])
def test_importing_loads_nothing_heavy(tmp_path: Path, module: str) -> None:
    """Workers read the program that started them again, and must not load the server or the command line."""
    heavy = ("aiohttp", "torch", "uvloop", "click", "rich", "asyncio", "multiprocess", "numpy", "marshmallow")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_listing_models_loads_no_web_framework(tmp_path: Path) -> None:
    code = (
        "import sys; from modelserve.cli import main; main(['models']);"
        "print([n for n in ('aiohttp', 'torch', 'uvloop') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")


def test_the_version_is_told(tmp_path: Path) -> None:
    done = modelserve("--version", folder=tmp_path)
    assert done.status == 0
    assert done.out.startswith("modelserve 0.")


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    done = modelserve(folder=tmp_path)
    assert done.status == 1
    assert all(f"\n  {command} " in done.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(tmp_path: Path, command: str) -> None:
    done = modelserve(command, "--help", folder=tmp_path)
    assert done.status == 0
    assert f"Usage: modelserve {command}" in done.out
    assert f"  modelserve {command}" in done.out.partition("Example")[2] or f": modelserve {command}" in done.out


def test_runs_help_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    text = " ".join(modelserve("run", "--help", folder=tmp_path).out.split())
    for field in FIELDS:
        assert " ".join((f"{field.flag},", *field.aliases) if field.aliases else (f"{field.flag} ",)) in text
        assert f"[default: {field.shown_default or 'empty'}" in text


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "words"),
    [
        (["run", "--prot", "1"], {}, 2, "No such option '--prot'"),
        (["run", "--port"], {}, 2, "requires an argument"),
        (["run", "--port", "http"], {}, 2, "port given as --port is 'http', but must be a whole number"),
        (["run"], {"MODELSERVE_PORT": "http"}, 2, "port from MODELSERVE_PORT in the environment is 'http'"),
        (["run"], {"MODELSERVE_PROT": "1"}, 2, "did you mean port?"),
        (["run", "--config", "no.toml"], {}, 2, "The settings file no.toml cannot be read"),
        (["check", "x", "--device", "gpu"], {}, 2, "device given as --device is 'gpu'"),
        (["rum"], {}, 2, "No such command 'rum'"),
        (["models", "extra"], {}, 2, "unexpected extra argument"),
        (["check"], {}, 2, "Missing argument 'MODEL'"),
        (["run"], {}, 3, "No model is installed: pip install"),
        (["run", "nosuch"], {}, 3, "There is no model 'nosuch'"),
        (["check", "no.py"], {}, 3, "there is no Python file"),
        (["predict", "nosuch", "--x", "1"], {}, 3, "There is no model 'nosuch'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_sentence_and_a_status(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], status: int, words: str
) -> None:
    """FAULTS B11, B14."""
    done = modelserve(*arguments, folder=tmp_path, variables=variables)
    assert done.status == status
    assert done.err.startswith("modelserve: ")
    assert done.err.count("\n") == 1
    assert words in done.err
    assert done.out == ""


def test_a_settings_file_here_is_read_and_its_mistakes_are_told(tmp_path: Path) -> None:
    (tmp_path / "modelserve.toml").write_text("workerz = 2\n")
    done = modelserve("run", folder=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err == "modelserve: 'workerz' in modelserve.toml is no setting of modelserve; did you mean workers?\n"


def test_two_packages_with_one_name_end_the_start_with_status_3(tmp_path: Path) -> None:
    """FAULTS B09."""
    _install(tmp_path, "first-package", "digits = a", version="1.2")
    _install(tmp_path, "second-package", "digits = b", version="3.4")
    for command in ("run", "models"):
        done = modelserve(command, folder=tmp_path)
        assert (done.status, done.out) == (3, "")
        assert "first-package 1.2" in done.err
        assert "second-package 3.4" in done.err


def test_a_bad_name_ends_the_start_with_status_3(tmp_path: Path) -> None:
    """FAULTS B10."""
    _install(tmp_path, "bad", "../x = a")
    done = modelserve("run", folder=tmp_path)
    assert done.status == 3
    assert "'../x' of bad 1.0 is not valid" in done.err


def test_models_lists_what_is_installed_without_importing_it(tmp_path: Path) -> None:
    _install(tmp_path, "my-digits", "digits = exploding.model:Digits", version="2.5")
    (tmp_path / "site" / "exploding.py").write_text("raise SystemExit('imported')")
    done = modelserve("models", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[1].split() == [
        *("digits", "exploding.model:Digits", "my-digits", "2.5"),
        *("A", "test", "model."),
    ]


def test_models_as_json_is_for_programs(tmp_path: Path) -> None:
    assert json.loads(modelserve("models", "--json", folder=tmp_path).out) == []
    _install(tmp_path, "my-digits", "digits = d")
    (row,) = json.loads(modelserve("models", "--json", folder=tmp_path).out)
    assert (row["name"], row["target"], row["distribution"]["version"]) == ("digits", "d", "1.0")


def test_without_models_the_list_says_so(tmp_path: Path) -> None:
    done = modelserve("models", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("No model is installed.")


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    for number in range(300):
        _install(tmp_path, f"package-{number}", f"model-{number} = {'m' * 200}")
    command = f"{sys.executable} -m modelserve models --json"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "words",
    [("models", "\udcff"), ("predict", "x", "--text", "\udcff"), ("run", "\udcff.py"), ("clients", "add", "\udcff")],
)
def test_an_argument_that_is_no_text_is_told_in_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    """X20."""
    done = modelserve(*words, folder=tmp_path)
    assert done.status == 2
    assert done.err.startswith("modelserve: An argument is no UTF-8 text: ")
    assert done.err.count("\n") == 1


def test_a_variable_that_is_no_text_is_told_in_one_sentence(tmp_path: Path) -> None:
    """X20."""
    for variable in ("MODELSERVE_TITLE", "MODELSERVE_CONFIG"):
        done = modelserve("run", folder=tmp_path, variables={variable: "\udcff"})
        assert (done.status, done.err.count("\n"), "Traceback" in done.err) == (2, 1, False)


def test_an_output_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    """X20."""
    command = [sys.executable, "-m", "modelserve", "--help"]
    full, variables = os.open("/dev/full", os.O_WRONLY), environment(tmp_path)
    done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=variables, timeout=50, check=False)
    os.close(full)
    assert (done.returncode, done.stderr) == (
        1,
        b"modelserve: The output cannot be written: No space left on device.\n",
    )


def test_what_the_terminal_cannot_show_is_written_otherwise(tmp_path: Path) -> None:
    """X20."""
    (tmp_path / "m.py").write_text(
        "class M:\n    def get_metadata(self):\n        return {'name': 'm', 'description': 'Grüße'}\n"
        "    def predict(self):\n        return 1\n"
    )
    done = modelserve("check", "m.py:M", folder=tmp_path, variables={"PYTHONIOENCODING": "ascii"})
    assert "Gr\\xfc\\xdfe" in done.out
