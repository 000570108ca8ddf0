"""What a machine has to run models on, as plain data: the device plan goes in by it, so tests make up their own."""

from __future__ import annotations

import math

import msgspec

__all__ = ["Gpu", "Machine"]


class Gpu(msgspec.Struct, frozen=True):
    """One GPU, or one MIG slice of one.

    ``name`` is what CUDA_VISIBLE_DEVICES takes: a UUID (``GPU-...``, ``MIG-...``), or a number where NVML is not there
    to tell it. ``cpus`` are those near it, empty where that is not known; ``memory_bytes`` is 0 then.
    """

    name: str
    cpus: tuple[int, ...] = ()
    memory_bytes: int = 0


class Machine(msgspec.Struct, frozen=True):
    """What there is to share out: the CPUs this process may use, the GPUs it may see, the CPUs of each NUMA node.

    ``cpu_limit`` is how many CPUs' time it may use, where that is less than all of them; ``memory_bytes`` is how much
    memory, 0 where that is not known.
    """

    cpus: tuple[int, ...]
    gpus: tuple[Gpu, ...] = ()
    nodes: tuple[tuple[int, ...], ...] = ()
    cpu_limit: float = math.inf
    memory_bytes: int = 0
