"""Where a setting's value comes from, and what is said of a wrong one (FAULTS B14)."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from modelserve.errors import SettingsError
from modelserve.settings import FIELDS, Settings, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder without a settings file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _toml(folder: Path, text: str, name: str = "modelserve.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_anything_given_every_setting_has_its_default() -> None:
    assert load_settings({}, {}) == Settings()
    assert load_settings({"port": None}, {"PATH": "/bin", "PORT": "1"}) == Settings()


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    _toml(tmp_path, "port = 1001\nworkers = 2\ntitle = 'file'")
    environ = {"MODELSERVE_PORT": "1002", "MODELSERVE_WORKERS": "3"}
    found = load_settings({"port": "1003"}, environ)
    assert (found.port, found.workers, found.title, found.host) == (1003, 3, "file", "127.0.0.1")


def test_the_file_is_the_named_one_then_the_variables_then_the_one_here(tmp_path: Path) -> None:
    _toml(tmp_path, "title = 'here'")
    variable = {"MODELSERVE_CONFIG": str(_toml(tmp_path, "title = 'variable'", "variable.toml"))}
    named = _toml(tmp_path, "title = 'named'", "named.toml")
    assert load_settings({}, {}).title == "here"
    assert load_settings({}, variable).title == "variable"
    assert load_settings({}, variable, named).title == "named"


def test_other_defaults_give_way_to_everything() -> None:
    assert load_settings({}, {}, defaults={"log_level": "error"}).log_level == "error"
    assert load_settings({}, {"MODELSERVE_LOG_LEVEL": "debug"}, defaults={"log_level": "error"}).log_level == "debug"


def test_a_settings_object_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 2**20),
        ("64MiB", 2**26),
        ("1 GB", 10**9),
        ("1.5 KiB", 1536),
        ("2gib", 2**31),
        ("7 B", 7),
        ("1TB", 10**12),
        (" 3kB ", 3000),
    ],
)
def test_a_size_may_be_written_with_its_unit(text: str, size: int) -> None:
    assert load_settings({}, {"MODELSERVE_MAX_BODY_BYTES": text}).max_body_bytes == size


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("YES", True), ("on", True), ("false", False), ("0", False)]
)
def test_a_switch_may_be_written_in_several_ways(text: str, value: bool) -> None:
    assert load_settings({}, {"MODELSERVE_STRICT": text}).strict is value


@pytest.mark.parametrize(
    ("text", "path"),
    [("", ""), ("/", ""), ("a", "/a"), ("/x/y/", "/x/y"), ("x//y", "/x/y"), ("/v1.0/~me", "/v1.0/~me")],
)
def test_a_base_path_gets_its_leading_slash_and_loses_the_trailing_one(text: str, path: str) -> None:
    assert load_settings({"base_path": text}, {}).base_path == path


def test_a_temporary_folder_is_made_absolute(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    assert load_settings({"temp_dir": "scratch"}, {}).temp_dir == str(tmp_path / "scratch")


def test_a_data_folder_is_made_absolute_and_need_not_be_there(tmp_path: Path) -> None:
    assert load_settings({"data_dir": "jobs"}, {}).data_dir == str(tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ""),
        ("a.example", "a.example"),
        (" CI.example.org , 10.0.0.7:8080,[::1]:99", "ci.example.org,10.0.0.7:8080,[::1]:99"),
    ],
)
def test_hosts_are_separated_by_commas(text: str, hosts: str) -> None:
    assert load_settings({"callback_hosts": text}, {}).callback_hosts == hosts


@pytest.mark.parametrize("text", ["http://a.example", "a b", "a:port", "*.example", "a/x", "user@a.example"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="must be host names separated by commas"):
        load_settings({"callback_hosts": text}, {})


def test_a_secret_value_is_never_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"database": "mysql://user:sesame@host/jobs"}, {})
    assert "must be postgresql+psycopg://" in caught.value.message
    assert "sesame" not in caught.value.message
    assert caught.value.__suppress_context__
    secrets = {"callback_secret": "sesame" * 4, "database": "postgresql+psycopg://me:sesame@host/jobs"}
    assert "sesame" not in repr(load_settings(secrets, {}))


@pytest.mark.parametrize(
    "text", ["", "x" * 24, "ä" * 32, f"whsec_{'A' * 32}", f"whsec_{'A' * 43}=", f"whsec_{'A' * 43}"]
)
def test_a_secret_is_taken_as_it_is(text: str) -> None:
    assert load_settings({"callback_secret": text}, {}).callback_secret == text


@pytest.mark.parametrize(
    "text", ["sesame", "x" * 65, "whsec_", "whsec_sesame", f"whsec_{'?' * 32}", f"whsec_{'A' * 33}"]
)
def test_what_is_no_secret_to_sign_with_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="must be a text of 24 to 64 bytes, or whsec_") as caught:
        load_settings({"callback_secret": text}, {})
    assert "sesame" not in caught.value.message


def test_an_interpreter_is_made_absolute_and_its_links_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python-of-mine").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for text in ("bin/python-of-mine", str(tmp_path / "bin" / "python-of-mine"), "python-of-mine"):
        assert load_settings({"python": text}, {}).python == str(tmp_path / "bin" / "python-of-mine")
    assert load_settings({"python": ""}, {}).python == ""


def test_a_whole_number_will_do_for_a_decimal_one_in_the_file(tmp_path: Path) -> None:
    _toml(tmp_path, "grace_s = 5\nstrict = true\nmax_body_bytes = '1 MB'")
    found = load_settings({}, {})
    assert (found.grace_s, found.strict, found.max_body_bytes) == (5.0, True, 10**6)
    assert isinstance(found.grace_s, float)


def test_values_from_python_are_taken_as_they_are() -> None:
    found = load_settings({"port": 0, "grace_s": 1, "strict": True, "max_queue": 5}, {})
    assert (found.port, found.grace_s, found.strict, found.max_queue) == (0, 1.0, True, 5)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_passed_over() -> None:
    environ = {
        "MODELSERVE_SERVICE_HOST": "10.0.0.1",
        "MODELSERVE_SERVICE_PORT": "5000",
        "MODELSERVE_SERVICE_PORT_HTTP": "5000",
        "MODELSERVE_PORT": "tcp://10.0.0.1:5000",
        "MODELSERVE_PORT_5000_TCP": "tcp://10.0.0.1:5000",
        "MODELSERVE_PORT_5000_TCP_PROTO": "tcp",
        "MODELSERVE_PORT_5000_TCP_PORT": "5000",
        "MODELSERVE_PORT_5000_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings({}, environ) == Settings()


# Where a value is given, the value, and what the sentence must hold besides the key.
BAD: list[tuple[str, str, Any, str]] = [
    ("environment", "port", "abc", "a whole number from 0 to 65535"),
    ("environment", "port", "", "a whole number"),
    ("environment", "port", "65536", "65535"),
    ("environment", "port", "-1", "from 0"),
    ("environment", "port", "5000.0", "whole number"),
    ("environment", "port", "9" * 5000, "whole number"),
    ("environment", "port", "५०००", "whole number"),
    ("environment", "workers", "0", "from 1"),
    ("environment", "grace_s", "nan", "a number of at least 0"),
    ("environment", "grace_s", "inf", "a number of at least 0"),
    ("environment", "grace_s", "-0.1", "a number of at least 0"),
    ("environment", "grace_s", "soon", "a number"),
    ("environment", "max_body_bytes", "64 mega", "64MiB"),
    ("environment", "max_body_bytes", "0", "at least 1"),
    ("environment", "max_upload_bytes", "-1 GB", "a size"),
    ("environment", "max_queue", "many", "a whole number of at least 1"),
    ("environment", "strict", "perhaps", "true or false"),
    ("environment", "log_level", "INFO!", "one of debug, info, warning, error"),
    ("environment", "log_format", "xml", "text or json"),
    ("environment", "unknown_arguments", "drop", "one of auto, error, ignore"),
    ("environment", "nan_answers", "", "error or null"),
    ("environment", "host", "a b", "a host name"),
    ("environment", "host", "", "a host name"),
    ("environment", "base_path", "/a/../b", "a path such as"),
    ("environment", "base_path", "/a?b", "a path such as"),
    ("environment", "device", "gpu", "cuda"),
    ("environment", "device", "cuda:", "cuda:0,2"),
    ("environment", "device", "cuda:0,", "cuda:0,2"),
    ("environment", "title", "   ", "a printable text"),
    ("environment", "title", "a\nb", "a printable text"),
    ("environment", "temp_dir", "/no/such/folder", "an existing folder"),
    ("environment", "python", "/no/such/python", "a Python interpreter that can be run"),
    ("environment", "python", "/etc/passwd", "a Python interpreter that can be run"),
    ("environment", "python", "/", "a Python interpreter that can be run"),
    ("environment", "gpu_memory_fraction", "1.5", "a number from 0 to 1"),
    ("environment", "cancel_running", "stop", "finish or kill"),
    ("file", "port", '"5000"', "a whole number"),
    ("file", "port", "true", "a whole number"),
    ("file", "port", "1.5", "a whole number"),
    ("file", "host", "1", "a host name"),
    ("file", "strict", '"true"', "true or false"),
    ("file", "strict", "1", "true or false"),
    ("file", "grace_s", '"5"', "a number"),
    ("file", "log_level", "[]", "one of"),
    ("file", "title", "{}", "a printable text"),
    ("flag", "port", "http", "--port"),
    ("flag", "max_queue", 1.5, "--max-queue"),
    ("flag", "workers", True, "--workers"),
]


@pytest.mark.parametrize(
    ("place", "key", "value", "words"), BAD, ids=[f"{row[0]} {row[1]} {row[2]!s:.20}" for row in BAD]
)
def test_a_wrong_value_is_one_sentence_that_says_what_is_right(
    tmp_path: Path, place: str, key: str, value: Any, words: str
) -> None:
    """FAULTS B14."""
    environ = {f"MODELSERVE_{key.upper()}": value} if place == "environment" else {}
    flags = {key: value} if place == "flag" else {}
    if place == "file":
        _toml(tmp_path, f"{key} = {value}")
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ)
    sentence = caught.value.message
    origin = {"environment": f"MODELSERVE_{key.upper()}", "file": "modelserve.toml", "flag": "--"}[place]
    assert sentence.startswith(f"{key} ")
    assert origin in sentence
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("prot = 1", "prot", "did you mean port?"),
        ("grace-s = 1", "grace-s", "did you mean grace_s?"),
        ("PORT = 1", "PORT", "did you mean port?"),
        ("zzz = 1", "zzz", "known are host, port"),
        ("[deployment.digits]\nworkers = 2", "deployment", "did you mean deployments?"),
        ("[modelserve]\nport = 1", "modelserve", "is no table"),
    ],
)
def test_an_unknown_key_of_the_file_is_an_error(tmp_path: Path, text: str, key: str, hint: str) -> None:
    _toml(tmp_path, text)
    with pytest.raises(SettingsError, match=r"modelserve\.toml") as caught:
        load_settings({}, {})
    assert key in caught.value.message
    assert hint in caught.value.message


def test_an_unknown_variable_is_an_error_that_does_not_tell_its_value() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({}, {"MODELSERVE_WORKER": "secret"})
    assert "MODELSERVE_WORKER in the environment" in caught.value.message
    assert "did you mean workers?" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("name", ["MODELSERVE_", "MODELSERVE_port", "MODELSERVE_Port"])
def test_a_variable_that_is_not_written_in_capitals_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({}, {name: "1"})


def test_an_unknown_argument_from_python_is_an_error() -> None:
    with pytest.raises(SettingsError, match="did you mean port"):
        load_settings({"ports": 1}, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"port = ", "is not valid TOML"),
        (b"port = 1\nport = 2", "is not valid TOML"),
        (b"title = '\xff'", "is not UTF-8 at byte 9"),
        (b"x = " + b"[" * 100_000, "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings({}, {}, path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml cannot be read: No such file"):
        load_settings({}, {}, tmp_path / "no.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({}, {"MODELSERVE_CONFIG": str(tmp_path)})


def test_every_field_has_a_help_and_a_default_that_it_would_accept() -> None:
    for field in FIELDS:
        assert field.help.endswith((".", "such as cuda:0,2.")), field.name
        assert getattr(load_settings({field.name: field.default}, {}), field.name) == field.default
