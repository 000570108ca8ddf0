"""The GPUs as NVIDIA's management library tells them: UUIDs, memory, MIG slices, the CPUs nearby.

The package nvidia-ml-py is optional (``pip install modelserve[gpu]``) and needs the driver; without either, GPUs are
known by their numbers alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from modelserve.runtime.machine import Gpu

__all__ = ["GpuWatch", "Use", "boards", "read_boards", "read_uses"]

logger = logging.getLogger(__name__)

# 64-bit words of a CPU mask, enough for 4096 CPUs; NVML fills those it needs.
_MASK_WORDS = 64


def boards() -> list[list[Gpu]] | None:
    """Return this machine's GPUs in PCI order, each whole or as its MIG slices; None where NVML cannot be asked."""
    try:
        import pynvml
    except ImportError:
        logger.info("GPUs are known by number only: pip install modelserve[gpu] for UUIDs, MIG slices and near CPUs")
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.warning("NVML cannot be used, GPUs are known by number only: %s", error)
        return None
    try:
        return read_boards(pynvml)
    except pynvml.NVMLError as error:
        logger.warning("NVML cannot tell the GPUs, they are known by number only: %s", error)
        return None
    finally:
        pynvml.nvmlShutdown()


def read_boards(nvml: Any) -> list[list[Gpu]]:
    """Return the GPUs that NVML tells, in PCI order; one in MIG mode that has no slices is an empty list.

    Args:
        nvml: The module ``pynvml``, initialised.
    """
    # The order of NVML's own numbers is not promised; CUDA's, with CUDA_DEVICE_ORDER=PCI_BUS_ID, is that of the bus.
    # https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html (nvmlDeviceGetHandleByIndex)
    handles = sorted(_handles(nvml), key=lambda handle: str(nvml.nvmlDeviceGetPciInfo(handle).busId))
    return [list(_devices(nvml, handle)) for handle in handles]


def _handles(nvml: Any) -> Iterator[Any]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            yield nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:  # one that is lost, or not this user's, must not hide the others
            logger.warning("GPU %d is left out: %s", index, error)


def _devices(nvml: Any, board: Any) -> Iterator[Gpu]:
    """Yield what a worker can be given of one board: the whole, or every MIG slice."""
    cpus = _near_cpus(nvml, board)
    if not _is_sliced(nvml, board):
        yield _gpu(nvml, board, cpus)
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(board)):
        try:
            yield _gpu(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, index), cpus)
        except nvml.NVMLError:  # there is room for more slices than have been made
            continue


def _is_sliced(nvml: Any, board: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(board)
    except nvml.NVMLError:  # not supported: most GPUs have no such mode
        return False
    return bool(current)


def _gpu(nvml: Any, handle: Any, cpus: tuple[int, ...]) -> Gpu:
    return Gpu(str(nvml.nvmlDeviceGetUUID(handle)), cpus, _memory_bytes(nvml, handle))


def _memory_bytes(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError:  # GPUs that share the system's memory do not tell
        return 0


def _near_cpus(nvml: Any, board: Any) -> tuple[int, ...]:
    try:
        words = nvml.nvmlDeviceGetCpuAffinity(board, _MASK_WORDS)
    except nvml.NVMLError:  # not on every system
        return ()
    return tuple(64 * number + bit for number, word in enumerate(words) for bit in range(64) if word >> bit & 1)


class Use(NamedTuple):
    """How one GPU or MIG slice is used: ``busy`` is the share of the last moments in which it ran, None if not told."""

    used_bytes: int
    total_bytes: int
    busy: float | None


class GpuWatch:
    """Reads again and again how GPUs are used; NVML stays open from the first time, since opening it takes long."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._is_tried = False

    def read(self, uuids: Iterable[str]) -> dict[str, Use]:
        """Return the use of the GPUs of these UUIDs, leaving out what cannot be told; may block for a second."""
        if not self._is_tried:
            self._is_tried = True
            self._nvml = _opened()
        return {} if self._nvml is None else read_uses(self._nvml, uuids)

    def close(self) -> None:
        """Close NVML."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None


def read_uses(nvml: Any, uuids: Iterable[str]) -> dict[str, Use]:
    """Return how NVML tells the use of some GPUs.

    Args:
        nvml: The module ``pynvml``, initialised.
        uuids: Of GPUs and MIG slices; whatever else is no UUID is left out.
    """
    uses = {}
    for uuid in uuids:
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError:  # a GPU that is known by its number, or does not tell
            continue
        uses[uuid] = Use(int(memory.used), int(memory.total), _busy(nvml, handle))
    return uses


def _busy(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:  # MIG slices do not tell
        return None


def _opened() -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError as error:
        logger.warning("NVML cannot be used, so there are no metrics of GPUs: %s", error)
        return None
    return pynvml
