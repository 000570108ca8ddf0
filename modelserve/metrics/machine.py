"""What workers and GPUs have of the machine, as it was found last: a collector of prometheus_client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily

__all__ = ["GpuUse", "MachineUse"]


class GpuUse(Protocol):
    """One GPU or MIG slice; ``busy`` is the share of the last moments in which it ran anything, None where not told."""

    @property
    def used_bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def busy(self) -> float | None: ...


class MachineUse:
    """The last that was found.

    Attributes:
        workers: Resident bytes by deployment and worker.
        gpus: By the name that a placement has for it.
    """

    def __init__(self) -> None:
        self.workers: Mapping[tuple[str, str], int] = {}
        self.gpus: Mapping[str, GpuUse] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families; those of GPUs only where there are some."""
        memory = GaugeMetricFamily(
            "modelserve_worker_resident_memory_bytes",
            "Resident memory of each worker.",
            labels=["deployment", "worker"],
        )
        for values, size in self.workers.items():
            memory.add_metric(values, size)
        yield memory
        if self.gpus:
            yield from self._gpus()

    def _gpus(self) -> Iterator[GaugeMetricFamily]:
        used = GaugeMetricFamily("modelserve_gpu_memory_used_bytes", "Memory of a GPU that is taken.", labels=["gpu"])
        total = GaugeMetricFamily("modelserve_gpu_memory_total_bytes", "Memory that a GPU has.", labels=["gpu"])
        busy = GaugeMetricFamily(
            "modelserve_gpu_utilization_ratio", "Share of the time in which a GPU ran anything.", labels=["gpu"]
        )
        for name, use in self.gpus.items():
            used.add_metric([name], use.used_bytes)
            total.add_metric([name], use.total_bytes)
            if use.busy is not None:
                busy.add_metric([name], use.busy)
        yield from (used, total, busy)
