"""A server whose temporary folder is a file system of its own, small and to be mounted anew, in a namespace of its own.

It takes no root: an unprivileged user may mount in a namespace of users, where the system allows those.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.running import Running, import_path

__all__ = ["MAY_MOUNT", "Mounted", "mounted"]

MAY_MOUNT = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0

MOUNT_AND_RUN = """
mount -t tmpfs -o "size=$1" tmpfs "$2"
shift 2
exec "$@"
"""


class Mounted(Running):
    """A server that sees another file system in the place of its temporary folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        super().__init__(process, folder)
        self.mount_point = self.temp
        self.temp = Path(f"/proc/{process.pid}/root{self.mount_point}")

    def mount(self, *options: str) -> None:
        """Mount that file system with other options, such as ``ro``."""
        enter = ["nsenter", "-t", str(self.process.pid), "-U", "-m", "--preserve-credentials"]
        command = ["mount", "-o", ",".join(["remount", *options]), str(self.mount_point)]
        subprocess.run([*enter, *command], check=True)

    def fill(self) -> Path:
        """Write a file that leaves no byte free; return its path."""
        path = self.temp / "filler"
        with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        return path


@contextlib.contextmanager
def mounted(
    arguments: Sequence[str], *, folder: Path, visible: Sequence[Path], size: str, env: Mapping[str, str]
) -> Iterator[Mounted]:
    """Run a server until the block is left; ``size`` is that of the file system, such as ``1m``."""
    (folder / "tmp").mkdir(parents=True)
    own = {"PYTHONPATH": import_path(*visible), "TMPDIR": str(folder / "tmp"), "XDG_RUNTIME_DIR": ""}
    run = [sys.executable, "-m", "modelserve", "run", "--port", "0", *arguments]
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            ["unshare", "-rm", "sh", "-ec", MOUNT_AND_RUN, "sh", size, str(folder / "tmp"), *run],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **own, **env},
            cwd=folder,
            start_new_session=True,
        )
    server = Mounted(process, folder)
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()
