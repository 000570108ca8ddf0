"""The files of jobs: where they lie, what is listed, and what is kept of a request's uploads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelserve.errors import NoSpace, NotFound
from modelserve.jobs.files import JobFiles
from modelserve.messages import Call, FilePart

UUID = "0123456789abcdef0123456789abcdef"

PLACE = """
import pathlib, sys
from modelserve.jobs.files import JobFiles
print(JobFiles(pathlib.Path(sys.argv[1])).place)
"""


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path / "data")


def a_call(folder: Path, **contents: bytes) -> Call:
    """Return a call with uploads, as the door leaves them in a request's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for name, content in contents.items():
        path = folder / f"{name}.bin"
        path.write_bytes(content)
        parts.append(FilePart(name, str(path), "image/png", "photo.png", len(content)))
    return Call(request_id="r", query="x=1", files=parts)


def test_a_data_folder_keeps_its_id(files: JobFiles, tmp_path: Path) -> None:
    assert len(files.place) == 32
    assert JobFiles(tmp_path / "data").place == files.place
    assert JobFiles(tmp_path / "other").place != files.place


def test_servers_that_start_at_the_same_time_have_one_id(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PLACE, str(tmp_path / "data")]
    with ThreadPoolExecutor(4) as threads:
        places = set(threads.map(lambda _: subprocess.check_output(command), range(4)))
    assert len(places) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["id"]


def test_a_path_of_a_job_makes_nothing(files: JobFiles, tmp_path: Path) -> None:
    paths = {files.log(UUID), files.artifacts(UUID), files.uploads(UUID), files.output(UUID), files.result(UUID)}
    assert {path.parent for path in paths} == {files.folder(UUID)}
    assert len(paths) == 5
    assert not (tmp_path / "data").exists()
    assert files.kept() == []


def test_paths_do_not_depend_on_the_working_folder(tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    files = JobFiles(Path("data"))
    os.chdir(before)
    assert files.folder(UUID) == tmp_path / "data" / "jobs" / UUID


@pytest.mark.parametrize("wrong", ["", "..", "../../etc", UUID[:-1], UUID.upper() + "/", f"{UUID}\n"])
def test_what_is_no_id_of_a_job_names_no_folder(files: JobFiles, wrong: str) -> None:
    with pytest.raises(NotFound):
        files.folder(wrong)


def test_a_jobs_folder_is_for_this_user_alone_and_goes_whole(files: JobFiles) -> None:
    folder = files.make(UUID)
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    files.log(UUID).write_text("epoch 1")
    assert files.make(UUID) == folder
    assert files.kept() == [UUID]
    files.remove(UUID)
    assert not folder.exists()
    files.remove(UUID)


def test_uploads_are_kept_until_they_are_removed(files: JobFiles, tmp_path: Path) -> None:
    """H21."""
    call = a_call(tmp_path / "call", one=b"1", two=b"22")
    kept = files.keep_uploads(UUID, call)
    assert [Path(part.path).read_bytes() for part in kept.files] == [b"1", b"22"]
    assert {Path(part.path).parent for part in kept.files} == {files.uploads(UUID)}
    assert [(part.name, part.filename) for part in kept.files] == [("one", "photo.png"), ("two", "photo.png")]
    assert (kept.request_id, kept.query) == ("r", "x=1")
    assert list((tmp_path / "call").iterdir()) == []
    files.remove_uploads(UUID)
    assert not files.uploads(UUID).exists()
    assert files.folder(UUID).exists()


def test_uploads_of_one_name_do_not_overwrite_each_other(files: JobFiles, tmp_path: Path) -> None:
    one, two = a_call(tmp_path / "a", x=b"1"), a_call(tmp_path / "b", x=b"2")
    kept = files.keep_uploads(UUID, Call(files=[*one.files, *two.files]))
    assert [Path(part.path).read_bytes() for part in kept.files] == [b"1", b"2"]


def test_a_call_without_files_makes_no_folder(files: JobFiles) -> None:
    call = Call(body=b"{}")
    assert files.keep_uploads(UUID, call) is call
    assert files.kept() == []


def test_uploads_of_which_one_cannot_be_kept_are_not_kept_at_all(files: JobFiles, tmp_path: Path) -> None:
    """H21."""
    call = a_call(tmp_path / "call", one=b"1")
    call.files.append(FilePart("gone", str(tmp_path / "gone"), "", "", 1))
    with pytest.raises(FileNotFoundError):
        files.keep_uploads(UUID, call)
    assert not files.uploads(UUID).exists()


def test_uploads_for_which_there_is_no_room_are_refused(files: JobFiles, tmp_path: Path) -> None:
    """H12: a file is moved from one file system to another, and there to the device that is always full."""
    files.make(UUID)
    files.uploads(UUID).mkdir()
    (files.uploads(UUID) / "0-one.bin").symlink_to("/dev/full")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, pytest.raises(NoSpace) as caught:
        files.keep_uploads(UUID, a_call(Path(folder), one=b"x" * 100_000))
    assert str(tmp_path) not in caught.value.message
    assert not files.uploads(UUID).exists()


def test_all_that_a_job_leaves_is_on_the_disk_before_it_is_told_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y15: what is no file of the job, such as a link or a pipe, is neither waited for nor followed."""
    files, uuid, settled = JobFiles(tmp_path), "0" * 32, set[Path]()
    fsync = os.fsync

    def noted(end: int) -> None:
        settled.add(Path(os.readlink(f"/proc/self/fd/{end}")))
        fsync(end)

    monkeypatch.setattr(os, "fsync", noted)
    folder = files.make(uuid)
    assert {folder, folder.parent, tmp_path} <= settled
    settled.clear()
    files.keep_output(uuid, b"1")
    files.result(uuid).write_bytes(b"2")
    (files.artifacts(uuid) / "deep").mkdir()
    weights = files.artifacts(uuid) / "deep" / "weights"
    weights.write_bytes(b"3")
    os.mkfifo(files.artifacts(uuid) / "pipe")
    (files.artifacts(uuid) / "link").symlink_to(tmp_path)
    files.settle(uuid)
    kept = {files.output(uuid), files.result(uuid), weights, weights.parent, files.artifacts(uuid), folder}
    assert settled == kept


def test_many_files_are_written_to_the_disk_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y15: a hundred thousand of them would take minutes one by one."""
    files, synced = JobFiles(tmp_path), list[int]()
    fsync = os.fsync

    def noted(end: int) -> None:
        synced.append(end)
        fsync(end)

    files.make(UUID)
    for number in range(1000):
        (files.artifacts(UUID) / str(number)).touch()
    monkeypatch.setattr(os, "fsync", noted)
    files.settle(UUID)
    assert len(synced) < 200


def test_folders_of_any_depth_are_no_trouble(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    files.make(UUID)
    end = os.open(files.artifacts(UUID), os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=end)
        end, above = os.open("d", os.O_RDONLY, dir_fd=end), end
        os.close(above)
    os.close(end)
    files.settle(UUID)
    subprocess.run(["rm", "-rf", files.artifacts(UUID)], check=True)  # what pytest removes with is not made for this
