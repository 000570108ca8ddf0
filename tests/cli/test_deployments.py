"""The tables of deployments and the devices, as the program meets them (FAULTS B14, P03)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import modelserve

TOY = Path(__file__).with_name("toy.py")


def _said(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    (folder / "modelserve.toml").write_text(text)
    done = modelserve(*arguments, folder=folder)
    assert done.out == ""
    return done.status, done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[deployments.toy]\nworker = 2",
            "'worker' in [deployments.toy] in modelserve.toml is no setting of a deployment",
        ),
        (
            "[deployments.toy]\nport = 2",
            "port in [deployments.toy] in modelserve.toml is a setting of the whole server",
        ),
        ("[deployments.toy]\npython = '/no/such'", "python in [deployments.toy] in modelserve.toml is '/no/such'"),
    ],
)
def test_a_wrong_table_is_status_2_and_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    status, said = _said(tmp_path, text, "run", "--port", "0")
    assert status == 2
    assert said.startswith(f"modelserve: {words}")
    assert said.count("\n") == 1


def test_a_deployment_of_an_unknown_model_is_status_3_and_named(tmp_path: Path) -> None:
    status, said = _said(tmp_path, "[deployments.small]\nmodel = 'no-such-model'", "run", "--port", "0")
    assert status == 3
    assert "The deployment 'small' cannot be served. There is no model 'no-such-model'" in said


def test_a_gpu_that_is_demanded_and_not_there_is_status_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status, said = _said(tmp_path, f"[deployments.toy]\nmodel = '{TOY}:Toy'\ndevice = 'cuda'", "run", "--port", "0")
    assert status == 2
    assert "no GPU was found" in said


def test_a_deployments_name_is_known_to_check_as_well(tmp_path: Path) -> None:
    (tmp_path / "modelserve.toml").write_text(f"[deployments.small]\nmodel = '{TOY}:Toy'\nworkers = 3")
    done = modelserve("check", "small", folder=tmp_path)
    assert done.status == 0, done.err
    assert "small is loaded and warm: modelserve run small" in done.out
