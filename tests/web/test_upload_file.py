"""A file is written while it arrives, whole and in order, and let go of however its request ends."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserve.errors import NoSpace
from modelserve.web.upload_file import GATHER_BYTES, SMALL_BYTES, UploadFile
from tests.runtime.workers import until

CHUNK = 100_000


def chunks(size: int) -> Iterator[bytes]:
    content = os.urandom(size)
    return (content[start : start + CHUNK] for start in range(0, size, CHUNK))


@pytest.mark.parametrize(
    "size", [0, 1, SMALL_BYTES - 1, SMALL_BYTES, GATHER_BYTES, GATHER_BYTES + 1, 3 * GATHER_BYTES + SMALL_BYTES]
)
async def test_what_was_written_is_in_the_file_in_order(tmp_path: Path, size: int) -> None:
    path, written = tmp_path / "file", b""
    async with UploadFile(str(path)) as file:
        for chunk in chunks(size):
            await file.write(chunk)
            written += chunk
    assert path.read_bytes() == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_request_that_ends_early_closes_its_file_once_nobody_writes_to_it(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def upload() -> None:
        async with UploadFile(str(tmp_path / "file")) as file:
            for chunk in chunks(8 * GATHER_BYTES):
                await file.write(chunk)
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(upload())
    await until(lambda: (tmp_path / "file").exists())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


@pytest.fixture
def no_room() -> Iterator[None]:
    """Let files of this process grow to half a megabyte only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (GATHER_BYTES // 2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("size", [GATHER_BYTES, 4 * GATHER_BYTES])
async def test_a_disk_that_takes_no_more_is_a_lack_of_space(tmp_path: Path, size: int) -> None:
    """I01."""

    async def upload() -> None:
        async with UploadFile(str(tmp_path / "file")) as file:
            for chunk in chunks(size):
                await file.write(chunk)

    with pytest.raises(NoSpace):
        await upload()
