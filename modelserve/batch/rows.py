"""The words of a batch run: a row, and what ends a run before its last row."""

from __future__ import annotations

import msgspec

from modelserve.errors import ModelserveError
from modelserve.messages import Call, Failure

__all__ = ["NO_CALL", "BatchError", "Row", "refused", "size_of"]


class BatchError(ModelserveError):
    """A batch run cannot go on; the same command goes on from there once the cause is gone."""

    code = "batch"


class Row(msgspec.Struct, frozen=True):
    """One row of the input, as it is sent and as its line in the output begins.

    ``label`` is what the line says between its number and its answer, as JSON text that begins with a comma, or
    nothing: ``,"input":"seven.png"``. With a ``failure`` there is no call to make. The call's files are copies of its
    own, which are deleted once it is answered.
    """

    call: Call
    label: bytes = b""
    failure: Failure | None = None


# Of rows that are refused before they are sent.
NO_CALL = Call()


def refused(error: ModelserveError, label: bytes = b"") -> Row:
    """Return a row that is answered with an error without being sent."""
    fields = getattr(error, "fields", None)
    return Row(NO_CALL, label, Failure(error.status, error.code, error.message, fields))


def size_of(row: Row) -> int:
    """Return how many bytes of a row are held for it, in memory and on disk."""
    call = row.call
    return len(call.body) + sum(len(text) for _, text in call.form) + sum(part.size for part in call.files)
