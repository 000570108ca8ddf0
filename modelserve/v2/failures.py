"""What a model raised, as a failure that can cross the process border.

    exception --> failure_of(error) --> Failure: status, code, a sentence for the client, a text for the log

An error of ``modelserve.errors`` or of ``aiohttp.web`` says itself what the client reads. Of any other the client reads
a fixed sentence, one where the GPU's memory was too small and one else, and the log its traceback. Neither aiohttp nor
a GPU library is loaded for this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelserve.errors import InvalidArguments, ModelserveError, OutOfMemory
from modelserve.gpu_errors import is_out_of_memory
from modelserve.messages import Failure, sendable
from modelserve.tracebacks import author_traceback

__all__ = ["MODEL_ERROR", "OUT_OF_MEMORY", "failure_of"]

MODEL_ERROR = "The model raised an exception while it handled this request."
OUT_OF_MEMORY = "The memory of the model's device was too small for this request; a smaller one may fit."

_AIOHTTP = "aiohttp.web_exceptions"


def failure_of(error: BaseException) -> Failure:
    """Return what a client and the log may know of an exception; never raises, whatever the exception is."""
    try:
        if isinstance(error, ModelserveError):
            return _on_purpose(error)
        if any(kind.__module__ == _AIOHTTP for kind in type(error).__mro__):
            return _reported(error)
        return _unexpected(error)
    except BaseException as unreadable:  # the class is the model's, and may lack or break what its base has
        unreadable.__context__ = error
        return _unexpected(unreadable)


def _on_purpose(error: ModelserveError) -> Failure:
    if not _is_refusal(error.status):
        return _unexpected(error)
    fields = _plain(error.fields) if isinstance(error, InvalidArguments) else None
    log = sendable(str(error.log)) if error.log else _log_of(error, error.status)
    return Failure(error.status, sendable(str(error.code)), sendable(str(error.message)), fields, log)


def _reported(error: Any) -> Failure:
    # aiohttp's HTTPException itself has no status but -1, and models of DEEPaaS raise it
    status = 500 if error.status == -1 else error.status
    if not _is_refusal(status):  # a redirect or a success, raised: nothing that a JSON answer could be
        return _unexpected(error)
    reason = str(error.reason)
    default = f"{error.status}: {reason}"  # what aiohttp makes of the two where the model gives no text
    text = reason if error.text in (None, "", default) else str(error.text)
    return Failure(status, "model_error", sendable(text), log=_log_of(error, status))


def _unexpected(error: BaseException) -> Failure:
    if is_out_of_memory(error):
        return Failure(OutOfMemory.status, OutOfMemory.code, OUT_OF_MEMORY, log=_traceback(error))
    return Failure(500, "model_error", MODEL_ERROR, log=_traceback(error))


def _log_of(error: BaseException, status: int) -> str:
    """Return the traceback of what is reported as a failure, "" for a refusal, which is the client's matter alone."""
    return _traceback(error) if status == 500 else ""


def _is_refusal(status: Any) -> bool:
    return type(status) is int and 400 <= status <= 599


def _plain(fields: Any) -> Any:
    """Return messages by field as plain data: a validator of the model's own may put anything into them."""
    if isinstance(fields, Mapping):
        return {sendable(str(name)): _plain(value) for name, value in fields.items()}
    if isinstance(fields, list | tuple):
        return [_plain(value) for value in fields]
    return sendable(str(fields))


def _traceback(error: BaseException) -> str:
    try:
        return sendable(author_traceback(error))
    except BaseException:  # what the traceback module reads of an exception may itself raise
        return f"{type(error).__module__}.{type(error).__qualname__} (its text cannot be shown)"
