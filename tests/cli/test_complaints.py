"""What failed is said by the flags of a command, on lines that cannot drive the terminal."""

from __future__ import annotations

import pytest

from modelserve.cli.complaints import say_failure
from modelserve.messages import Failure


def test_fields_are_called_by_their_flags_and_nested_ones_name_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"top_k": ["Not a number."], "rows": {"0": {"x": ["Missing.", "Bad."]}}, "odd": "Only text."}
    say_failure(Failure(422, "invalid", "Not valid.", fields, "a log\x1b[31m\nof two lines\n"), {"top_k": "--top-k"})
    assert capsys.readouterr().err.splitlines() == [
        "modelserve: Not valid.",
        "  --top-k: Not a number.",
        "  rows: 0: x: Missing. Bad.",
        "  odd: Only text.",
        "a log [31m",
        "of two lines",
    ]
