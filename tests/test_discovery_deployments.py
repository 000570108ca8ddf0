"""Models under names of the operator's own, and models found again after an upgrade."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelserve.discovery import ModelRef, again, find
from modelserve.errors import DiscoveryError, NoModel
from modelserve.names import DEEPAAS_GROUP, GROUP

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs, or upgrades, a distribution's metadata in a world without other models."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(folder)])

    def install(name: str, *points: str, version: str = "1.0", group: str = GROUP) -> None:
        for info in folder.glob(f"{name}-*.dist-info"):
            for path in info.iterdir():
                path.unlink()
            info.rmdir()
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *points]))

    return install


def names(refs: list[ModelRef]) -> list[tuple[str, str]]:
    return [(ref.name, ref.target) for ref in refs]


def test_one_model_may_be_served_under_two_names(install: Install) -> None:
    install("digits", "digits = digits.model:Digits")
    refs = find([], deployments={"small": "digits", "large": "digits"})
    assert names(refs) == [("small", "digits.model:Digits"), ("large", "digits.model:Digits")]
    assert refs[0].distribution["version"] == "1.0"


def test_where_deployments_are_said_they_alone_are_served(install: Install) -> None:
    install("digits", "digits = digits.model:Digits", "letters = digits.model:Letters")
    assert names(find([], deployments={"digits": "digits"})) == [("digits", "digits.model:Digits")]
    assert [ref.name for ref in find([])] == ["digits", "letters"]


def test_models_that_are_named_are_served_instead_and_a_deployments_name_counts_first(install: Install) -> None:
    install("digits", "digits = digits.model:Digits", "letters = digits.model:Letters")
    refs = find(["letters", "digits"], deployments={"digits": "letters", "other": "digits"})
    assert names(refs) == [("letters", "digits.model:Letters"), ("digits", "digits.model:Letters")]


def test_a_deployment_may_be_of_a_file_or_a_module(install: Install, tmp_path: Path) -> None:
    install("digits", "digits = digits.model:Digits")
    (tmp_path / "mine.py").write_text("")
    refs = find([], deployments={"a": "mine.py:Model", "b": "json.decoder:JSONDecoder"})
    assert [(ref.name, ref.kind) for ref in refs] == [("a", "file"), ("b", "module")]
    assert refs[0].target == f"{tmp_path}/mine.py:Model"


def test_a_deployment_of_a_model_that_is_not_there_is_named(install: Install) -> None:
    install("digits", "digits = digits.model:Digits")
    with pytest.raises(NoModel, match=r"The deployment 'small' cannot be served\. .* 'digit': did you mean digits\?"):
        find([], deployments={"small": "digit"})


def test_two_models_of_one_name_are_refused_whoever_named_them(install: Install, tmp_path: Path) -> None:
    install("digits", "digits = digits.model:Digits")
    (tmp_path / "small.py").write_text("")
    with pytest.raises(DiscoveryError, match="Two models have the name 'small'"):
        find(["small", "small.py"], deployments={"small": "digits"})


def test_after_an_upgrade_a_model_is_found_as_it_is_now_under_its_deployments_name(install: Install) -> None:
    install("digits", "digits = digits.model:Digits")
    (small,) = find([], deployments={"small": "digits"})
    (digits,) = find(["digits"])
    install("digits", "digits = digits.newer:Digits", version="2.0")
    for ref in (small, digits):
        found = again(ref)
        assert (found.name, found.target) == (ref.name, "digits.newer:Digits")
        assert found.distribution["version"] == "2.0"
        assert again(found) == found


def test_an_upgrade_may_move_a_model_from_one_group_to_the_other(install: Install) -> None:
    install("leaves", "leaves = leaves.api", group=DEEPAAS_GROUP)
    install("other", "leaves = other.api")
    (ref,) = find(["leaves"], DEEPAAS_GROUP)
    assert again(ref) == ref, "the one of the group that was chosen"
    install("other")
    install("leaves", "leaves = leaves.api", version="2.0")
    assert again(ref).group == GROUP


def test_a_model_that_was_uninstalled_is_not_found_again(install: Install) -> None:
    install("digits", "digits = digits.model:Digits")
    (small,) = find([], deployments={"small": "digits"})
    install("digits")
    with pytest.raises(NoModel, match="There is no model 'digits'"):
        again(small)


def test_a_file_is_looked_for_again_and_a_carried_model_stays(install: Install, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    (ref,) = find([], deployments={"a": "mine.py:Model"})
    assert again(ref) == ref
    (tmp_path / "mine.py").unlink()
    with pytest.raises(NoModel, match="there is no Python file"):
        again(ref)
    carried = ModelRef("mine", "pickled", "Mine", payload=b"the model")
    assert again(carried) is carried
