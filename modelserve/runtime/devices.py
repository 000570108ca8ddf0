"""Plans which CPUs and which GPU each worker gets: a machine and a wish in, placements out.

The plan is a pure function; ``inventory`` looks at the real machine. A placement reaches its worker before any library
is imported there, because OpenMP, MKL and CUDA read their environment once, when they load.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from modelserve.errors import SettingsError
from modelserve.runtime.inventory import this_machine
from modelserve.runtime.machine import Gpu, Machine

__all__ = ["Gpu", "Machine", "Placement", "plan", "this_machine"]

# The variables by which OpenMP, MKL, OpenBLAS, numexpr and, through OpenMP, PyTorch choose their number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

# Those by which numba, TensorFlow and joblib choose theirs. By themselves they count the CPUs that a worker may run on,
# and see nothing of a limit to the time that it may use of them.
OTHER_THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "LOKY_MAX_CPU_COUNT",
)

_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d+(?:,\d+)*))?")

_Cpus = tuple[int, ...]


class Placement(msgspec.Struct, frozen=True):
    """What one worker gets. ``gpu`` is "" for none; ``threads`` is how many its numeric libraries may start.

    ``limit`` is its share of a limit to the CPUs' time, 0 for none.
    """

    cpus: tuple[int, ...]
    gpu: str = ""
    limit: int = 0

    @property
    def threads(self) -> int:
        return max(1, min(len(self.cpus), self.limit or len(self.cpus)))

    @property
    def environment(self) -> dict[str, str]:
        """The variables to set before the first import.

        Threads of OpenMP wait asleep. By default they spin, which on cores shared with the server made a batch of the
        benchmark's MLP five times slower (1,612 against 7,959 requests per second, benchmarks on 2 cores).
        """
        threads = {name: str(self.threads) for name in (*THREAD_VARIABLES, *OTHER_THREAD_VARIABLES)}
        gpu = {"CUDA_VISIBLE_DEVICES": self.gpu, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return {**threads, "OMP_WAIT_POLICY": "PASSIVE", **gpu}

    def missing_from(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what of it to set in a process with these variables: an operator's own thread counts win, all or none.

        With one of them set and the others not, OpenMP and MKL would disagree. An order of GPUs that the operator chose
        stays, since the plan's numbers were counted in it. The GPU is always the plan's.
        """
        threads = {*THREAD_VARIABLES, "OMP_WAIT_POLICY", *OTHER_THREAD_VARIABLES}
        chosen = threads if any(name in environ for name in THREAD_VARIABLES) else set()
        chosen |= {"CUDA_DEVICE_ORDER", *OTHER_THREAD_VARIABLES} & environ.keys()
        return {name: value for name, value in self.environment.items() if name not in chosen}


def plan(machine: Machine, *, workers: int, device: str = "auto", workers_per_gpu: int = 1) -> list[Placement]:
    """Return one placement for each of a deployment's workers.

    Each GPU is given to ``workers_per_gpu`` workers in a row, and when all GPUs have theirs, from the first again. CPUs
    are dealt out in contiguous, nearly equal shares, since neighbours share caches: a GPU's workers share the CPUs near
    it, others all CPUs. Where there are several NUMA nodes, no share crosses from one into another, unless there are
    fewer workers than nodes: then each gets whole nodes. With more workers than CPUs, workers share one each in turn.

    A limit to the CPUs' time is dealt out as numbers of threads, at least one each: on which CPUs the time is used is
    for the kernel to say, since other containers have the same CPUs.

    Args:
        machine: What is there.
        workers: How many workers, at least 1.
        device: ``auto`` (GPUs if there are any), ``cpu``, ``cuda`` (every GPU) or ``cuda:0,2`` (these, by position).
        workers_per_gpu: How many workers in a row share a GPU, at least 1.

    Raises:
        SettingsError: The device is misspelt, or names a GPU that is not there.
    """
    gpus = _chosen_gpus(machine, device)
    chosen = [gpus[number // workers_per_gpu % len(gpus)] if gpus else Gpu("") for number in range(workers)]
    shares = _shares(machine, [_near(gpu, machine) for gpu in chosen])
    limits = _limits(machine, workers)
    return [Placement(cpus, gpu.name, limit) for cpus, gpu, limit in zip(shares, chosen, limits, strict=True)]


def _chosen_gpus(machine: Machine, device: str) -> tuple[Gpu, ...]:
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise SettingsError(f"device is {device!r}, but must be auto, cpu, cuda or cuda with numbers like cuda:0,2.")
    if device == "cpu":
        return ()
    if device == "auto":
        return machine.gpus
    if not machine.gpus:
        raise SettingsError(
            f"device is {device!r}, but no GPU was found; check the driver and CUDA_VISIBLE_DEVICES, or say cpu."
        )
    if match[1] is None:
        return machine.gpus
    numbers = [int(number) for number in match[1].split(",")]
    missing = [number for number in numbers if number >= len(machine.gpus)]
    if missing:
        raise SettingsError(f"device is {device!r}, but only GPUs 0 to {len(machine.gpus) - 1} were found.")
    return tuple(machine.gpus[number] for number in numbers)


def _limits(machine: Machine, workers: int) -> list[int]:
    """Return each worker's share of the limit to the CPUs' time, in whole CPUs, 0 where there is none."""
    if machine.cpu_limit >= len(machine.cpus):
        return [0] * workers
    count = math.ceil(machine.cpu_limit)
    return [max(1, (number + 1) * count // workers - number * count // workers) for number in range(workers)]


def _near(gpu: Gpu, machine: Machine) -> _Cpus:
    """Return the CPUs near a GPU that this process may use, () where none is or nothing is known."""
    return tuple(cpu for cpu in machine.cpus if cpu in gpu.cpus)


def _shares(machine: Machine, homes: Sequence[_Cpus]) -> list[_Cpus]:
    """Return each worker's CPUs: workers with the same home share it, those without one share the machine."""
    shares: list[_Cpus] = [()] * len(homes)
    for home in dict.fromkeys(homes):
        members = [number for number, own in enumerate(homes) if own == home]
        parts = _deal([home], len(members)) if home else _deal(_nodes(machine), len(members))
        for number, part in zip(members, parts, strict=True):
            shares[number] = part
    return shares


def _nodes(machine: Machine) -> list[_Cpus]:
    """Return the CPUs this process may use by NUMA node; as one node where the system does not tell all of them."""
    nodes = [tuple(cpu for cpu in node if cpu in machine.cpus) for node in machine.nodes]
    nodes = [node for node in nodes if node]
    return nodes if sorted(cpu for node in nodes for cpu in node) == sorted(machine.cpus) else [machine.cpus]


def _deal(nodes: Sequence[_Cpus], workers: int) -> list[_Cpus]:
    """Return the share of each of so many workers of all the CPUs in these nodes."""
    if workers < len(nodes):
        return [sum(part, ()) for part in (_part(nodes, number, workers) for number in range(workers))]
    # Were the CPUs one row, each worker would get an equal piece of it: it belongs to the node its middle lies in.
    row = [number for number, node in enumerate(nodes) for _ in node]
    at = [row[(2 * number + 1) * len(row) // (2 * workers)] for number in range(workers)]
    return [_share(nodes[node], number - at.index(node), at.count(node)) for number, node in enumerate(at)]


def _part(nodes: Sequence[_Cpus], number: int, workers: int) -> Sequence[_Cpus]:
    return nodes[number * len(nodes) // workers : (number + 1) * len(nodes) // workers]


def _share(cpus: _Cpus, number: int, workers: int) -> _Cpus:
    if workers >= len(cpus):
        return (cpus[number % len(cpus)],)
    return cpus[number * len(cpus) // workers : (number + 1) * len(cpus) // workers]
