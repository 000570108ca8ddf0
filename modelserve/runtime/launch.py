"""Starts a worker's interpreter: the server's own, or that of another virtual environment.

It is a plain exec. Nothing of the server's state reaches the worker but its environment and three descriptors, so that
it does not matter which packages the other side has. Neither is the server's program run once more, as a spawn of the
standard library would.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import modelserve
from modelserve.messages import Failed
from modelserve.runtime import entry
from modelserve.runtime.boot import AddedPaths
from modelserve.runtime.interface import StartFailed, WorkerSpec
from modelserve.runtime.offspring import MARK
from modelserve.settings.sources import TOKEN_VARIABLE

__all__ = ["added_paths", "launch", "what_is_wrong"]


def launch(
    spec: WorkerSpec, descriptors: tuple[int, int, int], scratch: str, output: int = 2
) -> subprocess.Popen[bytes]:
    """Start a worker's process, the leader of a session and process group of its own.

    Args:
        spec: Which interpreter, with which environment.
        descriptors: The worker's ends of the channel and of the lifeline, and the counter's memory.
        scratch: The worker's temporary folder; whatever it starts is known by it.
        output: The descriptor for what it writes, where its spec names no file; never the server's standard output.

    Raises:
        StartFailed: There is no such interpreter.
        OSError: There is no room for another process, or the log file cannot be opened.
    """
    try:
        # Returns once the new program runs; subprocess uses vfork, so the server's size does not matter.
        with _output(spec.log_path, output) as written:
            return subprocess.Popen(
                _command(spec, descriptors),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env={**_inherited(), **spec.environment, MARK: scratch},
                pass_fds=descriptors,
                start_new_session=True,
            )
    except OSError as error:
        if not spec.python or error.filename != spec.python:
            raise
        raise StartFailed(Failed("load", _not_runnable(spec.python, error), "")) from error


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}


def added_paths() -> AddedPaths:
    """Return what this program added to its import path: the folder of a script, the working directory, or by code."""
    own = set(_own_paths())
    paths = [path or os.getcwd() for path in sys.path]
    places = [place for place, path in enumerate(paths) if path in own]
    first = places[0] if places else len(paths)
    return AddedPaths(paths[:first], [path for path in paths[first:] if path not in own])


def what_is_wrong(spec: WorkerSpec, status: int) -> str:
    """Return a sentence for the exit statuses of entry.py, "" for any other."""
    python = shlex.quote(spec.python or sys.executable)
    install = f"run {python} -m pip install modelserve=={modelserve.__version__}"
    if status == entry.NO_MODELSERVE:
        return f"{python} cannot import modelserve, for the reason that it has written to standard error: {install}."
    if status == entry.OTHER_VERSION:
        return f"{python} has another version of modelserve than the server: {install}."
    return ""


@contextlib.contextmanager
def _output(log_path: str, otherwise: int) -> Iterator[int]:
    """Give the descriptor for what a worker writes."""
    if not log_path:
        yield otherwise
        return
    # Each write goes to the end, so that nothing is lost where several processes write.
    output = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield output
    finally:
        os.close(output)


def _command(spec: WorkerSpec, descriptors: tuple[int, int, int]) -> list[str]:
    ends = ",".join(map(str, descriptors))
    if spec.python:
        return [spec.python, str(entry.__file__), spec.name, "", modelserve.__version__, ends]
    # As multiprocessing does: the options that this interpreter was started with, such as -W and -X.
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    home = os.path.dirname(os.path.dirname(os.path.abspath(modelserve.__file__)))
    return [sys.executable, *options, str(entry.__file__), spec.name, home, "", ends]


def _not_runnable(python: str, error: OSError) -> str:
    return (
        f"python is {python!r}, which cannot be run ({error.strerror}): give the path of an interpreter that has "
        f"modelserve {modelserve.__version__}, such as /path/to/venv/bin/python."
    )


def _own_paths() -> Iterator[str]:
    """Yield what an interpreter finds by itself: PYTHONPATH, the standard library, packages, and their .pth files."""
    yield from (os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)
    stdlib = sysconfig.get_path("stdlib")
    yield from (stdlib, sysconfig.get_path("platstdlib"), os.path.join(stdlib, "lib-dynload"))
    yield from (path for path in sys.path if path.endswith(".zip") and os.path.dirname(path) == os.path.dirname(stdlib))
    yield sysconfig.get_path("scripts")  # the command modelserve lies there, and so that folder comes first
    for folder in {
        *site.getsitepackages(),
        site.getusersitepackages(),
        *map(sysconfig.get_path, ("purelib", "platlib")),
    }:
        yield folder
        for file in Path(folder).glob("*.pth"):
            yield from (os.path.join(folder, line) for line in file.read_text(errors="replace").splitlines() if line)
