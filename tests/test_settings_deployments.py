"""The tables of single deployments: what they say, what beats what, and what is said of a wrong one (FAULTS B14)."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from modelserve.errors import SettingsError
from modelserve.settings import FIELDS, Settings, load_settings

TWO = """
workers = 2
max_queue = 7

[deployments.small]
model = "digits"
max_batch_size = 8
gpu_memory_fraction = 1
environment = { LEVEL = "1" }

[deployments.large]
model = "digits_model.py:Large"
workers = 3
max_body_bytes = "1 MiB"

[deployments.large.environment]
LEVEL = "2"
EMPTY = ""
"""


def _load(
    folder: Path, text: str, flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None
) -> Settings:
    path = folder / "settings.toml"
    path.write_text(text)
    return load_settings(flags or {}, environ or {}, path)


def _sentence(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _load(folder, text)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    assert "settings.toml" in caught.value.message
    return caught.value.message


def test_one_model_may_have_two_names_with_settings_of_their_own(tmp_path: Path) -> None:
    settings = _load(tmp_path, TWO)
    assert settings.models == {"small": "digits", "large": f"{tmp_path}/digits_model.py:Large"}
    small, large = settings.of("small"), settings.of("large")
    assert (small.workers, small.max_batch_size, small.max_queue, small.gpu_memory_fraction) == (2, 8, 7, 1.0)
    assert (large.workers, large.max_batch_size, large.max_queue, large.max_body_bytes) == (3, 0, 7, 2**20)
    assert (small.environment, large.environment) == ({"LEVEL": "1"}, {"LEVEL": "2", "EMPTY": ""})


def test_a_deployment_without_a_table_has_the_servers_settings(tmp_path: Path) -> None:
    settings = _load(tmp_path, TWO)
    assert settings.of("other") is settings
    assert settings.environment == {}
    assert Settings().of("digits").environment == {}


def test_a_table_beats_flags_and_variables_for_its_deployment_alone(tmp_path: Path) -> None:
    settings = _load(tmp_path, TWO, {"workers": "5"}, {"MODELSERVE_MAX_QUEUE": "9"})
    assert (settings.workers, settings.of("small").workers, settings.of("large").workers) == (5, 5, 3)
    assert settings.of("small").max_queue == 9


def test_a_deployments_settings_are_computed_once(tmp_path: Path) -> None:
    settings = _load(tmp_path, TWO)
    assert settings.of("small") is settings.of("small")
    assert settings.of("small").of("small") is settings.of("small")


def test_a_copy_with_other_settings_has_other_deployments(tmp_path: Path) -> None:
    settings = _load(tmp_path, TWO)
    assert settings.of("small").workers == 2
    assert dataclasses.replace(settings, workers=9).of("small").workers == 9


def test_a_table_may_be_empty_and_then_names_its_model(tmp_path: Path) -> None:
    settings = _load(tmp_path, "[deployments.digits]")
    assert settings.models == {"digits": "digits"}
    assert settings.of("digits") == dataclasses.replace(settings, deployments={})


@pytest.mark.parametrize("field", [field for field in FIELDS if field.per_deployment], ids=lambda field: field.name)
def test_every_setting_per_deployment_may_stand_in_a_table(tmp_path: Path, field: Any) -> None:
    settings = _load(tmp_path, f"[deployments.digits]\n{field.name} = {json.dumps(field.default)}")
    assert getattr(settings.of("digits"), field.name) == field.default


@pytest.mark.parametrize("field", [field for field in FIELDS if not field.per_deployment], ids=lambda field: field.name)
def test_a_setting_of_the_whole_server_may_not(tmp_path: Path, field: Any) -> None:
    sentence = _sentence(tmp_path, f"[deployments.digits]\n{field.name} = 1")
    assert sentence.startswith(f"{field.name} in [deployments.digits] in ")
    assert "is a setting of the whole server" in sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deployments = 1", ["deployments in", "is 1", "[deployments.digits]"]),
        ("[[deployments]]\nworkers = 2", ["deployments in", "must be tables"]),
        ("[deployments]\nworkers = 2", ["workers in [deployments]", "must be a table [deployments.workers]"]),
        ("[deployments.'a b']", ["deployment name 'a b'", "must be 1 to 100 letters"]),
        ("[deployments.'.hidden']", ["deployment name '.hidden'"]),
        ("[deployments.'../x']", ["deployment name '../x'"]),
        ("[deployments.a]\nworker = 2", ["'worker' in [deployments.a]", "did you mean workers?"]),
        ("[deployments.a]\nmax-queue = 2", ["'max-queue'", "did you mean max_queue?"]),
        ("[deployments.a]\nzzz = 2", ["'zzz' in [deployments.a]", "known are model, environment, workers"]),
        ("[deployments.a]\nworkers = '2'", ["workers in [deployments.a]", "is '2'", "a whole number from 1 to 4096"]),
        ("[deployments.a]\nworkers = true", ["workers in [deployments.a]", "a whole number"]),
        ("[deployments.a]\npredict_timeout_s = -1", ["predict_timeout_s", "a number of at least 0"]),
        ("[deployments.a]\npython = '/no/such'", ["python in [deployments.a]", "a Python interpreter"]),
        ("[deployments.a]\ndevice = 'gpu'", ["device in [deployments.a]", "cuda"]),
        ("[deployments.a]\nmodel = 1", ["model in [deployments.a]", "is 1", "my_model.py"]),
        ("[deployments.a]\nmodel = ''", ["model in [deployments.a]", "an installed name"]),
        ("[deployments.a]\nenvironment = 1", ["environment in [deployments.a]", "a table of texts"]),
        ("[deployments.a.environment]\nA = 1", ["A in [deployments.a.environment]", 'A = "..."']),
        ("[deployments.a.environment]\n'A=B' = '1'", ["'A=B' in [deployments.a.environment]", "no name of a variable"]),
        ("[deployments.a.environment]\n'' = '1'", ["no name of a variable"]),
        ("[deployments.a.environment]\n1A = '1'", ["no name of a variable"]),
        ("[deployments.a.environment]\nCUDA_VISIBLE_DEVICES = '1'", ["CUDA_VISIBLE_DEVICES", "cuda:0,2"]),
    ],
)
def test_a_wrong_table_is_one_sentence_that_names_table_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    sentence = _sentence(tmp_path, text)
    assert [word for word in words if word not in sentence] == []
    assert len(sentence) < 700


def test_no_message_shows_what_a_variable_is_set_to(tmp_path: Path) -> None:
    assert "123456789" not in _sentence(tmp_path, "[deployments.a.environment]\nTOKEN = 123456789")
    assert "secret" not in _sentence(tmp_path, "[deployments.a]\nenvironment = 'TOKEN=secret'")
    assert "secret" not in _sentence(tmp_path, '[deployments.a.environment]\nTOKEN = "secret\\u0000"')


PATHS = """
temp_dir = "scratch"
data_dir = "jobs"
database = "sqlite:///jobs/all.db"
tls_cert = "tls/cert.pem"
tls_key = "/etc/key.pem"
python = "bin/python"

[deployments.file]
model = "models/digits.py:Large"
python = "other/python"

[deployments.here]
model = "digits.py"

[deployments.installed]
model = "digits"

[deployments.module]
model = "digits.model:Large"
"""


def test_a_relative_path_of_the_file_is_one_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L9."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / "scratch", home / "bin", home / "other", elsewhere):
        folder.mkdir(parents=True)
    for program in ("bin/python", "other/python"):
        (home / program).symlink_to(sys.executable)
    monkeypatch.chdir(elsewhere)
    (home / "settings.toml").write_text(PATHS)
    for path in (home / "settings.toml", "../home/settings.toml"):
        settings = load_settings({}, {}, path)
        assert settings.temp_dir == str(home / "scratch")
        assert settings.data_dir == str(home / "jobs")
        assert settings.database == f"sqlite:///{home}/jobs/all.db"
        assert (settings.tls_cert, settings.tls_key) == (str(home / "tls/cert.pem"), "/etc/key.pem")
        assert settings.python == str(home / "bin/python")
        assert settings.python_of("file") == str(home / "other/python")
        places = {name: str(Path(model).resolve()) for name, model in settings.models.items() if ".py" in model}
        assert places == {"file": str(home / "models/digits.py:Large"), "here": str(home / "digits.py")}
        assert settings.models["installed"] == "digits"
        assert settings.models["module"] == "digits.model:Large"
    given = load_settings({"data_dir": "jobs"}, {"MODELSERVE_TLS_CERT": "cert.pem"}, home / "settings.toml")
    assert (given.data_dir, given.tls_cert) == (str(elsewhere / "jobs"), str(elsewhere / "cert.pem"))


def test_every_setting_that_is_a_path_is_read_so(tmp_path: Path) -> None:
    """A new one must say what a relative path means."""
    paths = {field.name for field in FIELDS if re.search(r"\b(path|folder|file|interpreter)\b", field.right, re.I)}
    assert {"tls_cert", "data_dir", "temp_dir"} <= paths
    assert not [field.name for field in FIELDS if field.name in paths - {"base_path"} and field.beside is None]
