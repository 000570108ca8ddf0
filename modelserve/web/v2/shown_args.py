"""The arguments of a job as its record shows them: whole, or the large ones by their beginning.

    arguments as JSON -> the same, of moderate size

The job runs with the request itself, which is kept apart from the record until the job has ended. A body may have many
megabytes, and a list shows a thousand jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelserve.exact import to_json

__all__ = ["SHOWN_BYTES", "shown_args"]

# Arguments that are no larger than this together are shown whole.
SHOWN_BYTES = 16 * 1024

# Else those that are larger than the first number alone are shown by so many characters.
LARGE_BYTES = 1024
BEGINNING = 100


def shown_args(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a job to be shown.

    >>> shown_args({"epochs": 3, "text": "x" * 20_000})["text"][96:]
    'xxxx... (20002 bytes)'
    """
    if len(to_json(args)) <= SHOWN_BYTES:
        return dict(args)
    return {name: _shown(value) for name, value in args.items()}


def _shown(value: Any) -> Any:
    data = to_json(value)
    if len(data) <= LARGE_BYTES:
        return value
    text = value if isinstance(value, str) else data[: 4 * BEGINNING].decode(errors="ignore")
    return f"{text[:BEGINNING]}... ({len(data)} bytes)"
