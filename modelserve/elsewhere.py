"""Asks another Python interpreter which models it has, since a deployment's package may be installed only there.

    find(python, ["digits"], group) --> python -c ... --> discovery.find there --> what it found, as JSON

No model is imported there either. The answer is plain data, never a pickle: the environment may be anyone's.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

import msgspec

from modelserve.errors import NoModel

__all__ = ["find"]

# How long the other interpreter may take, which reads the metadata of all its packages; seconds.
ANSWER_S = 60.0

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


def find(python: str, wanted: Sequence[str], group: str) -> list[msgspec.Raw]:
    """Return what ``discovery.find`` finds in the environment of another interpreter, as JSON of its references.

    Args:
        python: The interpreter's path.
        wanted: What to look for; every installed model where nothing is named.
        group: The entry-point group.

    Raises:
        NoModel: It has no such model, has no modelserve, or cannot be asked.
    """
    try:
        # -P: a file of the working directory must not stand in for a module of the standard library.
        done = subprocess.run(
            [python, "-P", "-c", _PROGRAM, group, *wanted],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            check=True,
        )
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except subprocess.CalledProcessError as error:
        raise NoModel(_has_no_modelserve(python), log=error.stderr.decode(errors="replace")) from error
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise NoModel(f"{shlex.quote(python)} cannot be asked for its models: {error}.") from error
    if answer.error:
        raise NoModel(f"{shlex.quote(python)} says: {answer.error}")
    return answer.found


def _has_no_modelserve(python: str) -> str:
    quoted = shlex.quote(python)
    return (
        f"{quoted} cannot tell its models: it needs this version of modelserve and Python 3.11 or later; "
        f"run {quoted} -m pip install modelserve."
    )
