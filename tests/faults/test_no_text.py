"""Bytes that are no UTF-8, wherever a request has text: X1. One of them cost a worker once, and two the deployment."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.raw import read_all
from tests.faults.told import counted, shown
from tests.running import Running, eventually, running

MODEL = """
from modelserve.v2 import fields

def get_metadata():
    return {"name": "texts", "description": "Takes text from everywhere."}

def get_predict_args():
    return {
        "key": fields.Str(load_default="", data_key="X-Key", metadata={"location": "headers"}),
        "file": fields.File(load_default=None),
        "text": fields.Str(load_default=""),
        "mode": fields.Str(load_default=""),
    }

def predict(key, file, text, mode):
    return {"key": key, "text": text, "filename": "" if file is None else file.original_filename}

get_train_args = get_predict_args

def train(**values):
    return {}
"""

PREDICT, TRAIN = b"POST /v2/models/texts/predict/", b"POST /v2/models/texts/train/"
JSON = b"Content-Type: application/json"
LATER = b"Prefer: respond-async"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "texts.py").write_text(MODEL)
    with running([str(folder / "texts.py")], folder=folder) as server, aftermath(server, "texts", jobs=True):
        yield server
        eventually(lambda: not [worker for worker in shown(server, "texts")["workers"] if worker["calls"]])


def ask(server: Running, *lines: bytes, body: bytes = b"{}", line: bytes = PREDICT) -> bytes:
    head = [line + b" HTTP/1.1", b"Host: localhost", b"Connection: close", b"Content-Length: %d" % len(body), *lines]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
        return read_all(connection)


def send_form(server: Running, head: bytes, line: bytes = PREDICT) -> bytes:
    body = b"--b\r\n" + head + b"\r\n\r\nx\r\n--b--\r\n"
    return ask(server, b"Content-Type: multipart/form-data; boundary=b", body=body, line=line)


@pytest.mark.parametrize("line", [PREDICT, TRAIN], ids=["predict", "train"])
@pytest.mark.parametrize(
    ("lines", "named"),
    [
        pytest.param([JSON, b"Accept: \xff"], b"Accept", id="Accept"),
        pytest.param([JSON, b"Accept: image/png, \xff"], b"Accept", id="in Accept"),
        pytest.param([b"Content-Type: \xff"], b"Content-Type", id="Content-Type"),
        pytest.param([b"Content-Type: application/json; x=\xc3"], b"Content-Type", id="half a letter"),
        pytest.param([b"Content-Type: multipart/form-data; boundary=\xff"], b"Content-Type", id="boundary"),
        pytest.param([JSON, b"X-Key: \xed\xa0\x80"], b"x-key", id="a header that the model reads"),
        pytest.param([JSON, LATER, b"Accept: \xff"], b"Accept", id="in the background"),
    ],
)
def test_a_header_with_a_byte_that_is_no_utf_8_is_a_400_that_names_it(
    server: Running, lines: list[bytes], named: bytes, line: bytes
) -> None:
    """X1."""
    answer = ask(server, *lines, line=line)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"The header %b has bytes that are no UTF-8" % named in answer


@pytest.mark.parametrize("line", [PREDICT, TRAIN], ids=["predict", "train"])
@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b'Content-Disposition: form-data; name="\xff"', b"a name with bytes that are no UTF-8"),
        (b'Content-Disposition: form-data; name="\xff"; filename="a"', b"a name with bytes that are no UTF-8"),
        (
            b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: \xff',
            b"The Content-Type of the file 'file' has bytes that are no UTF-8",
        ),
    ],
    ids=["a field's name", "a file's name", "a file's type"],
)
def test_a_part_of_a_form_with_a_byte_that_is_no_utf_8_is_a_400_that_says_where(
    server: Running, head: bytes, words: bytes, line: bytes
) -> None:
    """X1."""
    answer = send_form(server, head, line)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert words in answer


@pytest.mark.parametrize("target", [b"/v2/models/texts/predict/?text=\xff", b"/v2/models/te\xff/predict/"])
def test_a_path_or_query_with_a_byte_that_is_no_utf_8_is_a_400(server: Running, target: bytes) -> None:
    """X1."""
    answer = ask(server, JSON, line=b"POST " + target)
    assert b" 400 " in answer.splitlines()[0], answer


def test_a_byte_that_is_no_utf_8_percent_encoded_in_a_path_is_a_name_that_there_is_not(server: Running) -> None:
    """X1."""
    assert ask(server, JSON, line=b"POST /v2/models/te%ff/predict/").startswith(b"HTTP/1.1 404 ")
    assert ask(server, JSON, line=b"POST " + b"/v2/models/texts/predict/?text=%ff").startswith(b"HTTP/1.1 400 ")


def test_a_file_whose_name_is_no_utf_8_is_taken_and_its_name_shown(server: Running) -> None:
    """X1."""
    answer = send_form(server, b'Content-Disposition: form-data; name="file"; filename="a\xff.png"')
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert '"filename":"a\ufffd.png"'.encode() in answer


@pytest.mark.parametrize("header", [b"User-Agent", b"traceparent", b"X-Request-ID", b"Cache-Control", b"Referer", b"X"])
def test_a_header_that_no_worker_is_told_of_may_hold_anything(server: Running, header: bytes) -> None:
    """X1."""
    assert ask(server, JSON, header + b": \xff").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("expectation", [b"\xff", b"<script>"])
def test_an_unknown_expectation_at_no_route_is_refused_without_repeating_it(
    server: Running, expectation: bytes
) -> None:
    """X1."""
    before = counted(server, "modelserve_connections_refused_total", reason="bad_request")
    answer = ask(server, b"Expect: " + expectation, line=b"GET /nowhere")
    assert counted(server, "modelserve_connections_refused_total", reason="bad_request") == before + 1
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in answer
    assert expectation not in answer
