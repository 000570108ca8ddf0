"""The traceback of a model's exception as its author reads it: their own frames, without ours around them.

exception --> author_traceback(error) --> the text for logs: what the author and their libraries ran
          --> author_summary(error) --> KeyError: 'k' (/srv/model.py, line 5: self.size = {}["k"])
"""

from __future__ import annotations

import os
import re
import traceback

from modelserve.errors import ModelserveError

__all__ = ["author_summary", "author_traceback"]

# The import system has frames of its own between a model's "import" and the module that it names.
_AROUND = (os.path.dirname(os.path.abspath(__file__)) + os.sep, "<frozen importlib")

# Where libraries lie; a model that is installed lies there as well.
_LIBRARIES = re.compile(rf"^{re.escape(os.path.dirname(os.__file__))}/|/(site|dist)-packages/")

# Of a line of code so much is shown in a summary.
_LINE_LIMIT = 100


def author_traceback(error: BaseException) -> str:
    """Return the traceback of an exception and of its causes, without our own frames.

    One that has no other frames keeps them, but for errors of ``modelserve.errors``, whose sentence says what is wrong.

    Raises:
        BaseException: Whatever the exception's own class raises when it is read.
    """
    return "".join(_told(error).format())


def author_summary(error: BaseException) -> str:
    """Return an exception in one line, with the file, the line and the code where the author's own code has it.

    Raises:
        BaseException: Whatever the exception's own class raises when it is read.
    """
    told = _told(error)
    last = list(told.format_exception_only())[-1].strip()
    place = _place(told)
    return f"{last} ({place})" if place else last


def _told(error: BaseException) -> traceback.TracebackException:
    told = traceback.TracebackException.from_exception(error)
    waiting, seen = [told], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        frames = [frame for frame in each.stack if not frame.filename.startswith(_AROUND)]
        if frames or _says_itself(each):
            each.stack[:] = frames
        waiting += [other for other in (each.__cause__, each.__context__, *(each.exceptions or ())) if other]
    return told


def _says_itself(told: traceback.TracebackException) -> bool:
    """Tell whether an exception needs no frame: an error of ours, or a mistake in a file that could not be read."""
    kind = told.exc_type
    return kind is not None and issubclass(kind, ModelserveError | SyntaxError)


def _place(told: traceback.TracebackException) -> str:
    if told.exc_type is not None and issubclass(told.exc_type, SyntaxError) and told.filename and told.lineno:
        return _shown(told.filename, int(told.lineno), told.text or "")
    frames = [frame for frame in told.stack if not frame.filename.startswith(_AROUND)]
    own = [frame for frame in frames if not _LIBRARIES.search(frame.filename)] or frames
    if own:
        return _shown(own[-1].filename, own[-1].lineno or 0, own[-1].line or "")
    return _place(told.__cause__) if told.__cause__ else ""


def _shown(file: str, number: int, line: str) -> str:
    code = line.strip()
    code = code if len(code) <= _LINE_LIMIT else code[: _LINE_LIMIT - 3] + "..."
    return f"{file}, line {number}: {code}" if code else f"{file}, line {number}"
