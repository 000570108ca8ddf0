"""What a deployment says of itself to its operator, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from modelserve.runtime.dealer import Dealer
from modelserve.runtime.lane import Lane
from modelserve.runtime.memory import rss_bytes
from modelserve.runtime.slot import Slot

__all__ = ["DeploymentReport", "ExitReport", "ReloadReport", "WorkerReport", "report_workers"]


class WorkerReport(msgspec.Struct, frozen=True):
    """One worker, or the place of one.

    ``status`` is "warm", "starting", "leaving" (it finishes and ends), "waiting" (for its next start), "failed" (its
    last start did) or "down" (its GPU has failed). ``calls`` is how many are at it now, ``answered`` how many it has
    answered; ``rss_bytes`` is its resident memory, 0 where it has no process of this machine.
    """

    name: str
    status: str
    pid: int = 0
    calls: int = 0
    answered: int = 0
    rss_bytes: int = 0
    started: datetime | None = None
    gpu: str = ""


class ExitReport(msgspec.Struct, frozen=True):
    """The end of one worker, as :class:`modelserve.runtime.interface.Exit` has it."""

    worker: str
    reason: str
    detail: str
    when: datetime


class ReloadReport(msgspec.Struct, frozen=True):
    """How a reload went: where not ``ok``, ``message`` says why the old workers stay."""

    ok: bool
    message: str
    when: datetime


class DeploymentReport(msgspec.Struct, frozen=True):
    """One deployment. ``restarts`` counts the replacements of workers that died; ``message`` says what is wrong.

    ``working_bytes`` are of the calls at workers, ``validating_bytes`` of those whose arguments are looked at for jobs.
    """

    name: str
    status: str
    message: str
    version: str
    workers: list[WorkerReport]
    restarts: int
    queue_calls: int
    queue_bytes: int
    working_bytes: int = 0
    validating_bytes: int = 0
    last_exit: ExitReport | None = None
    last_reload: ReloadReport | None = None


# What a worker's place, or a worker that leaves, can be said to do.
STATES = ("starting", "warm", "waiting", "failed", "down", "leaving")


def count_workers(slots: Sequence[Slot], dealer: Dealer) -> dict[tuple[str, ...], float]:
    """Return how many workers are in each state, those in which there is none too."""
    states = Counter(_state(slot, dealer) for slot in slots)
    placed = {slot.replica for slot in slots}
    states["leaving"] += sum(replica not in placed for replica in dealer.lanes)
    return {(state,): states[state] for state in STATES}


def report_workers(slots: Sequence[Slot], dealer: Dealer) -> list[WorkerReport]:
    """Return one report for each place of a worker, and one for each worker that leaves."""
    places = [_report_place(slot, dealer) for slot in slots]
    placed = {slot.replica for slot in slots}
    return places + [_report_lane(lane, "leaving") for replica, lane in dealer.lanes.items() if replica not in placed]


def _state(slot: Slot, dealer: Dealer) -> str:
    lane = None if slot.replica is None else dealer.lanes.get(slot.replica)
    if lane is not None:
        return "leaving" if lane.closing else "warm"
    return "waiting" if slot.status == "warm" else slot.status  # it is gone, and its keeper is about to notice


def _report_place(slot: Slot, dealer: Dealer) -> WorkerReport:
    lane = None if slot.replica is None else dealer.lanes.get(slot.replica)
    if lane is not None:
        return _report_lane(lane, "leaving" if lane.closing else "warm", slot.gpu)
    return WorkerReport(slot.name, slot.status, gpu=slot.gpu)


def _report_lane(lane: Lane, status: str, gpu: str = "") -> WorkerReport:
    replica = lane.replica
    return WorkerReport(
        name=replica.name,
        status=status,
        pid=replica.pid,
        calls=len(lane),
        answered=lane.answered_calls,
        rss_bytes=rss_bytes(replica.pid),
        started=lane.since,
        gpu=gpu,
    )
