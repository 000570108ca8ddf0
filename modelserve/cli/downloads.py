"""What a server sends, into files: a result, the artifacts of a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import aiohttp
import click

from modelserve.cli import screen
from modelserve.cli.arguments import WrongUse
from modelserve.cli.remote_jobs import RemoteJobs
from modelserve.errors import Reported

__all__ = ["fetch_artifacts", "save_body"]

PIECE_BYTES = 1024 * 1024


async def save_body(response: aiohttp.ClientResponse, path: Path) -> int:
    """Write a body to a file, piece by piece, and return its size; one that breaks off leaves no file.

    Raises:
        Unreachable: The connection broke off.
        WrongUse: The file cannot be written.
    """
    size = 0
    with _writing(path) as file:
        async for piece in response.content.iter_chunked(PIECE_BYTES):
            size += file.write(piece)
    return size


async def fetch_artifacts(jobs: RemoteJobs, uuid: str, folder: str) -> None:
    """Write every artifact of a job to a folder, under its name there, and say so on standard error.

    Raises:
        Reported: The server names a file outside of the folder.
        WrongUse: A file cannot be written.
    """
    found = await jobs.artifacts(uuid)
    for artifact in found:
        async with jobs.artifact(uuid, artifact["name"]) as response:
            await save_body(response, _within(Path(folder), artifact["name"]))
    click.echo(f"artifacts written to {folder}: {len(found)}", err=True)


def _within(folder: Path, name: str) -> Path:
    """Return where a file of a name that came from elsewhere belongs; it never leads out of the folder."""
    path = folder / name
    if ".." in path.parts or "\0" in name or not path.is_relative_to(folder) or path == folder:
        raise Reported(f"The server names an artifact {screen.clean(name)!r}, which is no name of a file.", status=502)
    return path


@contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            try:
                yield file
            except BaseException:
                if path.is_file() and not path.is_symlink():  # such as /dev/stdout
                    path.unlink()
                raise
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror}.") from error
