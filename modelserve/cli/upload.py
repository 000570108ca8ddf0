"""What a call sends as the body of an HTTP request."""

from __future__ import annotations

import contextlib

import aiohttp

from modelserve.messages import Call

__all__ = ["form_of"]


def form_of(call: Call, files: contextlib.ExitStack) -> bytes | aiohttp.FormData | None:
    """Return the body of a call: its bytes, or a form whose files are read while they are sent; None for no body.

    Args:
        call: As ``CallBuilder`` makes it.
        files: Closes the files.
    """
    if call.body or not (call.form or call.files):
        return call.body or None
    form = aiohttp.FormData(default_to_multipart=True, quote_fields=False)
    for name, text in call.form:
        form.add_field(name, text)
    for file in call.files:
        opened = files.enter_context(open(file.path, "rb"))  # noqa: SIM115 - the stack closes it
        form.add_field(file.name, opened, filename=file.filename, content_type=file.content_type)
    return form
