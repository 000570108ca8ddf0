"""TLS with real certificates: over real connections, renewed in a running server, and refused where they are wrong."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserve.certificate import Certificate, find_certificate
from modelserve.errors import SettingsError
from modelserve.settings import Settings, load_settings
from tests.authority import Authority, Files
from tests.running import Running, eventually, running
from tests.web import telling

READY = re.compile(r"ready on https://127\.0\.0\.1:(\d+)")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> Files:
    return authority.issue("localhost", "127.0.0.1")


def ready_port(server: Running) -> int:
    found = READY.search(server.stdout)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def server(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that speaks https; ``port`` is set."""
    tls = ["--tls-cert", str(files.cert), "--tls-key", str(files.key), "--header-timeout-s", "20"]
    folder = tmp_path_factory.mktemp("tls")
    with running([f"{telling.__file__}:Telling", *tls], folder=folder, wait=False) as server:
        server.port = eventually(lambda: ready_port(server), within_s=60)
        yield server


def connect(server: Running, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    connection.connect()
    return connection


def serial(server: Running, context: ssl.SSLContext) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    connection = connect(server, context)
    try:
        shown = connection.sock.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])
    finally:
        connection.close()


def test_calls_go_over_tls_that_a_client_can_verify(server: Running, authority: Authority) -> None:
    connection = connect(server, authority.client_context())
    assert connection.sock.version() in ("TLSv1.2", "TLSv1.3")
    body = json.dumps({}).encode()
    for _ in range(2):
        connection.request("POST", "/v2/models/telling/predict/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    connection.close()


def test_a_file_is_sent_encrypted_and_whole(server: Running, authority: Authority) -> None:
    query = "answer=output_file&accept=application/octet-stream&x=20"
    with contextlib.closing(connect(server, authority.client_context())) as connection:
        for _ in range(2):
            connection.request("POST", f"/v2/models/telling/predict/?{query}")
            response = connection.getresponse()
            assert response.status == 200
            assert response.read() == b"0123456789" * 2_000_000


def test_a_page_of_the_https_origin_may_call(server: Running, authority: Authority) -> None:
    """L01."""
    connection = connect(server, authority.client_context())
    headers = {"Content-Type": "application/json", "Origin": f"https://127.0.0.1:{server.port}"}
    connection.request("POST", "/v2/models/telling/predict/", b"{}", headers)
    assert connection.getresponse().status == 200
    connection.close()


def test_old_versions_of_tls_are_refused(server: Running, authority: Authority) -> None:
    context = authority.client_context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, context)


def test_plain_http_on_the_port_gets_no_answer_and_leaves_the_server_well(
    server: Running, authority: Authority
) -> None:
    """E12."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/healthz")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()
    connect(server, authority.client_context()).close()
    assert "Traceback" not in server.log


def test_a_new_certificate_is_taken_over_on_sighup_and_a_wrong_one_is_not(
    server: Running, authority: Authority, files: Files
) -> None:
    context = authority.client_context()
    old = serial(server, context)
    open_before = connect(server, context)
    authority.issue("localhost", "127.0.0.1", into=files)
    os.kill(server.process.pid, signal.SIGHUP)
    eventually(lambda: serial(server, context) != old, within_s=30)
    new = serial(server, context)
    files.cert.write_text("no certificate")
    os.kill(server.process.pid, signal.SIGHUP)
    eventually(lambda: "The old certificate stays." in server.log, within_s=30)
    assert serial(server, context) == new
    open_before.request("GET", "/healthz")
    assert open_before.getresponse().status == 200
    open_before.close()


def refused(cert: Path, key: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        Certificate(str(cert), str(key))
    return caught.value.message


@pytest.mark.parametrize(("given", "missing"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_one_file_without_the_other_is_refused(given: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{given} is given, but {missing} is not"):
        find_certificate(load_settings({given: "/etc/some.pem"}, {}))


def test_without_files_there_is_no_certificate() -> None:
    assert find_certificate(Settings()) is None


def test_files_that_are_missing_or_hold_something_else_are_named(authority: Authority, tmp_path: Path) -> None:
    good = authority.issue("localhost", file="good")
    empty = tmp_path / "empty.pem"
    empty.touch()
    missing = tmp_path / "missing.pem"
    assert refused(missing, good.key) == f"tls_cert is {missing}, which cannot be read: No such file or directory."
    assert refused(good.cert, missing).startswith(f"tls_key is {missing}, which cannot be read")
    assert refused(empty, good.key) == f"tls_cert {empty} holds no certificate in PEM."
    assert (
        refused(good.cert, empty) == f"tls_key {empty} holds no private key in PEM that can be read without a password."
    )


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    one, other = authority.issue("localhost", file="one"), authority.issue("localhost", file="other")
    assert (
        refused(one.cert, other.key) == f"tls_key {other.key} is not the key of the certificate in tls_cert {one.cert}."
    )


@pytest.mark.parametrize(("days", "starts_in_days", "why"), [(-2, 0, "has expired"), (9, 3, "is not yet valid")])
def test_a_certificate_out_of_its_time_is_refused(
    authority: Authority, days: float, starts_in_days: float, why: str
) -> None:
    files = authority.issue("localhost", file="late", days=days, starts_in_days=starts_in_days)
    assert why in refused(files.cert, files.key)


@pytest.mark.parametrize(("days", "level"), [(5, "WARNING"), (60, "INFO")])
def test_the_end_of_a_certificate_is_told_and_warned_of(
    authority: Authority, days: float, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue("localhost", file="soon", days=days)
    with caplog.at_level("INFO"):
        Certificate(str(files.cert), str(files.key))
    assert [record.levelname for record in caplog.records] == [level]
    assert f"another {days - 1} days" in caplog.text
