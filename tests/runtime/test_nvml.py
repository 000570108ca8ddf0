"""Reading NVML, from a module that answers as ``pynvml`` does on a machine with eight GPUs, some in slices."""

from __future__ import annotations

import sys
import types
from typing import Any

import pynvml
import pytest

from modelserve.runtime.machine import Gpu
from modelserve.runtime.nvml import GpuWatch, Use, boards, read_boards, read_uses

GIB = 1024**3


class Board(types.SimpleNamespace):
    """One GPU as NVML knows it; ``slices`` is None where it has no MIG mode."""

    uuid: str
    bus: str
    cpus: tuple[int, ...] = ()
    memory: int = 0
    busy: int | None = None
    slices: list[Board | None] | None = None
    lost: bool = False


class Nvml(types.ModuleType):
    """As much of ``pynvml`` as is read."""

    class NVMLError(Exception):
        pass

    def __init__(self, *found: Board, broken: bool = False) -> None:
        super().__init__("pynvml")
        self.found = found
        self.broken = broken
        self.opened = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        assert self.opened
        return len(self.found)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:  # noqa: N802
        if self.found[index].lost:
            raise self.NVMLError("GPU is lost")
        return self.found[index]

    def nvmlDeviceGetPciInfo(self, board: Board) -> Any:  # noqa: N802
        return types.SimpleNamespace(busId=board.bus)

    def nvmlDeviceGetUUID(self, board: Board) -> str:  # noqa: N802
        return board.uuid

    def nvmlDeviceGetMemoryInfo(self, board: Board) -> Any:  # noqa: N802
        if not board.memory:
            raise self.NVMLError("Not Supported")
        return types.SimpleNamespace(total=board.memory, used=board.memory // 4)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Board:  # noqa: N802
        boards: list[Board | None] = [one for board in self.found for one in (board, *(board.slices or ()))]
        for board in boards:
            if board is not None and board.uuid == uuid:
                return board
        raise self.NVMLError("Not Found")

    def nvmlDeviceGetUtilizationRates(self, board: Board) -> Any:  # noqa: N802
        if board.busy is None:
            raise self.NVMLError("Not Supported")
        return types.SimpleNamespace(gpu=board.busy, memory=0)

    def nvmlDeviceGetCpuAffinity(self, board: Board, words: int) -> list[int]:  # noqa: N802
        if not board.cpus:
            raise self.NVMLError("Not Supported")
        mask = sum(1 << cpu for cpu in board.cpus)
        return [mask >> 64 * number & (1 << 64) - 1 for number in range(words)]

    def nvmlDeviceGetMigMode(self, board: Board) -> list[int]:  # noqa: N802
        if board.slices is None:
            raise self.NVMLError("Not Supported")
        return [bool(board.slices), bool(board.slices)]

    def nvmlDeviceGetMaxMigDeviceCount(self, board: Board) -> int:  # noqa: N802
        return len(board.slices or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, board: Board, index: int) -> Board:  # noqa: N802
        found = (board.slices or [])[index]
        if found is None:
            raise self.NVMLError("Not Found")
        return found


def opened(*found: Board) -> Nvml:
    nvml = Nvml(*found)
    nvml.nvmlInit()
    return nvml


def test_the_module_that_answers_here_has_no_name_that_the_real_one_lacks() -> None:
    used = {name for name in vars(Nvml) if name.lower().startswith("nvml")}
    assert used <= set(vars(pynvml))


def test_eight_gpus_on_two_sockets_are_told_in_the_order_of_the_bus() -> None:
    near = {0: tuple(range(64)), 1: tuple(range(64, 128))}
    found = [
        Board(uuid=f"GPU-{number}", bus=f"00000000:{number:02X}:00.0", cpus=near[number // 4], memory=80 * GIB)
        for number in range(8)
    ]
    told = read_boards(opened(*reversed(found)))
    assert told == [[Gpu(f"GPU-{number}", near[number // 4], 80 * GIB)] for number in range(8)]


def test_each_slice_is_a_gpu_with_its_own_memory_and_the_boards_cpus() -> None:
    parts = [Board(uuid="MIG-a", bus="", memory=10 * GIB), None, Board(uuid="MIG-b", bus="", memory=20 * GIB)]
    sliced = Board(uuid="GPU-0", bus="0", cpus=(0, 3), memory=80 * GIB, slices=parts)
    whole = Board(uuid="GPU-1", bus="1", memory=80 * GIB, slices=[])
    assert read_boards(opened(sliced, whole)) == [
        [Gpu("MIG-a", (0, 3), 10 * GIB), Gpu("MIG-b", (0, 3), 20 * GIB)],
        [Gpu("GPU-1", (), 80 * GIB)],
    ]


def test_a_gpu_in_slices_of_which_none_is_made_cannot_be_used() -> None:
    assert read_boards(opened(Board(uuid="GPU-0", bus="0", slices=[None, None]))) == [[]]


def test_what_a_system_does_not_tell_is_left_open() -> None:
    assert read_boards(opened(Board(uuid="GPU-0", bus="0"))) == [[Gpu("GPU-0")]]


def test_a_gpu_that_is_lost_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    found = opened(Board(uuid="GPU-0", bus="0", lost=True), Board(uuid="GPU-1", bus="1"))
    assert read_boards(found) == [[Gpu("GPU-1")]]
    assert "GPU 0 is left out: GPU is lost" in caplog.text


def test_the_library_is_opened_and_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(Board(uuid="GPU-0", bus="0"))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert boards() == [[Gpu("GPU-0")]]
    assert nvml.opened == 0


def test_a_driver_that_is_not_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(broken=True))
    assert boards() is None
    assert "NVML cannot be used, GPUs are known by number only: Driver Not Loaded" in caplog.text


def test_an_nvml_that_fails_on_the_way_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nvml = Nvml(Board(uuid="GPU-0", bus="0"))

    def fail(board: Board) -> str:
        raise nvml.NVMLError("Unknown Error")

    monkeypatch.setattr(nvml, "nvmlDeviceGetUUID", fail)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert boards() is None
    assert "Unknown Error" in caplog.text
    assert nvml.opened == 0


def test_without_the_package_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with caplog.at_level("INFO"):
        assert boards() is None
    assert "pip install modelserve[gpu]" in caplog.text


def test_the_use_of_gpus_and_slices_is_told_as_far_as_they_tell_it() -> None:
    part = Board(uuid="MIG-a", bus="", memory=8 * GIB)
    whole = Board(uuid="GPU-1", bus="1", memory=80 * GIB, busy=50)
    nvml = opened(Board(uuid="GPU-0", bus="0", slices=[part]), whole, Board(uuid="GPU-2", bus="2"))
    assert read_uses(nvml, ["MIG-a", "GPU-1", "GPU-2", "0"]) == {
        "MIG-a": Use(2 * GIB, 8 * GIB, None),
        "GPU-1": Use(20 * GIB, 80 * GIB, 0.5),
    }


def test_the_library_is_opened_once_for_all_that_is_read_and_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(Board(uuid="GPU-1", bus="1", memory=GIB))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    watch = GpuWatch()
    assert list(watch.read(["GPU-1"])) == list(watch.read(["GPU-1"])) == ["GPU-1"]
    assert nvml.opened == 1
    watch.close()
    watch.close()
    assert nvml.opened == 0


def test_without_a_driver_no_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(broken=True))
    watch = GpuWatch()
    assert watch.read(["GPU-1"]) == watch.read(["GPU-1"]) == {}
    watch.close()
