"""Functions of a running server that raise on order: the one way to make every step of something fail in turn.

    injection = Injection(folder, ["modelserve.frames:encode", "modelserve.runtime.lane:Lane.send"])
    with running(["chaos"], visible=[*packages, injection.visible], env=injection.env, folder=folder) as server:
        with injection.armed("modelserve.frames:encode", "MemoryError") as fired:
            ...
        assert fired()

The functions are wrapped in the server's process alone, by a ``sitecustomize`` module (tests/faults/injection) that
only such a server has on its path. A target that nothing calls by its name in its module or class does not fire, such
as a function that was bound before: assert that it has.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["Injection"]


class Injection:
    """What may be made to raise in one server.

    Args:
        folder: Where it is told what to raise; made where it is not there.
        targets: All functions that may be, as ``module:qualname``.
        into: Words in the command line of the process that is meant: by default the server, and none of its workers.
    """

    visible = Path(__file__).parent / "injection"

    def __init__(self, folder: Path, targets: Sequence[str], *, into: str = "modelserve run") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "targets").write_text("\n".join(targets))
        self.env = {"INJECTED": str(folder), "INJECTED_INTO": into}

    @contextlib.contextmanager
    def armed(
        self, target: str, error: str = "RuntimeError", *, at: int = 1, times: int = 1, after: bool = False
    ) -> Iterator[Callable[[], int]]:
        """Have a target raise while the block runs; yield what tells how often it has.

        Args:
            target: One of them.
            error: The name of a builtin exception, for an OSError with its number: ``OSError:28``.
            at: Which call raises, the first being 1.
            times: How many calls raise, from that one.
            after: Raise once the function has done its work, and not before.
        """
        (self._folder / "fired").unlink(missing_ok=True)
        told = {"target": target, "error": error, "at": at, "times": times, "after": after}
        self._write("armed", json.dumps(told))
        try:
            yield self.fired
        finally:
            self._write("armed", "")

    def fired(self) -> int:
        """Return how often the target that was armed last has raised."""
        with contextlib.suppress(FileNotFoundError):
            return len((self._folder / "fired").read_text().splitlines())
        return 0

    def _write(self, name: str, text: str) -> None:
        """Write a file at once and whole, since the server may read it at any time."""
        new = self._folder / f"{name}.new"
        new.write_text(text)
        os.replace(new, self._folder / name)
