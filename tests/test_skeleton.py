"""The package as a whole: what importing it costs, what it exports, and the place of its version in the changelog."""

from __future__ import annotations

import configparser
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "modelserve"
KINDS = ("added", "changed", "deprecated", "removed", "fixed")

# What a model package, a notebook or a spawned worker must not pay for by importing us.
HEAVY = ("aiohttp", "click", "marshmallow", "numpy", "rich", "torch", "uvloop", "webargs")


def loaded_after(statement: str) -> list[str]:
    """Return which heavy packages a fresh interpreter has loaded after ``statement``."""
    program = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    # A coverage measurement of subprocesses would load modules of its own; these interpreters are not measured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.split()


@pytest.mark.parametrize("module", ["modelserve", "modelserve.__main__", "modelserve.errors", "modelserve.messages"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert loaded_after(f"import {module}") == []


@pytest.mark.parametrize("module", ["modelserve.v2", "modelserve.runtime.worker"])
def test_what_a_worker_imports_loads_no_server(module: str) -> None:
    assert set(loaded_after(f"import {module}")) <= {"marshmallow", "webargs"}


def test_a_server_loads_nothing_of_what_a_worker_runs() -> None:
    """It would cost its start a tenth of a second, and 3 MB."""
    assert set(loaded_after("import modelserve.server")) <= {"aiohttp", "uvloop"}


def packages() -> list[str]:
    """Return every package of modelserve by its dotted name."""
    inits = sorted(PACKAGE.rglob("__init__.py"))
    return [".".join(path.parent.relative_to(REPOSITORY).parts) for path in inits]


@pytest.mark.parametrize("name", packages())
def test_every_public_name_of_a_package_exists(name: str) -> None:
    package = importlib.import_module(name)
    for public in getattr(package, "__all__", ()):
        assert hasattr(package, public), f"{name} lists {public} and has no such name"


def declared_version() -> str:
    """Return the version in setup.cfg, the one place where it stands."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    return config["metadata"]["version"]


def released() -> list[str]:
    """Return the versions in the changelog, newest first."""
    return re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)


def fragments() -> list[Path]:
    """Return the notes for the next release."""
    return [path for path in sorted((REPOSITORY / "changes").glob("*.md")) if path.name != "README.md"]


def test_the_version_is_in_the_changelog_or_its_notes_wait_in_changes() -> None:
    if declared_version() not in released()[:1]:
        assert fragments(), f"version {declared_version()} is not in CHANGELOG.md, and changes/ holds no note for it"


def test_notes_are_named_by_number_and_kind() -> None:
    wrong = [path.name for path in fragments() if not re.fullmatch(rf"\d+\.({'|'.join(KINDS)})\.md", path.name)]
    assert wrong == []


def test_the_package_ships_its_type_marker_and_licence() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text()


def test_continuous_integration_runs_the_same_command_as_a_developer() -> None:
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "exec make test"
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


def test_nothing_is_unpickled_but_a_model_by_its_own_worker() -> None:
    """M02: what a worker sends, and what a client sends, is never unpickled."""
    loads = re.compile(r"\b(pickle|dill|marshal|shelve|joblib)\.loads?\(|allow_pickle=True")
    found = [(path.name, line.strip()) for path in PACKAGE.rglob("*.py") for line in path.read_text().splitlines()]
    assert [place for place in found if loads.search(place[1])] == [
        ("loading.py", "found: Any = dill.loads(ref.payload)")
    ]
