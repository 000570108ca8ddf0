"""What becomes of the calls of a worker that has ended: who fails, and who is run again.

Calls that the worker had not begun are as good as never sent. Of those it had begun:

- run in turn: the last one begun ran when it died, and fails; the answers to those before were lost on their way;
- a batch: nobody can say which call was the deadly one, so each is run once more, alone;
- at the same time: each ran, and each fails;
- a stream whose parts have begun to come cannot be begun anew, and fails.

Where we ended the worker ourselves, the calls it was ended for have been answered, and the others did no harm.

Of those that are run again, a death counts only against calls that may have caused it: all of a deadly batch, or all
that were there where none had begun, since reading arguments can be deadly too. They are run alone after that.
"""

from __future__ import annotations

from modelserve.runtime.lane import Lane
from modelserve.runtime.pending import Pending

__all__ = ["FAULTS", "MAX_DEATHS", "OURS", "fates"]

# The reasons for which a worker ends by itself.
FAULTS = frozenset({"exit", "signal", "device", "broken"})

# The reasons for which we end a worker that does its duty.
OURS = frozenset({"stopped", "recycled"})

# The reasons that no call is to blame for.
BLAMELESS = OURS | {"cancelled"}

# A call that may have been the death of so many workers is not tried again.
MAX_DEATHS = 3

# Nor is one that was with so many when they died, whoever was to blame: so nothing is run again for ever.
MAX_TIMES = 10


def fates(lane: Lane, reason: str) -> tuple[list[Pending], list[Pending]]:
    """Return (the calls that fail, those to be run again, in order), without those that nobody waits for."""
    begun, unbegun = lane.clear()
    suspects = [] if begun or reason in BLAMELESS else unbegun
    failed = [pending for pending in begun if pending.stream is not None]
    begun = [pending for pending in begun if pending.stream is None]
    if reason in FAULTS:
        guilty = _guilty(lane, begun)
        failed += guilty
        begun = begun[: len(begun) - len(guilty)]
        suspects = suspects + begun if lane.batches else suspects
    _blame(suspects)
    again = [pending for pending in begun + unbegun if not pending.done()]
    if reason not in BLAMELESS:
        for pending in again:
            pending.times += 1
    failed += [pending for pending in again if _is_enough(pending)]
    again = [pending for pending in again if not _is_enough(pending)]
    return [pending for pending in failed if not pending.is_settled], again


def _blame(suspects: list[Pending]) -> None:
    for pending in suspects:
        pending.deaths += 1
        pending.alone = True


def _is_enough(pending: Pending) -> bool:
    return pending.deaths >= MAX_DEATHS or pending.times >= MAX_TIMES


def _guilty(lane: Lane, begun: list[Pending]) -> list[Pending]:
    """Return the calls that may have been the death of the worker, and are not run again: the end of those begun."""
    if lane.is_concurrent:
        return begun
    if lane.batches and len(begun) > 1:
        return []
    return begun[-1:]
