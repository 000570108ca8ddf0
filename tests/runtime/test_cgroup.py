"""The files are as the kernel, Docker, Kubernetes, Podman and systemd lay them out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from modelserve.runtime.cgroup import cpu_limit, memory_limit

MIB = 1 << 20

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"

# Version 1, a hierarchy for one or some controllers; a container sees its own group in the place of the root.
V1_CPU = "{root} /sys/fs/cgroup/cpu,cpuacct ro,nosuid,relatime master:11 - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "{root} /sys/fs/cgroup/memory ro,nosuid,relatime master:15 - cgroup cgroup rw,memory"
V1_OTHER = "{root} /sys/fs/cgroup/cpuset ro,nosuid,relatime master:17 - cgroup cgroup rw,cpuset"

POD = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a.slice"
CONTAINER = f"{POD}/cri-containerd-9f.scope"


def v1(root: str) -> str:
    """Return the mounts of version 1 where this group is the root."""
    kinds = [kind.format(root=root) for kind in (V1_CPU, V1_MEMORY, V1_OTHER)]
    return "\n".join(f"{number} 32 0:{number} {kind}" for number, kind in enumerate(kinds, 40))


def lay(root: Path, group: str, mounts: str, files: dict[str, str]) -> Path:
    """Lay out what ``/proc`` and ``/sys/fs/cgroup`` say."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group + "\n")
    (root / "proc/self/mountinfo").write_text(f"23 1 8:1 / / rw - ext4 /dev/root rw\n{mounts}\n")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


LAYOUTS = {
    "v2, a container of Docker or Podman": (
        ("0::/", V2, {"cpu.max": "150000 100000", "memory.max": str(512 * MIB), "cpuset.cpus.effective": "0-3"}),
        (1.5, 512 * MIB),
    ),
    "v2, a container that sees the groups of its host": (
        (
            f"0::{CONTAINER}",
            V2,
            {f"{CONTAINER}/cpu.max": "200000 100000", f"{CONTAINER}/memory.max": "max", "memory.stat": "anon 0"},
        ),
        (2, math.inf),
    ),
    "v2, the limit of a group around it is less": (
        (
            f"0::{CONTAINER}",
            V2,
            {
                f"{CONTAINER}/cpu.max": "max 100000",
                f"{CONTAINER}/memory.max": str(900 * MIB),
                f"{POD}/cpu.max": "50000 100000",
                f"{POD}/memory.max": str(800 * MIB),
                "kubepods.slice/cpu.max": "400000 100000",
            },
        ),
        (0.5, 800 * MIB),
    ),
    "v2, a service of systemd in a machine without limits": (
        ("0::/system.slice/models.service", V2, {"system.slice/models.service/cpu.max": "max 100000"}),
        (math.inf, math.inf),
    ),
    "v2, a number that no kernel says": (
        ("0::/", V2, {"cpu.max": f"{10**400} 1", "memory.max": "9" * 5000}),
        (math.inf, math.inf),
    ),
    "v2, a group that lies outside of what is seen": (
        ("0::/../../other", V2, {"cpu.max": "100000 100000", "memory.max": str(MIB)}),
        (1, MIB),
    ),
    "v2, a group whose folder is not seen": (
        (f"0::{CONTAINER}", V2, {"cpu.max": "300000 100000"}),
        (3, math.inf),
    ),
    "v2, only a part of the tree is mounted": (
        (f"0::{CONTAINER}", V2.replace(" / ", f" {POD} ", 1), {"cri-containerd-9f.scope/cpu.max": "700000 100000"}),
        (7, math.inf),
    ),
    "v2, mounted at a path with a blank": (
        ("0::/", V2.replace("/sys/fs/cgroup ", r"/sys/fs/cgroup/my\040groups "), {"my groups/cpu.max": "100000 50000"}),
        (2, math.inf),
    ),
    "v1, a container of Docker": (
        (
            "12:memory:/docker/9f\n4:cpu,cpuacct:/docker/9f\n3:cpuset:/docker/9f\n1:name=systemd:/docker/9f\n0::/",
            v1("/docker/9f"),
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": str(64 * MIB),
                "cpuset/cpu.max": "100000 100000",
            },
        ),
        (2.5, 64 * MIB),
    ),
    "v1, a container that has groups of its own": (
        (
            "12:memory:/docker/9f/app\n4:cpu,cpuacct:/docker/9f/app",
            v1("/docker/9f"),
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "100000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/app/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/app/cpu.cfs_period_us": "100000",
                "memory/app/memory.limit_in_bytes": str(32 * MIB),
            },
        ),
        (1, 32 * MIB),
    ),
    "v1, no limits": (
        (
            "12:memory:/\n4:cpu,cpuacct:/",
            v1("/"),
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
        ),
        (math.inf, math.inf),
    ),
    "both, the CPU by v1 and the rest by v2": (
        (
            "4:cpu,cpuacct:/\n0::/user.slice",
            f"{v1('/')}\n{V2.replace('/sys/fs/cgroup ', '/sys/fs/cgroup/unified ')}",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "20000",
                "cpu,cpuacct/cpu.cfs_period_us": "10000",
                "unified/user.slice/memory.max": str(16 * MIB),
            },
        ),
        (2, 16 * MIB),
    ),
    "what no kernel says": (
        ("nonsense\n0::/", f"{V2}\nshort line", {"cpu.max": "100000 0", "memory.max": "\ufffd"}),
        (math.inf, math.inf),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_limits_are_read_wherever_they_stand(tmp_path: Path, layout: str) -> None:
    """L8."""
    laid, limits = LAYOUTS[layout]
    root = lay(tmp_path, *laid)
    assert (cpu_limit(root), memory_limit(root)) == limits


def test_where_nothing_can_be_read_there_is_no_limit(tmp_path: Path) -> None:
    assert (cpu_limit(tmp_path), memory_limit(tmp_path)) == (math.inf, math.inf)


def test_this_machine_can_be_read() -> None:
    assert cpu_limit() > 0
    assert memory_limit() > 0
