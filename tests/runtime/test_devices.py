"""The device plan, on machines that are made up (FAULTS P03, P04)."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from modelserve.errors import SettingsError
from modelserve.runtime.devices import Gpu, Machine, Placement, plan

LAPTOP = Machine(cpus=(0, 1))
BIG = Machine(cpus=tuple(range(16)), gpus=(Gpu("0"), Gpu("1"), Gpu("2")))

# Two sockets of 16 cores with two threads each, as Linux numbers them: 0-15 and 32-47 are on the first.
LEFT = (*range(16), *range(32, 48))
RIGHT = (*range(16, 32), *range(48, 64))
SOCKETS = Machine(
    cpus=tuple(range(64)),
    gpus=tuple(Gpu(f"GPU-{number}", LEFT if number < 4 else RIGHT) for number in range(8)),
    nodes=(LEFT, RIGHT),
)


def shares(placements: list[Placement]) -> list[tuple[int, ...]]:
    return [placement.cpus for placement in placements]


def gpus(placements: list[Placement]) -> list[str]:
    return [placement.gpu for placement in placements]


def is_within_one(share: tuple[int, ...], nodes: tuple[tuple[int, ...], ...]) -> bool:
    return any(set(share) <= set(node) for node in nodes)


def test_one_worker_gets_every_cpu() -> None:
    (placement,) = plan(LAPTOP, workers=1)
    assert placement.cpus == (0, 1)
    assert placement.threads == 2


def test_workers_share_the_cpus_in_contiguous_parts_without_overlap() -> None:
    dealt = shares(plan(BIG, workers=3, device="cpu"))
    assert [cpu for share in dealt for cpu in share] == list(range(16))
    assert {len(share) for share in dealt} == {5, 6}


def test_more_workers_than_cpus_take_one_each_in_turn() -> None:
    dealt = shares(plan(LAPTOP, workers=5))
    assert {len(share) for share in dealt} == {1}
    assert {dealt.count((0,)), dealt.count((1,))} == {2, 3}


def test_only_the_cpus_this_process_may_use_are_dealt_out() -> None:
    assert shares(plan(Machine(cpus=(4, 9)), workers=2)) == [(4,), (9,)]
    bound = Machine(cpus=(4, 9, 20), nodes=(LEFT, RIGHT))
    assert shares(plan(bound, workers=3)) == [(4,), (9,), (20,)]


@pytest.mark.parametrize("workers", [2, 3, 4, 7, 16, 63, 64, 100])
def test_no_share_crosses_from_one_node_into_another(workers: int) -> None:
    dealt = shares(plan(SOCKETS, workers=workers, device="cpu"))
    assert all(is_within_one(share, SOCKETS.nodes) for share in dealt)
    assert {cpu for share in dealt for cpu in share} == set(SOCKETS.cpus)
    if workers <= len(SOCKETS.cpus):
        assert not any(set(one) & set(other) for one, other in itertools.combinations(dealt, 2))


def test_fewer_workers_than_nodes_get_whole_nodes() -> None:
    assert shares(plan(SOCKETS, workers=1, device="cpu")) == [LEFT + RIGHT]
    four = Machine(cpus=tuple(range(8)), nodes=((0, 1), (2, 3), (4, 5), (6, 7)))
    assert shares(plan(four, workers=3)) == [(0, 1), (2, 3), (4, 5, 6, 7)]


def test_a_node_with_most_of_the_cpus_gets_most_of_the_workers() -> None:
    uneven = Machine(cpus=tuple(range(9)), nodes=((0, 1, 2, 3, 4, 5), (6, 7, 8)))
    assert shares(plan(uneven, workers=3)) == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]


def test_nodes_that_do_not_tell_every_cpu_are_passed_over() -> None:
    assert shares(plan(Machine(cpus=(0, 1, 2, 3), nodes=((0, 1),)), workers=2)) == [(0, 1), (2, 3)]


def test_the_workers_of_a_gpu_get_the_cpus_near_it() -> None:
    dealt = plan(SOCKETS, workers=8, device="cuda")
    assert gpus(dealt) == [f"GPU-{number}" for number in range(8)]
    assert all(set(place.cpus) <= set(LEFT if number < 4 else RIGHT) for number, place in enumerate(dealt))
    assert {len(place.cpus) for place in dealt} == {8}
    assert {cpu for place in dealt for cpu in place.cpus} == set(SOCKETS.cpus)


def test_a_gpu_far_from_every_cpu_of_this_process_takes_what_there_is() -> None:
    bound = Machine(cpus=(0, 1), gpus=(Gpu("GPU-7", RIGHT),), nodes=(LEFT, RIGHT))
    assert shares(plan(bound, workers=2)) == [(0,), (1,)]


def test_several_workers_in_a_row_share_a_gpu() -> None:
    dealt = plan(SOCKETS, workers=6, device="cuda:0,7", workers_per_gpu=2)
    assert gpus(dealt) == ["GPU-0", "GPU-0", "GPU-7", "GPU-7", "GPU-0", "GPU-0"]
    assert all(set(place.cpus) <= set(RIGHT if place.gpu == "GPU-7" else LEFT) for place in dealt)
    assert gpus(plan(BIG, workers=4, workers_per_gpu=64)) == ["0"] * 4
    assert gpus(plan(BIG, workers=2, device="cpu", workers_per_gpu=2)) == ["", ""]


def test_each_slice_is_a_gpu_of_its_own() -> None:
    sliced = Machine(cpus=tuple(range(64)), gpus=(Gpu("MIG-a", LEFT), Gpu("MIG-b", LEFT), Gpu("GPU-1", RIGHT)))
    assert gpus(plan(sliced, workers=4)) == ["MIG-a", "MIG-b", "GPU-1", "MIG-a"]
    assert plan(sliced, workers=1, device="cuda:1")[0].environment["CUDA_VISIBLE_DEVICES"] == "MIG-b"


def test_the_thread_variables_say_the_share_and_hide_every_gpu_on_cpu() -> None:
    environment = plan(BIG, workers=4, device="cpu")[0].environment
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "4"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("limit", "workers", "threads"),
    [
        (1, 1, [1]),
        (0.5, 1, [1]),
        (1.5, 1, [2]),
        (4, 2, [2, 2]),
        (3, 2, [1, 2]),
        (2, 5, [1] * 5),
        (16, 1, [16]),
        (64, 1, [16]),
        (10, 32, [1] * 32),
    ],
)
def test_a_limit_to_the_time_of_the_cpus_is_one_to_the_threads_and_not_to_the_cpus(
    limit: float, workers: int, threads: list[int]
) -> None:
    """L8."""
    limited = msgspec.structs.replace(BIG, cpu_limit=limit)
    dealt = plan(limited, workers=workers, device="cpu")
    assert [place.threads for place in dealt] == threads
    assert shares(dealt) == shares(plan(BIG, workers=workers, device="cpu"))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "LOKY_MAX_CPU_COUNT")
    assert {dealt[0].environment[name] for name in names} == {str(threads[0])}


def test_a_thread_count_of_one_library_that_the_operator_chose_stays() -> None:
    (placement,) = plan(BIG, workers=1)
    chosen = placement.missing_from({"NUMBA_NUM_THREADS": "3"})
    assert "NUMBA_NUM_THREADS" not in chosen
    assert chosen["OMP_NUM_THREADS"] == "16"


def test_thread_counts_and_an_order_of_gpus_that_the_operator_chose_stay() -> None:
    (placement,) = plan(BIG, workers=1)
    assert placement.missing_from({})["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    chosen = {"MKL_NUM_THREADS": "2", "CUDA_DEVICE_ORDER": "FASTEST_FIRST", "CUDA_VISIBLE_DEVICES": "1"}
    assert placement.missing_from(chosen) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_each_worker_gets_its_own_gpu_and_then_they_share() -> None:
    assert gpus(plan(BIG, workers=5, device="cuda")) == ["0", "1", "2", "0", "1"]
    assert plan(BIG, workers=1)[0].gpu == "0", "auto takes a GPU where there is one"
    assert plan(LAPTOP, workers=1)[0].gpu == ""


def test_gpus_are_chosen_by_position_among_those_visible() -> None:
    machine = Machine(cpus=(0,), gpus=(Gpu("3"), Gpu("GPU-77")))
    assert gpus(plan(machine, workers=2, device="cuda:1")) == ["GPU-77", "GPU-77"]


@pytest.mark.parametrize(
    ("device", "words"), [("cuda", "no GPU was found"), ("cuda:0", "no GPU was found"), ("tpu", "must be auto")]
)
def test_a_device_that_is_not_there_is_refused_in_words(device: str, words: str) -> None:
    """FAULTS P03."""
    with pytest.raises(SettingsError, match=words) as caught:
        plan(LAPTOP, workers=1, device=device)
    assert caught.value.exit_code == 2


def test_a_gpu_number_past_the_last_is_refused() -> None:
    with pytest.raises(SettingsError, match="only GPUs 0 to 2"):
        plan(BIG, workers=1, device="cuda:0,3")
