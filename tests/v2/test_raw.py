"""Files as answers: how they are named and typed, and which are refused."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from modelserve.errors import BadAnswer
from modelserve.messages import Answer, FileAnswer
from modelserve.v2 import fields
from modelserve.v2.answers import Renderer
from modelserve.v2.files import OutputFile, UploadedFile

JSON = "application/json"
PNG = b"\x89PNG"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "chart.png"
    path.write_bytes(PNG)
    return path


def render(value: Any, media_type: str = "image/png", **options: Any) -> Answer:
    options.setdefault("media_types", (media_type,))
    schema = options.pop("schema", None)
    answer = Renderer(schema, **options).render(1, value, media_type)
    msgspec.msgpack.encode(answer)
    return answer


def sent(value: Any, media_type: str = "image/png", **options: Any) -> FileAnswer:
    answer = render(value, media_type, **options)
    assert answer.file is not None
    assert answer.body == b""
    return answer.file


def offered(value: Any, **options: Any) -> tuple[FileAnswer | None, str]:
    """Return the file of an answer and the name it may be saved under."""
    answer = render(value, **options)
    return answer.file, answer.filename


def refusal(value: Any, media_type: str = "image/png", **options: Any) -> BadAnswer:
    with pytest.raises(BadAnswer) as caught:
        render(value, media_type, **options)
    assert caught.value.log
    return caught.value


def test_a_path_is_sent_as_a_file_and_stays(picture: Path) -> None:
    assert offered(picture) == (FileAnswer(str(picture), len(PNG), delete=False), "chart.png")


def test_a_relative_path_is_the_workers(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    assert sent(Path("chart.png")).path == str(picture)


def test_an_output_file_says_its_name_and_whether_it_is_deleted(picture: Path) -> None:
    value = OutputFile(picture, original_filename="result.png", delete=True)
    assert offered(value) == (FileAnswer(str(picture), len(PNG), delete=True), "result.png")
    assert offered(OutputFile(str(picture))) == (FileAnswer(str(picture), len(PNG)), "")


def test_an_upload_may_be_given_back(picture: Path) -> None:
    upload = UploadedFile("image", str(picture), "image/png", "mine.png", len(PNG))
    assert offered(upload) == (FileAnswer(str(picture), len(PNG)), "mine.png")


def test_an_empty_file_is_sent(tmp_path: Path) -> None:
    """FAULTS C07: 0 byte."""
    (tmp_path / "empty").touch()
    assert sent(tmp_path / "empty").size == 0


def test_an_open_file_is_sent_from_its_start(picture: Path) -> None:
    file = picture.open("rb")
    file.read(2)
    assert offered(file) == (FileAnswer(str(picture), len(PNG)), "chart.png")
    assert file.closed


def test_what_was_just_written_is_sent_whole(tmp_path: Path) -> None:
    file = open(tmp_path / "new", "wb")  # noqa: SIM115  # rendering closes it
    file.write(PNG)
    assert sent(file).size == len(PNG)
    assert file.closed


def spooled() -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115  # the test closes it
    file.write(PNG)
    return file


def unnamed() -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the test closes it
    file.write(PNG)
    return file


def named() -> IO[bytes]:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # the test closes it
    file.write(PNG)
    return file


def unlinked() -> IO[bytes]:
    descriptor, path = tempfile.mkstemp()
    file = open(path, "rb")  # noqa: SIM115  # its name goes first
    os.write(descriptor, PNG)
    os.close(descriptor)
    os.unlink(path)
    return file


def buffered() -> IO[bytes]:
    file = io.BytesIO(PNG)
    file.read()
    return file


@pytest.mark.parametrize("make", [spooled, unnamed, named, unlinked, buffered])
def test_an_open_file_that_the_server_could_not_open_is_read(make: Callable[[], IO[bytes]]) -> None:
    """FAULTS C07: also one that is gone as soon as the model's work is done."""
    file = make()
    answer = render(file)
    assert (answer.body, answer.file) == (PNG, None)
    assert file.closed or make is buffered


def test_what_is_in_memory_may_have_a_name_and_be_answered_twice() -> None:
    file = io.BytesIO(PNG)
    file.name = "charts/a\r\nb.png"
    for _ in range(2):
        answer = render(file)
        assert (answer.body, answer.filename) == (PNG, "ab.png")
    assert render(PNG).filename == ""


class Unclosable(io.RawIOBase):
    def __init__(self) -> None:
        self.fails = True

    def read(self, size: int = -1) -> bytes:
        return PNG

    def close(self) -> None:
        super().close()
        if self.fails:
            self.fails = False
            raise OSError("no space left on device")


def test_a_file_that_cannot_be_closed_is_a_bad_answer() -> None:
    """FAULTS C07: what it held may not be whole."""
    assert "no space left" in refusal(Unclosable()).log


def test_an_archive_that_is_open_is_read_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(PNG)
    file = gzip.open(tmp_path / "a.gz")  # noqa: SIM115  # rendering closes it
    assert render(file).body == PNG
    assert file.closed


def test_a_symbolic_link_that_was_opened_is_sent_as_its_file(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(picture)
    assert sent(open(tmp_path / "link", "rb")).path == str(picture)  # noqa: SIM115  # rendering closes it


def make_wrong(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    return Path("/dev/null") if kind == "device" else path


@pytest.mark.timeout(5)
@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "link", "device"])
def test_only_a_regular_file_is_sent_and_nothing_waits(kind: str, tmp_path: Path) -> None:
    """FAULTS C07: the client reads no path, the log does."""
    path = make_wrong(kind, tmp_path)
    for value in (path, OutputFile(str(path))):
        error = refusal(value)
        assert str(path) not in error.message
        assert path.name in error.log


@pytest.mark.timeout(5)
def test_an_open_pipe_is_not_waited_for() -> None:
    """FAULTS C07."""
    reader, writer = os.pipe()
    file = open(reader, "rb")  # noqa: SIM115  # rendering closes it
    with open(writer, "wb"):
        assert "not a regular file" in refusal(file).log
    assert file.closed


def test_a_file_that_is_closed_or_open_for_text_is_refused(picture: Path) -> None:
    file = picture.open("rb")
    file.close()
    assert "closed" in refusal(file).log
    with picture.open() as text:
        assert "binary" in refusal(text).log
    refusal(io.StringIO("x"))
    with tempfile.NamedTemporaryFile("w+") as text:
        assert "not bytes" in refusal(text).log


class Stream(io.RawIOBase):
    """A file that cannot go back, of one read."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, size: int = -1) -> bytes:
        return self.content


class Huge(bytes):
    def __len__(self) -> int:
        return 2 << 30


def test_a_stream_that_cannot_go_back_is_read_from_where_it_is() -> None:
    assert render(Stream(PNG)).body == PNG


def test_what_is_too_large_for_memory_is_refused() -> None:
    assert "answer with its path" in refusal(Stream(Huge())).log


@pytest.mark.parametrize("path", ["a\x00b", b"/tmp/\xff", ""])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    refusal(OutputFile(path))


def test_files_of_the_workers_own_folder_are_deleted_after(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "a.png").write_bytes(PNG)
    beside = tmp_path / "scratch-not"
    beside.write_bytes(PNG)
    (tmp_path / "alias").symlink_to(scratch)
    assert sent(scratch / "a.png", scratch=str(scratch)).delete
    assert sent(scratch / "a.png", scratch=str(tmp_path / "alias")).delete
    assert not sent(beside, scratch=str(scratch)).delete
    assert sent(open(scratch / "a.png", "rb"), scratch=str(scratch)).delete  # noqa: SIM115  # rendering closes it


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a\r\nSet-Cookie: b=c", "aSet-Cookie: b=c"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.png", "x.png"),
        ("gpj\u202egnp.exe", "gpjgnp.exe"),
        ("\ud800.png", "png"),
        ("..", ""),
        ("Zürich.png", "Zürich.png"),
        ("a" * 300, "a" * 200),
    ],
)
def test_a_file_name_is_one_part_without_control_characters(name: str, clean: str, picture: Path) -> None:
    """FAULTS C10: nothing a header could be split with."""
    assert render(OutputFile(picture, original_filename=name)).filename == clean


@pytest.mark.parametrize("content_type", ["image/png\r\nX-A: b", "png", "image/", "a/b\x00", "text/html\x7f;"])
def test_a_media_type_that_could_split_a_header_is_refused(content_type: str, picture: Path) -> None:
    """FAULTS C10."""
    assert "media type" in refusal(OutputFile(picture, content_type)).message


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        (OutputFile("chart.png", "image/x-own; a=b"), "image/x-own; a=b"),
        (OutputFile("chart.png"), "image/png"),
        (OutputFile("data", original_filename="a.csv"), "text/csv"),
        (Path("data"), "application/octet-stream"),
        (Path("a.tar.gz"), "application/gzip"),
    ],
)
def test_a_model_that_declares_no_accept_sends_what_the_file_is(
    value: Any, media_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("chart.png", "data", "a.tar.gz"):
        (tmp_path / name).write_bytes(PNG)
    assert render(value, JSON).content_type == media_type


def test_a_chosen_media_type_wins_over_the_files(picture: Path) -> None:
    answer = render(OutputFile(picture, "image/jpeg"), "image/png", media_types=(JSON, "image/png"))
    assert answer.content_type == "image/png"


def test_a_file_where_json_was_chosen_is_json_and_validated(tmp_path: Path) -> None:
    """FAULTS C01; a file that would have been deleted is deleted all the same."""
    path = tmp_path / "answer.json"
    options: dict[str, Any] = {"schema": {"y": fields.Int()}}
    path.write_text('{"y": 1}')
    answer = render(OutputFile(path, delete=True), JSON, **options)
    assert (answer.content_type, answer.file) == (JSON, FileAnswer(str(path), 8, delete=True))
    path.write_text('{"y": "x"}')
    assert refusal(path, JSON, **options).log == "y: Not a valid integer."
    refusal(OutputFile(path, delete=True), JSON, **options)
    assert not path.exists()
    path.write_bytes(PNG)
    assert "not JSON" in refusal(path, JSON, media_types=(JSON, "image/png")).log
