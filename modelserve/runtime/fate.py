"""What becomes of the calls of a worker that has ended: who fails, and who is run again.

Calls that the worker had not begun are as good as never sent. Of those it had begun:

- run in turn: the last one begun ran when it died, and fails; the answers to those before were lost on their way;
- a batch: nobody can say which call was the deadly one, so each is run once more, alone;
- at the same time: each ran, and each fails;
- a stream whose parts have begun to come cannot be begun anew, and fails.

Where we ended the worker ourselves, the calls it was ended for have been answered, and the others did no harm.
"""

from __future__ import annotations

from modelserve.runtime.lane import Lane
from modelserve.runtime.pending import Pending

__all__ = ["FAULTS", "MAX_DEATHS", "OURS", "fates"]

# The reasons for which a worker ends by itself.
FAULTS = frozenset({"exit", "signal", "device"})

# The reasons for which we end a worker that does its duty.
OURS = frozenset({"stopped", "recycled"})

# A call that was with so many workers when they died is not tried again: reading its arguments can be deadly too.
MAX_DEATHS = 3


def fates(lane: Lane, reason: str) -> tuple[list[Pending], list[Pending]]:
    """Return (the calls that fail, those to be run again, in order), without those that nobody waits for."""
    begun, again = lane.clear()
    failed = [pending for pending in begun if pending.stream is not None]
    begun = [pending for pending in begun if pending.stream is None]
    if reason in FAULTS:
        guilty = _guilty(lane, begun)
        failed += guilty
        begun = begun[: len(begun) - len(guilty)]
        for pending in begun:
            pending.alone = lane.batches
    again = [pending for pending in begun + again if not pending.done()]
    if reason not in OURS:
        for pending in again:
            pending.deaths += 1
        failed += [pending for pending in again if pending.deaths >= MAX_DEATHS]
        again = [pending for pending in again if pending.deaths < MAX_DEATHS]
    return [pending for pending in failed if not pending.is_settled], again


def _guilty(lane: Lane, begun: list[Pending]) -> list[Pending]:
    """Return the calls that may have been the death of the worker, and are not run again: the end of those begun."""
    if lane.is_concurrent:
        return begun
    if lane.batches and len(begun) > 1:
        return []
    return begun[-1:]
