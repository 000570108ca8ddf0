"""One call of the chaos model, as its modes see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Asked", "Mode"]


@dataclass(frozen=True)
class Asked:
    """The arguments of one call.

    ``n`` is a number whose meaning the mode gives: seconds, megabytes, digits. None means the mode's own default.
    ``file`` is the uploaded file or None.
    """

    mode: str
    n: float | None
    text: str
    data: Any
    file: Any

    def number(self, default: float) -> float:
        """Return ``n``, or the mode's default where the call gives none."""
        return default if self.n is None else self.n


Mode = Callable[[Asked], Any]
"""What a mode is: it takes the call, and returns, raises, or never does either."""
