"""Limits how often something may happen: calls of a client, and logins that fail.

A key has a bucket of some tokens that fills again at a rate. What is kept of it is one number, when it will be full
again, and only for as many keys as the table holds; the one that was used longest ago goes first.
"""

from __future__ import annotations

import math
import time

from modelserve.errors import TooManyRequests

__all__ = ["Buckets", "FailedLogins", "RateLimit"]

# Keys of one table. A name and an address take about 300 bytes.
MOST_KEYS = 4096

# A key comes from a client, and may be long.
_KEY_LENGTH = 100

FAILURES_A_MINUTE = 10

# After so long without a failure every bucket is full again.
FILLED_S = 60.0


class Buckets:
    """Buckets by key; all of them hold ``size`` at most and fill with ``rate`` tokens a second.

    The algorithm is the one of cells in ATM networks, "GCRA" (ITU-T I.371, annex A.1): a bucket is the time at which it
    is full, and taking from it moves that time on.
    """

    def __init__(self, rate: float, size: int, *, most_keys: int = MOST_KEYS) -> None:
        self._step_s = 1.0 / rate
        self._spare_s = (size - 1) * self._step_s
        self._most_keys = most_keys
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_s(self, key: str, now: float) -> float:
        """Return after how many seconds the bucket has a token, 0 where it has one; take none."""
        return max(0.0, self._full_at.get(key[:_KEY_LENGTH], 0.0) - now - self._spare_s)

    def take(self, key: str, now: float) -> float:
        """Take a token where there is one; else return after how many seconds there will be."""
        key = key[:_KEY_LENGTH]
        full_at = max(self._full_at.pop(key, 0.0), now)
        wait_s = max(0.0, full_at - now - self._spare_s)
        # At the end of the table, so that its beginning is what was used longest ago.
        self._full_at[key] = full_at if wait_s else full_at + self._step_s
        if len(self._full_at) > self._most_keys:
            del self._full_at[next(iter(self._full_at))]
        return wait_s


class RateLimit:
    """The calls of each client to one deployment.

    Args:
        rate: Calls per second; as many, but one at least, may come at once.
    """

    def __init__(self, rate: float) -> None:
        self._buckets = Buckets(rate, max(1, math.ceil(rate)))

    def check(self, client: str) -> None:
        """Count a call.

        Args:
            client: Its name, or its address where it has none.

        Raises:
            TooManyRequests: It is one too many.
        """
        wait_s = self._buckets.take(client, time.monotonic())
        if wait_s:
            raise TooManyRequests(
                "Too many calls in a short time; the Retry-After header says when to come back.", wait_s
            )


class FailedLogins:
    """Counts logins that fail, so many a minute: of an address, of a name, and of a name from an address.

    From an address that has failed for a name too often, that name is refused without a look at its token. The others
    are only counted: who fails for a name, or shares an address with who fails, must not keep out those who do not.

    Args:
        a_minute: How many may fail in a minute; 0 is any number.
    """

    def __init__(self, a_minute: int = FAILURES_A_MINUTE) -> None:
        self._is_counting = a_minute > 0
        self._quiet_at = 0.0
        most = max(1, a_minute)
        self._buckets = Buckets(most / 60, most, most_keys=3 * MOST_KEYS)

    def __len__(self) -> int:
        return len(self._buckets)

    def are_over(self, now: float) -> bool:
        """Tell whether the last failure is so long ago, on the monotonic clock, that none counts any more."""
        return now >= self._quiet_at

    def check(self, name: str, address: str) -> None:
        """Refuse a name that has failed from this address too often.

        Raises:
            TooManyRequests: It has.
        """
        if not self._buckets:  # nobody has failed: no request pays for those who might
            return
        wait_s = self._buckets.wait_s(_pair(name, address), time.monotonic())
        if wait_s:
            raise _too_many(wait_s)

    def count(self, name: str, address: str) -> None:
        """Note a failure.

        Raises:
            TooManyRequests: It is one too many, for the name or for the address.
        """
        if not self._is_counting:
            return
        now = time.monotonic()
        self._quiet_at = now + FILLED_S
        keys = [_pair(name, address), f"address {address}"] + ([f"name {name}"] if name else [])
        wait_s = max(self._buckets.take(key, now) for key in keys)
        if wait_s:
            raise _too_many(wait_s)


def _pair(name: str, address: str) -> str:
    return f"both {address} {name}"


def _too_many(wait_s: float) -> TooManyRequests:
    return TooManyRequests("Too many failed logins; the Retry-After header says when to try again.", wait_s)
