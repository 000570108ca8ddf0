"""Where a model's source lies, found out without importing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelserve.cli.sources import Source, source_of
from modelserve.discovery import ModelRef, carry
from tests.cli.program import Done, modelserve


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "watched_package" / "deep"
    package.mkdir(parents=True)
    for place in (package, package.parent):
        (place / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "watched_module.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_of_a_file_its_folder_counts_and_those_below_do_not(folder: Path) -> None:
    assert source_of(ModelRef("m", "file", f"{folder}/m.py:Model")) == Source((str(folder),), is_deep=False)


@pytest.mark.parametrize("kind", ["entry_point", "module"])
def test_of_a_package_everything_in_it_counts(folder: Path, kind: str) -> None:
    ref = ModelRef("m", kind, "watched_package.deep.more:Model")  # type: ignore[arg-type]
    assert source_of(ref) == Source((str(folder / "watched_package"),), is_deep=True)
    assert "watched_package" not in sys.modules


def test_of_a_single_module_its_folder_counts(folder: Path) -> None:
    assert source_of(ModelRef("m", "module", "watched_module")) == Source((str(folder),), is_deep=False)


def test_a_module_in_the_working_directory_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in (str(folder), "")])
    assert source_of(ModelRef("m", "module", "watched_package")) == Source((str(folder / "watched_package"),), True)


def test_what_has_no_source_is_not_watched() -> None:
    assert source_of(carry(Path)) is None
    assert source_of(ModelRef("m", "module", "no_such_module_anywhere")) is None
    assert source_of(ModelRef("m", "module", "json", python="/venv/bin/python")) is None


def test_without_the_package_that_watches_the_sentence_says_what_to_install(folder: Path) -> None:
    (folder / "site").mkdir()
    hide = "import sys; sys.meta_path.insert(0, type('H', (), {'find_spec': staticmethod(_hide)}))"
    (folder / "site" / "sitecustomize.py").write_text(
        "def _hide(name, path=None, target=None):\n    if name == 'watchfiles': raise ModuleNotFoundError(name)\n"
        + hide
    )
    (folder / "m.py").write_text("def predict(): return 1")
    done = modelserve("run", "m.py", "--reload", "--port", "0", folder=folder)
    sentence = "modelserve: --reload needs a package that is not installed: pip install 'modelserve[reload]'.\n"
    assert done == Done(2, "", sentence)
