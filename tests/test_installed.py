"""Packages in versions that modelserve cannot use, which another package has brought along."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelserve.installed import explained, unfit
from tests.cli.program import modelserve


def installed(folder: Path, name: str, version: str) -> None:
    """Put another version of a package before the installed one."""
    record = folder / f"{name}-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_what_is_installed_here_fits() -> None:
    assert unfit() == []
    error = ValueError("a mistake of the model")
    assert explained(error) is error


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("5.5.3", False),
        ("8.5.9", False),
        ("8.6", True),
        ("8.6.0", True),
        ("8.7.1", True),
        ("9", False),
        ("9.0.0rc1", False),
    ],
)
def test_a_version_is_within_the_limits_or_is_named(
    version: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "webargs", version)
    monkeypatch.syspath_prepend(tmp_path)
    assert [phrase.startswith(f"webargs {version} (it needs ") for phrase in unfit()] == ([] if fits else [True])


@pytest.mark.parametrize("deepaas", [True, False])
def test_a_check_says_what_to_install(deepaas: bool, tmp_path: Path) -> None:
    """D5: pip install deepaas replaces webargs 8 by webargs 5."""
    others = tmp_path / "site"
    installed(others, "webargs", "5.5.3")
    (others / "webargs").mkdir()
    (others / "webargs" / "__init__.py").write_text("")
    (others / "webargs" / "fields.py").write_text("")
    if deepaas:
        installed(others, "deepaas", "2.6.0")
    (tmp_path / "plain.py").write_text("from modelserve.v2 import fields\ndef predict(): return 1\n")
    done = modelserve("check", "plain.py", folder=tmp_path)
    assert done.status == 3
    assert "modelserve cannot use what is installed here: webargs 5.5.3 (it needs" in done.err
    command = "pip uninstall -y deepaas && pip install 'modelserve[deepaas]'" if deepaas else "pip install --upgrade"
    assert command in " ".join(done.err.split())
    assert "DelimitedTuple" in done.err
