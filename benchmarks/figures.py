"""What a run tells besides the loads: one number each, such as a start in seconds or a process in megabytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True)
class Figure:
    """One number. ``ratio`` is it over what the title compares it with, None where there is nothing of the kind."""

    name: str
    title: str
    value: float
    unit: str
    ratio: float | None = None
    digits: int = 2
