"""The Prefer header, as RFC 7240 writes it."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from modelserve.web.preferences import prefers_async


def prefers(*lines: str) -> bool:
    return prefers_async(CIMultiDictProxy(CIMultiDict([("Prefer", line) for line in lines])))


@pytest.mark.parametrize(
    "lines",
    [
        ("respond-async",),
        ("Respond-Async",),
        (" respond-async , wait=10",),
        ("wait=10, respond-async",),
        ("respond-async; foo=bar",),
        ("return=minimal", "respond-async"),
        ('foo="a, b", respond-async',),
    ],
)
def test_a_client_that_would_rather_not_wait_is_understood(lines: tuple[str, ...]) -> None:
    assert prefers(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("",),
        ("return=minimal",),
        ("respond-asynchronously",),
        ('foo="x, respond-async, y"',),
        ('a="\\", respond-async"',),
    ],
)
def test_other_preferences_are_left(lines: tuple[str, ...]) -> None:
    assert not prefers(*lines)
