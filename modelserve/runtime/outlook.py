"""Says, while a deployment has no worker, which calls one will come too late for: they are refused at once.

    the pause before the next start + as long as the last start took = until a worker is warm
    more than the call's deadline leaves, or than it is sensible to wait                          -> refused, 503

Where one worker after the other dies without a single answer, each call that waits is taken for one more death, so who
waits behind many of them does not wait for all of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelserve.runtime.pending import Pending
from modelserve.runtime.queue import Queue
from modelserve.runtime.slot import Slot

__all__ = ["LOOK_S", "Outlook"]

# How long a call without a deadline may wait for a worker: where one has died, where they keep dying young, and where
# they do so without an answer.
PATIENT_S = 30.0
DYING_S = 10.0
BARREN_S = 5.0

# So many deaths in a row are no accident.
IN_A_ROW = 3

# How often those that wait are looked at while there is no worker.
LOOK_S = 1.0


class Outlook:
    """When a deployment without a worker will have one again.

    Args:
        slots: The places of its workers.
        queue: Where calls wait.
    """

    def __init__(self, slots: Sequence[Slot], queue: Queue) -> None:
        self._slots = slots
        self._queue = queue
        self._barren = 0

    def died(self, answered_calls: int) -> None:
        """A worker has died that had answered so many calls."""
        self._barren = 0 if answered_calls else self._barren + 1

    def is_hopeless(self, left_s: float = math.inf) -> bool:
        """Tell whether a call that comes now would wait too long: for more than so many seconds, if need be."""
        return self._due_s(self._queue.calls) > min(left_s, self._patience_s())

    def late(self, now_s: float) -> list[Pending]:
        """Return the waiting calls for which a worker will come too late.

        They have waited since the first time that they were found waiting here.
        """
        patience_s, found = self._patience_s(), []
        for place, pending in enumerate(self._queue.waiting()):
            pending.since = pending.since or now_s
            left_s = pending.call.deadline - now_s if pending.call.deadline else math.inf
            if self._due_s(place) > min(left_s, patience_s - (now_s - pending.since)):
                found.append(pending)
        return found

    def _due_s(self, place: int) -> float:
        """Return in how many seconds a worker will be there for the call in this place of the queue."""
        first_s = min(slot.due_s() for slot in self._slots)
        return first_s + place * self._slots[0].start_s if self._is_barren else first_s

    @property
    def _is_barren(self) -> bool:
        return self._barren >= IN_A_ROW

    def _patience_s(self) -> float:
        if self._is_barren:
            return BARREN_S
        return DYING_S if max(slot.early_deaths for slot in self._slots) > IN_A_ROW else PATIENT_S
