"""What a server sends lands where it belongs, whatever the server calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from modelserve.cli.arguments import WrongUse
from modelserve.cli.downloads import fetch_artifacts, save_body
from modelserve.cli.remote import Unreachable
from modelserve.cli.remote_jobs import RemoteJobs
from modelserve.errors import Reported
from tests.cli.answering import answering, drop, serving


class Keeping:
    """Has kept one file of a name, and drops the connection in its middle where ``is_cut``."""

    def __init__(self, name: str, *, is_cut: bool = False) -> None:
        self._name = name
        self._is_cut = is_cut

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/artifacts"):
            return web.json_response([{"name": self._name, "size": 4, "media_type": "text/plain"}])
        if not self._is_cut:
            return web.Response(text="kept")
        response = web.StreamResponse(headers={"Content-Length": "4"})
        await response.prepare(request)
        await response.write(b"ke")
        return await drop(request)


async def test_artifacts_go_below_the_folder_under_their_names(tmp_path: Path) -> None:
    async with serving(GET=Keeping("plots/a b.txt").answer) as remote:
        await fetch_artifacts(RemoteJobs(remote, "toy"), "1", str(tmp_path / "new"))
    assert (tmp_path / "new" / "plots" / "a b.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "", ".", "a\0b"])
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    async with serving(GET=Keeping(name).answer) as remote:
        with pytest.raises(Reported, match="is no name of a file"):
            await fetch_artifacts(RemoteJobs(remote, "toy"), "1", str(tmp_path / "folder"))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


async def test_what_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    async with serving(GET=Keeping("x", is_cut=True).answer) as remote:
        with pytest.raises(Unreachable):
            await fetch_artifacts(RemoteJobs(remote, "toy"), "1", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


async def test_a_link_that_was_written_through_stays(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    async with serving(GET=Keeping("x", is_cut=True).answer) as remote:
        with pytest.raises(Unreachable):
            await fetch_artifacts(RemoteJobs(remote, "toy"), "1", str(tmp_path))
    assert (tmp_path / "x").is_symlink()


async def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async with serving(GET=answering(200, "text")) as remote, remote.ask("GET", "/") as response:
        with pytest.raises(WrongUse, match=r"cannot be written: Is a directory\."):
            await save_body(response, tmp_path)
