"""Folders that a model fills so that they are hard to remove: nothing stays, and no start fails for it."""

from __future__ import annotations

from pathlib import Path

from tests.faults.told import counted
from tests.running import eventually, multipart, running

# Deeper than Python calls functions.
DEPTH = 1500

HOSTILE = f'''
"""Makes folders in folders, beside a file that came with the call or in its own temporary folder."""

import os
import tempfile

from modelserve.v2 import fields


class Hostile:
    def get_predict_args(self):
        return {{
            "exits": fields.Boolean(load_default=False),
            "file": fields.Field(load_default=None, metadata={{"type": "file", "location": "form"}}),
        }}

    def predict(self, exits, file):
        folder = os.open(os.path.dirname(file.filename) if file else tempfile.gettempdir(), os.O_RDONLY)
        for _ in range({DEPTH}):
            os.mkdir("below", dir_fd=folder)
            inner = os.open("below", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(folder)
        if exits:
            os._exit(3)
        return "filled"
'''


def test_folders_too_deep_for_a_recursion_are_removed(tmp_path: Path) -> None:
    """Y26. Beside an upload, in the folder of a worker that dies, and what a killed server left."""
    (tmp_path / "hostile.py").write_text(HOSTILE)
    with running(["hostile.py:Hostile"], folder=tmp_path) as server:
        body, kind = multipart({}, {"file": ("a.txt", b"text", "text/plain")})
        reply = server.request("POST", "/v2/models/hostile/predict/", body, {"Content-Type": kind})
        assert reply.json()["predictions"] == "filled"
        eventually(lambda: not server.uploads())
        eventually(lambda: counted(server, "modelserve_held_bytes", what="files") == 0)
        (dead,) = server.temp.glob("modelserve-run-*/[0-9]*")
        assert server.predict("hostile", {"exits": True}).status == 500
        eventually(lambda: not dead.exists())
        assert counted(server, "modelserve_internal_failures_total", part="removing") == 0
        eventually(lambda: server.predict("hostile", {}).status == 200)
        (left,) = server.temp.glob("modelserve-run-*")
        server.process.kill()
    with running(["hostile.py:Hostile"], folder=tmp_path) as server:
        assert not left.exists()
        assert server.predict("hostile", {}).status == 200
        assert server.terminate(within_s=30) == 0
        assert not list(server.temp.glob("modelserve-run-*"))
