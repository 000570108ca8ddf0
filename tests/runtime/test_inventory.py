"""What a machine has: made-up folders of the kernel, made-up answers of NVML, and this machine as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelserve.runtime.inventory import numa_nodes, parse_cpus, this_machine, visible_gpus
from modelserve.runtime.machine import Gpu

BOARDS = [[Gpu("GPU-aaaa")], [Gpu("MIG-1b"), Gpu("MIG-2b")], [], [Gpu("GPU-aabb")]]


def names(found: tuple[Gpu, ...]) -> list[str]:
    return [gpu.name for gpu in found]


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("0\n", (0,)), ("\n", ()), ("0-1", (0, 1))],
)
def test_the_kernels_lists_of_cpus_are_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpus(text) == cpus


def test_the_nodes_of_a_machine_are_read_in_order_and_those_without_cpus_left_out(tmp_path: Path) -> None:
    for number, text in {0: "0-1\n", 10: "4-5\n", 2: "2-3\n", 3: "\n"}.items():
        (tmp_path / f"node{number}").mkdir()
        (tmp_path / f"node{number}" / "cpulist").write_text(text)
    (tmp_path / "power").mkdir()
    assert numa_nodes(tmp_path) == ((0, 1), (2, 3), (4, 5))
    assert numa_nodes(tmp_path / "nowhere") == ()


def test_nodes_that_cannot_be_read_are_none_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "node0").mkdir()
    (tmp_path / "node0" / "cpulist").write_text("0-x")
    assert numa_nodes(tmp_path) == ()
    assert "cannot be read" in caplog.text


def test_without_a_choice_every_gpu_and_every_slice_is_there() -> None:
    assert names(visible_gpus(BOARDS, {}, 4)) == ["GPU-aaaa", "MIG-1b", "MIG-2b", "GPU-aabb"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ("3,0", ["GPU-aabb", "GPU-aaaa"]),
        ("1", ["MIG-1b"]),
        ("GPU-aab", ["GPU-aabb"]),
        ("MIG-2b, GPU-aaaa", ["MIG-2b", "GPU-aaaa"]),
        ("", []),
        ("-1", []),
        ("0,-1,3", ["GPU-aaaa"]),
        ("0,9,3", ["GPU-aaaa"]),
        ("2", []),
        ("GPU-aa", []),
        ("GPU-zz", []),
        ("0,,3", ["GPU-aaaa"]),
    ],
)
def test_what_the_operator_made_visible_counts_as_it_does_for_cuda(chosen: str, found: list[str]) -> None:
    assert names(visible_gpus(BOARDS, {"CUDA_VISIBLE_DEVICES": chosen}, 4)) == found


def test_gpus_counted_in_another_order_keep_their_numbers() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "1,3", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert names(visible_gpus(BOARDS, environ, 4)) == ["1", "3"]


def test_without_nvml_gpus_are_known_by_number_or_by_the_operators_names() -> None:
    assert names(visible_gpus(None, {}, 2)) == ["0", "1"]
    assert names(visible_gpus(None, {"CUDA_VISIBLE_DEVICES": "2, 5"}, 0)) == ["2", "5"]
    assert names(visible_gpus(None, {"CUDA_VISIBLE_DEVICES": "MIG-GPU-aa/1/0"}, 0)) == ["MIG-GPU-aa/1/0"]
    assert names(visible_gpus(None, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 2)) == []


def test_this_machine_is_what_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with caplog.at_level("INFO"):
        machine = this_machine()
    assert machine.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert machine.gpus == ()
    assert "GPUs: none" in caplog.text
