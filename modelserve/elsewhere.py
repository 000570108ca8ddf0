"""Asks another Python interpreter which models it has, since a deployment's package may be installed only there.

    find(python, ["digits"], group) --> python -c ... --> discovery.find there --> what it found, as JSON

No model is imported there either. The answer is plain data, never a pickle: the environment may be anyone's.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence

import msgspec

from modelserve.errors import NoModel

__all__ = ["find"]

# How long the other interpreter may take, which reads the metadata of all its packages; seconds.
ANSWER_S = 60.0

# While it is waited for, this often somebody may say that the answer is not wanted any more; seconds.
ASK_AGAIN_S = 0.2

_PROGRAM = """
import sys
import msgspec
from modelserve import discovery, errors
try:
    answer = {"found": discovery.find(sys.argv[2:], sys.argv[1])}
except errors.StartError as error:
    answer = {"error": error.message}
sys.stdout.buffer.write(msgspec.json.encode(answer))
"""


class _Answer(msgspec.Struct):
    found: list[msgspec.Raw] = []
    error: str = ""


def find(
    python: str, wanted: Sequence[str], group: str, *, is_awaited: Callable[[], bool] = lambda: True
) -> list[msgspec.Raw]:
    """Return what ``discovery.find`` finds in the environment of another interpreter, as JSON of its references.

    Args:
        python: The interpreter's path.
        wanted: What to look for; every installed model where nothing is named.
        group: The entry-point group.
        is_awaited: Tells whether anybody still waits; as soon as not, the interpreter is ended.

    Raises:
        NoModel: It has no such model, has no modelserve, or cannot be asked.
    """
    try:
        # -P: a file of the working directory must not stand in for a module of the standard library.
        output = _run([python, "-P", "-c", _PROGRAM, group, *wanted], is_awaited)
        answer = msgspec.json.decode(output, type=_Answer)
    except subprocess.CalledProcessError as error:
        raise NoModel(_has_no_modelserve(python), log=error.stderr.decode(errors="replace")) from error
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise NoModel(f"{shlex.quote(python)} cannot be asked for its models: {error}.") from error
    if answer.error:
        raise NoModel(f"{shlex.quote(python)} says: {answer.error}")
    return answer.found


def _run(command: list[str], is_awaited: Callable[[], bool]) -> bytes:
    """Return what a command writes; whatever ends the waiting for it ends it too."""
    deadline = time.monotonic() + ANSWER_S
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=pipe) as process:
        try:
            output, errors = _communicate(process, deadline, is_awaited)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return output


def _communicate(
    process: subprocess.Popen[bytes], deadline: float, is_awaited: Callable[[], bool]
) -> tuple[bytes, bytes]:
    while True:
        try:
            return process.communicate(timeout=ASK_AGAIN_S)
        except subprocess.TimeoutExpired as error:
            if time.monotonic() > deadline or not is_awaited():
                raise subprocess.TimeoutExpired(process.args, ANSWER_S) from error


def _has_no_modelserve(python: str) -> str:
    quoted = shlex.quote(python)
    return (
        f"{quoted} cannot tell its models: it needs this version of modelserve and Python 3.11 or later; "
        f"run {quoted} -m pip install modelserve."
    )
