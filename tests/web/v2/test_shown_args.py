"""The arguments of a job as its record shows them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from modelserve.web.v2.shown_args import SHOWN_BYTES, shown_args


@pytest.mark.parametrize("args", [{}, {"x": 1, "text": None}, {"text": "x" * (SHOWN_BYTES - 20)}])
def test_arguments_of_moderate_size_are_shown_whole(args: dict[str, Any]) -> None:
    assert shown_args(args) == args


@pytest.mark.parametrize(
    ("large", "shown"),
    [
        ("é" * 20_000, "é" * 100 + "... (40002 bytes)"),
        ([1.5] * 10_000, "[" + ("1.5," * 25)[:99] + "... (40001 bytes)"),
        ({"é" * 20_000: 1}, '{"' + "é" * 98 + "... (40006 bytes)"),
    ],
)
def test_of_large_ones_the_beginning_is_shown_and_the_others_whole(large: Any, shown: str) -> None:
    """H10."""
    args = {"epochs": 3, "large": large}
    assert shown_args(args) == {"epochs": 3, "large": shown}
    assert len(orjson.dumps(shown_args(args))) < SHOWN_BYTES
