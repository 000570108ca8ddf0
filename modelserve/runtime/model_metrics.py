"""What a model counts itself with prometheus_client, read in its worker when the server asks.

    Scrape --> ModelMetrics: the registry of prometheus_client, where the model has loaded it --> Scraped

Nothing is imported here for it. A collector may be the model's own and take its time, so the answer is made on a thread
of its own, and nothing else waits for it; while one is made, further questions are not heard.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from modelserve.messages import MOST_SERIES, Family, Sample, Scraped, sendable, whole
from modelserve.runtime.outlet import Outlet

__all__ = ["ModelMetrics"]

logger = logging.getLogger(__name__)

# What prometheus_client counts of every process by itself; the server says of its workers what there is to say.
BY_ITSELF = ("PROCESS_COLLECTOR", "PLATFORM_COLLECTOR", "GC_COLLECTOR")


class ModelMetrics:
    """Answers what the model counts.

    Args:
        outlet: Where the answers go.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._is_reading = False
        self._has_failed = False
        self._last = Scraped()

    def ask(self) -> None:
        """Have the answer sent soon; never blocks for long."""
        library: Any = sys.modules.get("prometheus_client")
        if library is None or getattr(library.__spec__, "_initializing", False):
            self._outlet.send(Scraped())
        elif not self._is_reading:
            self._is_reading = True
            try:
                threading.Thread(target=self._answer, args=[library], name="metrics", daemon=True).start()
            except RuntimeError as error:  # the process, or its user, may have no more threads
                self._say(error)

    def _answer(self, library: Any) -> None:
        trouble: BaseException | None
        try:
            self._last, trouble = _read(library)
        except BaseException as error:  # the border to a collector of the model's own, which may end its thread
            trouble = error  # what it said last stands, for numbers that were gone would count as new ones
        self._say(trouble)

    def _say(self, trouble: BaseException | None) -> None:
        """Send what was read last; the first trouble is told in the log."""
        if trouble is not None and not self._has_failed:
            logger.warning("the model's own metrics cannot be read", exc_info=trouble)
            self._has_failed = True
        self._is_reading = False  # before it is sent: the next question may come at once
        with contextlib.suppress(OSError):  # the server has gone
            self._outlet.send(self._last)


def _read(library: Any) -> tuple[Scraped, Exception | None]:
    """Return what the model counts, and why a family of it could not be read, where that is so."""
    registry = library.REGISTRY
    own = {family.name for name in BY_ITSELF for family in getattr(library, name).collect()}
    families, dropped, room, trouble = list[Family](), 0, MOST_SERIES, None
    for family in registry.collect():
        if family.name in own:
            continue
        try:
            samples = list(_samples(family))
            taken = _taken(family.type, samples, room)
            mode = _mode(registry, family.name) if family.type == "gauge" else ""
            said = Family(sendable(family.name), str(family.type), sendable(family.documentation), mode, taken)
        except Exception as error:  # a collector of the model's own says what is no number or no text
            trouble, dropped = error, dropped + len(family.samples)
            continue
        dropped += len(samples) - len(taken)
        room -= len(taken)
        if len(families) < MOST_SERIES:
            families.append(said)
    return Scraped(families, dropped), trouble


def _taken(kind: str, samples: Sequence[Sample], room: int) -> list[Sample]:
    """Return the first samples that find room; of a histogram or a summary all, or none."""
    if len(samples) <= room:
        return list(samples)
    wholes: dict[object, list[Sample]] = {}
    for sample in samples:
        wholes.setdefault(whole(kind, sample.labels.items()), []).append(sample)
    taken: list[Sample] = []
    for together in wholes.values():
        if len(taken) + len(together) <= room:
            taken += together
    return taken


def _samples(family: Any) -> Iterator[Sample]:
    """Yield the numbers of a family, but for the times at which they were made."""
    for sample in family.samples:
        if sample.name != f"{family.name}_created":
            labels = {sendable(name): sendable(str(value)) for name, value in sample.labels.items()}
            yield Sample(sendable(sample.name), labels, float(sample.value))


def _mode(registry: Any, name: str) -> str:
    """Return a gauge's ``multiprocess_mode``, which no public attribute tells."""
    collectors = getattr(registry, "_names_to_collectors", {})
    return str(getattr(collectors.get(name), "_multiprocess_mode", "all"))
