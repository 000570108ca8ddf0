"""A server that others can reach and that nobody needs a token for does not start; nor is any secret built in."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import modelserve as package
from modelserve.errors import SettingsError
from modelserve.listening import listen, require_clients
from modelserve.settings import Settings
from tests.cli.program import modelserve
from tests.running import Running, eventually, running

MODEL = "def predict():\n    return 1\n"

# What a scanner looks for.
SECRETS = re.compile(
    r"""ms_[0-9A-Za-z]{10}_[0-9A-Za-z]{49} | PRIVATE\ KEY-----\s*[0-9A-Za-z+/]{20} | whsec_[0-9A-Za-z+/]{24}
    | (?i: password | passwd | secret | token | api_?key) \w* \s* = \s* ["'](?!MODELSERVE_)[^"'\s]{6,}["']""",
    re.VERBOSE,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def wait_ready(server: Running) -> None:
    eventually(lambda: "ready on http://0.0.0.0:" in server.stdout or server.process.poll() is not None, within_s=40)
    assert "ready on http://0.0.0.0:" in server.stdout, server.log


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_clients_a_server_refuses_to_listen_where_others_are(host: str, model: Path) -> None:
    """K12."""
    variables = {"MODELSERVE_DATA_DIR": str(model.parent / "data")}
    done = modelserve("run", str(model), "--host", host, "--port", "0", folder=model.parent, variables=variables)
    assert (done.status, done.out) == (2, "")
    said = done.err.strip().splitlines()[-1]
    assert f"modelserve: host is {host!r}, where others can reach the server, and it has no clients" in said
    assert "modelserve clients add NAME" in said
    assert "--insecure-no-auth" in said


def test_who_says_so_may_let_everybody_in_and_is_warned(model: Path) -> None:
    """K12."""
    arguments = [str(model), "--host", "0.0.0.0", "--insecure-no-auth", "--no-train"]
    with running(arguments, folder=model.parent, wait=False) as server:
        wait_ready(server)
        assert "it has no clients: everybody may call, train and reload" in server.log


def test_with_a_client_a_server_may_listen_anywhere(model: Path) -> None:
    """K12."""
    variables = {"MODELSERVE_DATA_DIR": str(model.parent / "data")}
    assert modelserve("clients", "add", "alice", folder=model.parent, variables=variables).status == 0
    with running([str(model), "--host", "0.0.0.0", "--no-train"], folder=model.parent, wait=False) as server:
        wait_ready(server)
        assert "everybody may" not in server.log
        assert "there are clients: everybody needs a token for what is not public" in server.log


@contextlib.contextmanager
def listening_at(host: str) -> Iterator[Sequence[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(each) for each in listen(host, 0)]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1"])
def test_on_loopback_a_server_needs_no_clients(host: str) -> None:
    """K12."""
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with listening_at(host) as listening:
        require_clients(listening, Settings(host=host), has_clients=False)


def test_what_an_address_is_counts_and_not_what_it_is_called() -> None:
    """K12."""
    with listening_at("0.0.0.0") as listening, pytest.raises(SettingsError):
        require_clients(listening, Settings(host="localhost"), has_clients=False)


def test_no_secret_is_built_in() -> None:
    """K14."""
    folder = Path(package.__file__).parent
    found = {
        f"{path.name}: {match[0]}"
        for path in folder.rglob("*")
        if path.suffix in {".py", ".toml", ".json", ".yml", ".html", ".cfg"}
        for match in SECRETS.finditer(path.read_text(errors="replace"))
    }
    assert found == set()
