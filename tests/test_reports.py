"""What a test may log or print: its report comes through whatever that is."""

from __future__ import annotations

import logging

import pytest


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb"])
def test_text_that_no_encoding_writes_may_be_logged_and_printed(text: str) -> None:
    logging.getLogger("modelserve.workers").warning("%s", text)
    print(text)  # noqa: T201
