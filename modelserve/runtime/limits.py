"""The limits that one deployment keeps: a part of its settings, in the units the runtime counts in."""

from __future__ import annotations

import msgspec

from modelserve.settings import Settings

__all__ = ["Limits", "limits_of"]

MEGABYTE = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one deployment allows; the settings table says what each means. 0 is no limit but where it says so.

    ``max_queue`` 0 lets no call wait. ``kill_cancelled`` ends the worker of a running call whose client has left.
    ``grace_s`` is how long the old workers of a reload may take to finish.
    """

    max_queue: int = 1000
    max_queue_bytes: int = 256 * MEGABYTE
    batch_wait_s: float = 0.0
    predict_timeout_s: float = 0.0
    kill_cancelled: bool = False
    restart_budget: int = 10
    max_calls: int = 0
    max_rss_bytes: int = 0
    grace_s: float = 30.0


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the settings of one deployment set."""
    return Limits(
        max_queue=settings.max_queue,
        max_queue_bytes=settings.max_queue_bytes,
        batch_wait_s=settings.batch_wait_ms / 1000,
        predict_timeout_s=settings.predict_timeout_s,
        kill_cancelled=settings.cancel_running == "kill",
        restart_budget=settings.restart_budget,
        max_calls=settings.max_calls,
        max_rss_bytes=settings.max_rss_mb * MEGABYTE,
        grace_s=settings.grace_s,
    )
