"""Plans which CPUs and which GPU each worker gets: a machine and a wish in, placements out.

The plan is a pure function; only :func:`this_machine` looks at the real one. A placement reaches its worker before any
library is imported there, because OpenMP, MKL and CUDA read their environment once, when they load.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from modelserve.errors import SettingsError

__all__ = ["Machine", "Placement", "plan", "this_machine"]

# The variables by which OpenMP, MKL, OpenBLAS, numexpr and, through OpenMP, PyTorch choose their number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d+(?:,\d+)*))?")


class Machine(msgspec.Struct, frozen=True):
    """What there is to share out: the CPUs this process may use, and the GPUs by the name CUDA knows them."""

    cpus: tuple[int, ...]
    gpus: tuple[str, ...] = ()


class Placement(msgspec.Struct, frozen=True):
    """What one worker gets. ``gpu`` is "" for none; ``threads`` is how many its numeric libraries may start."""

    cpus: tuple[int, ...]
    gpu: str = ""

    @property
    def threads(self) -> int:
        return max(1, len(self.cpus))

    @property
    def environment(self) -> dict[str, str]:
        """The variables to set before the first import.

        Threads of OpenMP wait asleep. By default they spin, which on cores shared with the server made a batch of the
        benchmark's MLP five times slower (1,612 against 7,959 requests per second, benchmarks on 2 cores).
        """
        threads = {name: str(self.threads) for name in THREAD_VARIABLES}
        return {**threads, "OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": self.gpu}

    def missing_from(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what of it to set in a process with these variables: an operator's own thread counts win, all or none.

        With one of them set and the others not, OpenMP and MKL would disagree. The GPU is always the plan's.
        """
        chosen = {*THREAD_VARIABLES, "OMP_WAIT_POLICY"} if any(name in environ for name in THREAD_VARIABLES) else set()
        return {name: value for name, value in self.environment.items() if name not in chosen}


def plan(machine: Machine, *, workers: int, device: str = "auto") -> list[Placement]:
    """Return one placement for each of a deployment's workers.

    The CPUs are dealt out in contiguous, nearly equal shares, since neighbours share caches; with more workers than
    CPUs, workers share one each in turn. GPUs are dealt out in turn.

    Args:
        machine: What is there.
        workers: How many workers, at least 1.
        device: ``auto`` (GPUs if there are any), ``cpu``, ``cuda`` (every GPU) or ``cuda:0,2`` (these, by position).

    Raises:
        SettingsError: The device is misspelt, or names a GPU that is not there.
    """
    gpus = _chosen_gpus(machine, device)
    return [
        Placement(_share(machine.cpus, number, workers), gpus[number % len(gpus)] if gpus else "")
        for number in range(workers)
    ]


def this_machine() -> Machine:
    """Return the machine this process may use: its CPU affinity, and NVIDIA's device files or CUDA_VISIBLE_DEVICES."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return Machine(cpus, tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")))
    found = [path.name for path in Path("/dev").glob("nvidia[0-9]*")]
    return Machine(cpus, tuple(sorted((name.removeprefix("nvidia") for name in found), key=int)))


def _chosen_gpus(machine: Machine, device: str) -> tuple[str, ...]:
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise SettingsError(f"device is {device!r}, but must be auto, cpu, cuda or cuda with numbers like cuda:0,2.")
    if device == "cpu":
        return ()
    if device == "auto":
        return machine.gpus
    if not machine.gpus:
        raise SettingsError(f"device is {device!r}, but no GPU was found; check the driver, or use --device cpu.")
    if match[1] is None:
        return machine.gpus
    numbers = [int(number) for number in match[1].split(",")]
    missing = [number for number in numbers if number >= len(machine.gpus)]
    if missing:
        raise SettingsError(f"device is {device!r}, but only GPUs 0 to {len(machine.gpus) - 1} were found.")
    return tuple(machine.gpus[number] for number in numbers)


def _share(cpus: tuple[int, ...], number: int, workers: int) -> tuple[int, ...]:
    if workers >= len(cpus):
        return (cpus[number % len(cpus)],)
    return cpus[number * len(cpus) // workers : (number + 1) * len(cpus) // workers]
