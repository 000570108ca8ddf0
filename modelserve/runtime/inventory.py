"""What a machine has to run models on: its CPUs, their NUMA nodes, and its GPUs by the names CUDA knows them.

    /proc, /sys, /dev, CUDA_VISIBLE_DEVICES, NVML   ->   this_machine()   ->   Machine

CUDA itself is never asked: its context in the server would take GPU memory, and is never given back.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelserve.runtime import nvml
from modelserve.runtime.cgroup import cpu_limit, memory_limit
from modelserve.runtime.machine import Gpu, Machine

__all__ = ["numa_nodes", "parse_cpus", "this_machine", "visible_gpus"]

logger = logging.getLogger(__name__)

DEV = Path("/dev")
NODES = Path("/sys/devices/system/node")


def this_machine() -> Machine:
    """Return what this process may use of its machine: CPUs by its affinity and the limit of its control groups, memory
    by the latter, GPUs by CUDA_VISIBLE_DEVICES.
    """
    # Without the driver's control device (or WSL's) there is nothing to ask NVML, and importing it takes its time.
    has_driver = any((DEV / name).exists() for name in ("nvidiactl", "dxg"))
    boards = nvml.boards() if has_driver else None
    machine = Machine(
        tuple(sorted(os.sched_getaffinity(0))),
        visible_gpus(boards, os.environ, _device_files(DEV)),
        numa_nodes(NODES),
        cpu_limit(),
        int(min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), memory_limit())),
    )
    logger.info(
        "this machine: %s, %d MiB of memory, NUMA nodes: %d, GPUs: %s",
        _cpus(machine),
        machine.memory_bytes >> 20,
        max(1, len(machine.nodes)),
        ", ".join(gpu.name for gpu in machine.gpus) or "none",
    )
    return machine


def _cpus(machine: Machine) -> str:
    count = len(machine.cpus)
    return f"the time of {machine.cpu_limit:g} of {count} CPUs" if machine.cpu_limit < count else f"{count} CPUs"


def visible_gpus(
    boards: Sequence[Sequence[Gpu]] | None, environ: Mapping[str, str], device_files: int
) -> tuple[Gpu, ...]:
    """Return the GPUs that a CUDA program with these variables would see.

    Args:
        boards: The GPUs in PCI order as NVML tells them, each whole or as its MIG slices; None where NVML is not there.
        environ: Of which CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER count.
        device_files: How many GPUs have a device file; they are used by number where nothing better is known.
    """
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        if boards is None:
            return tuple(Gpu(str(number)) for number in range(device_files))
        return tuple(gpu for board in boards for gpu in board)
    if environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID") != "PCI_BUS_ID":
        boards = None  # the operator counts the GPUs in an order that NVML does not know
    found: list[Gpu] = []
    for name in wanted.split(","):
        gpu = _by_name(name.strip(), boards)
        if gpu is None:  # CUDA, too, sees nothing of what comes after a name it does not know, such as -1
            break
        found.append(gpu)
    return tuple(found)


def numa_nodes(folder: Path) -> tuple[tuple[int, ...], ...]:
    """Return the CPUs of each NUMA node, in the nodes' order, () where the system does not tell them."""
    paths = sorted(folder.glob("node[0-9]*/cpulist"), key=lambda path: int(path.parent.name.removeprefix("node")))
    try:
        return tuple(cpus for path in paths if (cpus := parse_cpus(path.read_text())))
    except (OSError, ValueError) as error:
        logger.warning("the NUMA nodes in %s cannot be read: %s", folder, error)
        return ()


def parse_cpus(text: str) -> tuple[int, ...]:
    """Return the numbers of a list in the kernel's form, such as ``0-3,8,10-11``; ValueError where it is none."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if part:
            found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def _device_files(folder: Path) -> int:
    # Their numbers are the machine's; CUDA counts from 0 those that are there, as in a container that has only nvidia3.
    return len([path for path in folder.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdecimal()])


def _by_name(name: str, boards: Sequence[Sequence[Gpu]] | None) -> Gpu | None:
    if boards is None:
        return Gpu(name) if re.fullmatch(r"[0-9]{1,4}|(GPU|MIG)-[\w/-]+", name) else None
    if name.isdecimal():  # of a GPU in slices, CUDA gives a program the first
        return boards[int(name)][0] if int(name) < len(boards) and boards[int(name)] else None
    matching = [gpu for board in boards for gpu in board if name and gpu.name.startswith(name)]
    return matching[0] if len(matching) == 1 else None
