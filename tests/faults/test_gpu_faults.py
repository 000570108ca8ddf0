"""GPUs that are full, broken, or not the worker's own; by the words that CUDA's errors have. Rows P.

No GPU is needed: ``CUDA_VISIBLE_DEVICES`` says which there are, and the chaos model fails as torch does on one. That
none is there where one was demanded, row P03, is in test_loading.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.aftermath import aftermath
from tests.faults.burst import burst_soon
from tests.faults.conftest import Serve, Watched
from tests.faults.frozen import frozen, waiting
from tests.faults.told import counted, shown
from tests.models.installed import side_log
from tests.running import Reply, Running, eventually

BATCH = "chaos-batch"


def assert_failed(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert b"CUDA" not in reply.body
    assert "Retry-After" in reply.headers or status != 503


def deployed(serve: Serve, folder: Path, gpus: str, **devices: str) -> Running:
    """Serve the chaos model once for each device: ``deployed(serve, folder, "0,1", first="cuda:0")``."""
    tables = [f'[deployments.{name}]\nmodel = "chaos"\ndevice = "{device}"\n' for name, device in devices.items()]
    (folder / "modelserve.toml").write_text("".join(tables))
    return serve(CUDA_VISIBLE_DEVICES=gpus, CHAOS_LOG=str(folder / "side.log"))


def state(server: Running, name: str = "chaos") -> dict[str, Any]:
    """Return what a worker is like: its process, CPUs and variables."""
    return dict(server.predict(name, {"mode": "state"}).json()["predictions"])


def gpu_of(state: dict[str, Any]) -> str:
    return str(state["environ"]["CUDA_VISIBLE_DEVICES"])


def test_a_call_for_which_the_gpus_memory_is_too_small_says_so_and_costs_no_worker(watched: Watched) -> None:
    """P01."""
    chaos = watched("chaos")
    before = chaos.server.workers()
    assert_failed(chaos.server.predict("chaos", {"mode": "cuda_oom"}), 500, "out_of_memory")
    assert chaos.server.predict("chaos", {"mode": "cuda_ok"}).status == 200
    assert chaos.server.workers() == before
    eventually(lambda: "CUDA out of memory" in chaos.server.log)


@pytest.mark.parametrize(("fits", "sizes"), [(4, [8, 4, 4]), (3, [8, 4, 1, 1, 1, 1, 4, 1, 1, 1, 1])])
def test_a_batch_that_does_not_fit_is_halved_once_and_then_run_call_by_call(
    watched: Watched, fits: int, sizes: list[int]
) -> None:
    """P01."""
    chaos = watched(BATCH)
    before = chaos.server.workers()
    with frozen(chaos, BATCH):
        calls = [{"mode": "cuda_fits", "n": fits, "text": str(number)} for number in range(8)]
        outcomes = burst_soon(chaos.server, BATCH, calls)
        eventually(lambda: waiting(chaos) == 8)
    assert [outcome.json()["predictions"]["text"] for outcome in outcomes.result(20)] == list("01234567")
    assert [len(line["modes"]) for line in side_log(chaos.side_log, "predict")][1:] == sizes
    assert chaos.server.workers() == before


def test_a_model_that_runs_out_of_memory_while_it_warms_fails_alone(serve: Serve) -> None:
    """P01."""
    server = serve("chaos", "plain", visible=("chaos", "plain"), CHAOS_WARM="cuda_oom")
    assert server.get("/readyz").json()["deployments"] == {"chaos": "failed", "plain": "ready"}
    assert_failed(server.predict("chaos", {}), 503, "not_ready")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("cuda_sticky", "unspecified launch failure"),
        ("cuda_sticky", "uncorrectable ECC error encountered"),
        ("cuda_sticky", "unknown error"),
        ("cuda_sticky_plain", "an illegal memory access was encountered"),
    ],
)
def test_a_worker_whose_gpu_is_broken_is_replaced_at_once(watched: Watched, mode: str, words: str) -> None:
    """P02: a lost GPU is one of them; the next call is served by a fresh process."""
    chaos = watched("chaos")
    (worker,) = chaos.server.workers()
    assert_failed(chaos.server.predict("chaos", {"mode": mode, "text": words}), 500, "model_error")
    assert chaos.server.predict("chaos", {"mode": "cuda_ok"}).status == 200
    assert worker not in chaos.server.workers()
    assert counted(chaos.server, "modelserve_worker_exits_total", reason="device") == 1
    assert "GPU answers every further call" in chaos.server.log


def test_an_error_of_one_call_on_the_gpu_costs_no_worker(watched: Watched) -> None:
    """P02: it is not sticky."""
    chaos = watched("chaos")
    before = chaos.server.workers()
    assert_failed(chaos.server.predict("chaos", {"mode": "cuda_error"}), 500, "model_error")
    assert chaos.server.predict("chaos", {"mode": "cuda_ok"}).status == 200
    assert chaos.server.workers() == before


def test_the_neighbours_of_a_call_that_breaks_the_gpu_are_run_by_the_next_worker(watched: Watched) -> None:
    """P02, O04."""
    chaos = watched(BATCH)
    modes = ["cuda_ok", "cuda_ok", "cuda_sticky", "cuda_ok"]
    with frozen(chaos, BATCH):
        outcomes = burst_soon(chaos.server, BATCH, [{"mode": mode} for mode in modes])
        eventually(lambda: waiting(chaos) == 4)
    assert [outcome.status for outcome in outcomes.result(30)] == [200, 200, 500, 200]


def test_a_gpu_that_three_workers_had_to_leave_is_failed_and_the_others_serve(serve: Serve, tmp_path: Path) -> None:
    """P02."""
    server = deployed(serve, tmp_path, "0,1", first="cuda:0", second="cuda:1")
    with aftermath(server, "second", workers=1):
        for _ in range(3):
            assert_failed(server.predict("first", {"mode": "cuda_sticky"}), 500, "model_error")
        eventually(lambda: "GPU 0 has failed" in server.log)
        eventually(lambda: shown(server, "first")["status"] == "failed")
        assert_failed(server.predict("first", {"mode": "cuda_ok"}), 503, "not_ready")
        assert server.predict("second", {"mode": "cuda_ok"}).status == 200


def wait_replaced(server: Running, count: int) -> None:
    """Wait until the deaths of so many workers are known, and both places are filled or one never will be."""
    eventually(lambda: counted(server, "modelserve_worker_exits_total") == count)
    eventually(lambda: counted(server, "modelserve_workers", state="warm") == 2 or "has failed" in server.log)


def test_a_deployment_on_two_gpus_serves_on_with_one(serve: Serve, tmp_path: Path) -> None:
    """P02."""
    server = serve("chaos", "--workers", "2", "--device", "cuda", CUDA_VISIBLE_DEVICES="0,1")
    with aftermath(server, workers=1):
        for number in range(1, 6):  # at worst, three on one and two on the other
            if "has failed" not in server.log:
                assert_failed(server.predict("chaos", {"mode": "cuda_sticky"}), 500, "model_error")
                wait_replaced(server, number)
        assert "has failed" in server.log
        assert server.predict("chaos", {"mode": "cuda_ok"}).status == 200
        assert shown(server, "chaos")["status"] == "ready"


def test_each_worker_sees_its_own_gpu_and_no_other_also_after_it_was_replaced(watched: Watched) -> None:
    """P04."""
    chaos = watched("chaos", "--device", "cuda", workers=2, CUDA_VISIBLE_DEVICES="3,5")
    seen: dict[int, str] = {}
    for number in range(1, 5):
        worker = state(chaos.server)
        seen[worker["pid"]] = gpu_of(worker)
        psutil.Process(worker["pid"]).kill()
        wait_replaced(chaos.server, number)
    assert sorted(seen.values()) == ["3", "3", "5", "5"]


def test_workers_that_share_a_gpu_and_workers_that_have_none(serve: Serve, tmp_path: Path) -> None:
    """P04: one on a CPU sees no GPU at all; each starts as many threads as it has CPUs."""
    server = deployed(serve, tmp_path, "0,1", second="cuda:1", first="cuda:0", none="cpu", auto="auto")
    states = {name: state(server, name) for name in ("first", "second", "none", "auto")}
    assert {name: gpu_of(state) for name, state in states.items()} == {
        "first": "0",
        "second": "1",
        "none": "",
        "auto": "0",
    }
    for each in states.values():
        threads = str(len(each["cpus"]))
        assert each["environ"]["OMP_NUM_THREADS"] == each["environ"]["MKL_NUM_THREADS"] == threads
        assert each["environ"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_replacement_starts_only_when_the_old_process_is_gone(watched: Watched) -> None:
    """P05: only then is its memory on the GPU free. Deaf to SIGTERM, it lives for a second beyond its timeout."""
    chaos = watched("chaos", "--predict-timeout-s", "1", CHAOS_EXIT_S="1000")
    reply = chaos.server.predict("chaos", {"mode": "spin"})
    assert_failed(reply, 504, "predict_timeout")
    assert chaos.server.predict("chaos", {}).status == 200
    called, *_ = [line["monotonic_s"] for line in side_log(chaos.side_log, "predict")]
    _, again = [line["monotonic_s"] for line in side_log(chaos.side_log, "import")]
    assert again - called > 2, "the limit, and the second between SIGTERM and SIGKILL"
