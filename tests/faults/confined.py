"""A server whose models may do what they like: it and they see the machine, but can change nothing of it.

    with running(["hostile.py"], folder=tmp_path, within=confined(tmp_path)) as server:
        ...

Everything is read-only but the folder of the server; ``/tmp``, ``/var/tmp`` and ``/run`` are empty and its own; there
are no devices but those like ``/dev/null``; no process has a capability, or can get one; with ``alone`` no process but
those of the server can be seen or sent a signal.

It takes util-linux and a kernel that lets an ordinary user make namespaces, as root or as anybody else. Where one of
them is missing, the server does not start: a test then fails with what was missing, and its model never runs.

This file is also the program that sets this up, from inside new namespaces: see :func:`_main`.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["REPOSITORY", "confined"]

REPOSITORY = Path(__file__).parents[2]

# Where programs put files, sockets and shared memory for others to find; and the devices, for which it means nothing
# that a file system is read-only, with those that do no harm.
PRIVATE = tuple(Path(path) for path in ("/tmp", "/var/tmp", "/run", "/dev"))
SHM = Path("/dev/shm")
DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom", "tty"))

# What changes the machine although a process writes to its own settings in /proc; containers do without the same.
KERNEL = tuple(Path("/proc", name) for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))

# Of linux/mount.h and linux/fcntl.h; the number of the system call is the same on every architecture.
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC = 2, 4, 4096, 16384
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1

# What tells of control groups.
GROUPS = tuple(Path(path) for path in ("/proc/self/cgroup", "/proc/self/mountinfo", "/sys/fs/cgroup"))

_LIBC = ctypes.CDLL(None, use_errno=True)


def confined(
    folder: Path,
    *,
    seen: Iterable[Path] = (),
    alone: bool = False,
    user: int | None = None,
    shm_bytes: int = 0,
    groups: Path | None = None,
) -> list[str]:
    """Return the words to put in front of a command, so that it can change nothing but what is in a folder.

    Args:
        folder: Where it may write; it exists.
        seen: Further folders below ``/tmp`` and the like that it needs, such as those of packages; it can only read.
        alone: Whether it is the first process in a namespace of processes of its own. It is then a child of what was
            started, and knows itself and its workers by other numbers than the test does.
        user: The number that its user and group have inside, of which nobody knows a name or a home; by default they
            are the test's.
        shm_bytes: How large ``/dev/shm`` is, as the 64 MiB of a container; 0 for as large as it can be.
        groups: A folder with what is to be seen as ``/proc/self/cgroup``, ``/proc/self/mountinfo`` and
            ``/sys/fs/cgroup`` in it, under these paths.
    """
    who = ["--map-current-user"] if user is None else [f"--map-user={user}", f"--map-group={user}"]
    own = ["--pid", "--fork", "--kill-child", "--mount-proc"] if alone else []
    spaces = ["unshare", *who, "--keep-caps", "--mount", "--ipc", *own, "--"]
    imported = [Path(path).resolve() for path in sys.path if path and Path(path).exists()]
    needed = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), *imported, *seen]
    return [
        *spaces,
        sys.executable,
        "-I",
        __file__,
        str(shm_bytes),
        str(groups or ""),
        str(folder),
        *map(str, needed),
        "--",
    ]


def _main(arguments: Sequence[str]) -> None:
    """Become the command behind ``--``, with nothing to write to but the first of the folders before it.

    In front of that stand the size of ``/dev/shm``, 0 for any, and the folder of what is seen of control groups, or "".
    """
    end = arguments.index("--")
    shm_bytes, groups = arguments[:2]
    folder, *needed = (Path(path).resolve() for path in arguments[2:end])
    here = os.getcwd()
    _hide([folder, *DEVICES, *needed])
    _mount(Path("tmpfs"), SHM, _MS_NOSUID | _MS_NODEV, "tmpfs", f"size={shm_bytes}")
    for path in GROUPS if groups else ():  # of this process, which is to become the command
        _mount(Path(groups, path.relative_to("/")), path, _MS_BIND)
    for path in (folder, *filter(Path.exists, KERNEL)):
        _mount(path, path, _MS_BIND | _MS_REC)
    _set_read_only(Path("/"), True)
    for path in (folder, Path("/proc"), *PRIVATE, SHM):
        _set_read_only(path, False)
    os.chdir(here)  # what it stood in until now is the folder below, of before
    drop = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    os.execvp("setpriv", ["setpriv", *drop, "--", *arguments[end + 1 :]])


def _hide(needed: Sequence[Path]) -> None:
    """Mount something empty on each private folder, and on that what is needed from below it."""
    hidden = [path for path in _outermost(needed) if not set(PRIVATE).isdisjoint(path.parents)]
    opened = {path: os.open(path, os.O_PATH) for path in hidden}
    for private in PRIVATE:
        _mount(Path("tmpfs"), private, _MS_NOSUID | _MS_NODEV, "tmpfs")
    for path, descriptor in opened.items():
        _make_like(path, descriptor)
        _mount(Path(f"/proc/self/fd/{descriptor}"), path, _MS_BIND | _MS_REC)
    for descriptor in opened.values():
        os.close(descriptor)

    SHM.mkdir()
    Path("/dev/fd").symlink_to("/proc/self/fd")


def _make_like(path: Path, descriptor: int) -> None:
    """Make something to mount on: a folder for a folder, a file for anything else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        path.mkdir(exist_ok=True)
    else:
        path.touch()


def _outermost(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield those that lie in no other one."""
    chosen = set(paths)
    yield from (path for path in sorted(chosen) if chosen.isdisjoint(path.parents))


def _mount(source: Path, target: Path, flags: int, kind: str = "none", options: str = "") -> None:
    if _LIBC.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"cannot mount {source}", str(target))


def _set_read_only(path: Path, is_on: bool) -> None:
    """Let nothing be written at and below a mount point, or let it be written at it alone."""
    on = _MOUNT_ATTR_RDONLY if is_on else 0
    attributes = (ctypes.c_uint64 * 4)(on, _MOUNT_ATTR_RDONLY - on, 0, 0)  # to set, to clear, propagation, namespace
    flags = _AT_RECURSIVE if is_on else 0
    size = ctypes.sizeof(attributes)
    if _LIBC.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, ctypes.byref(attributes), size):
        raise OSError(ctypes.get_errno(), "cannot change what may be written at", str(path))


if __name__ == "__main__":
    _main(sys.argv[1:])
