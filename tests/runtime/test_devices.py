"""The device plan, on machines that are made up."""

from __future__ import annotations

import os

import pytest

from modelserve.errors import SettingsError
from modelserve.runtime.devices import Machine, plan, this_machine

LAPTOP = Machine(cpus=(0, 1))
BIG = Machine(cpus=tuple(range(16)), gpus=("0", "1", "2"))


def test_one_worker_gets_every_cpu() -> None:
    (placement,) = plan(LAPTOP, workers=1)
    assert placement.cpus == (0, 1)
    assert placement.threads == 2


def test_workers_share_the_cpus_in_contiguous_parts_without_overlap() -> None:
    shares = [placement.cpus for placement in plan(BIG, workers=3, device="cpu")]
    assert [cpu for share in shares for cpu in share] == list(range(16))
    assert {len(share) for share in shares} == {5, 6}


def test_more_workers_than_cpus_take_one_each_in_turn() -> None:
    assert [placement.cpus for placement in plan(LAPTOP, workers=5)] == [(0,), (1,), (0,), (1,), (0,)]


def test_only_the_cpus_this_process_may_use_are_dealt_out() -> None:
    assert [placement.cpus for placement in plan(Machine(cpus=(4, 9)), workers=2)] == [(4,), (9,)]


def test_the_thread_variables_say_the_share_and_hide_every_gpu_on_cpu() -> None:
    environment = plan(BIG, workers=4, device="cpu")[0].environment
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "4"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_each_worker_gets_its_own_gpu_and_then_they_share() -> None:
    assert [placement.gpu for placement in plan(BIG, workers=5, device="cuda")] == ["0", "1", "2", "0", "1"]
    assert plan(BIG, workers=1)[0].gpu == "0", "auto takes a GPU where there is one"
    assert plan(LAPTOP, workers=1)[0].gpu == ""


def test_gpus_are_chosen_by_position_among_those_visible() -> None:
    machine = Machine(cpus=(0,), gpus=("3", "GPU-77"))
    assert [placement.gpu for placement in plan(machine, workers=2, device="cuda:1")] == ["GPU-77", "GPU-77"]


@pytest.mark.parametrize(
    ("device", "words"), [("cuda", "no GPU was found"), ("cuda:0", "no GPU was found"), ("tpu", "must be auto")]
)
def test_a_device_that_is_not_there_is_refused_in_words(device: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        plan(LAPTOP, workers=1, device=device)


def test_a_gpu_number_past_the_last_is_refused() -> None:
    with pytest.raises(SettingsError, match="only GPUs 0 to 2"):
        plan(BIG, workers=1, device="cuda:0,3")


def test_this_machine_is_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    machine = this_machine()
    assert machine.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert machine.gpus == ("2", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert this_machine().gpus == ()
