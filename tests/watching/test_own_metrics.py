"""The metrics that models have of their own, from real workers, and what clients can do to the server's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.running import Running, eventually, running

MODEL = Path(__file__).with_name("counting.py")

Samples = dict[tuple[str, ...], float]


def samples(server: Running) -> Samples:
    """Return every sample by its name and its labels, as ``name=value``."""
    families = text_string_to_metric_families(server.get("/metrics").body.decode())
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def of_model(server: Running, name: str, *labels: str) -> float:
    return samples(server).get((name, *sorted((*labels, "deployment=counting"))), -1.0)


SEEN = ("seen_total", "exported_deployment=x", "kind=item")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with two workers of the model that counts."""
    folder = tmp_path_factory.mktemp("counting")
    with running([str(MODEL), "--workers", "2", "--restart-budget", "1000"], folder=folder) as server:
        yield server


def test_counters_and_histograms_are_summed_over_workers(server: Running) -> None:
    before = max(0.0, of_model(server, *SEEN))
    pids: set[int] = set()
    count = 0
    while len(pids) < 2:
        slow = [server.predict_soon("counting", {"mode": "sleep", "size": 0.2}) for _ in range(2)]
        pids |= {future.result(30).json()["predictions"]["pid"] for future in slow}
        count += 2
    eventually(lambda: of_model(server, *SEEN) == before + count)
    assert of_model(server, "item_size_count") == before + count
    assert of_model(server, "item_size_bucket", "le=1.0") == before + count


def test_gauges_are_combined_as_they_were_made(server: Running) -> None:
    server.predict("counting", {"size": 5})
    eventually(lambda: of_model(server, "largest") == 5)
    eventually(lambda: of_model(server, "loaded") == 2)
    assert of_model(server, "own", "worker=counting-0") == of_model(server, "own", "worker=counting-1") == 7


def test_what_is_the_servers_cannot_be_forged_and_nothing_of_the_process_is_repeated(server: Running) -> None:
    text = server.get("/metrics").body.decode()
    assert "Not the server's" not in text
    assert "python_gc" not in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_workers_that_die_take_nothing_from_what_was_counted(server: Running) -> None:
    """N05."""
    _kill_and_count(server, times=3)


@pytest.mark.soak
@pytest.mark.timeout(1800)  # workers that die young are replaced after seconds
def test_a_hundred_workers_that_die_take_nothing_from_what_was_counted(server: Running) -> None:
    """N05."""
    _kill_and_count(server, times=100)


def _kill_and_count(server: Running, times: int) -> None:
    before = samples(server)
    for _ in range(times):
        server.predict("counting", {"size": 1})
        last = samples(server)
        assert not _fell(before, last)
        assert server.predict("counting", {"mode": "exit"}).status == 500
        before = last
        eventually(lambda: samples(server)["modelserve_workers", "deployment=counting", "state=warm"] == 2, within_s=30)
        assert not _fell(before, samples(server))
    assert not list(server.temp.rglob("*.db")), "no file for each process is left"
    assert len(samples(server)) < len(before) + 3


def _fell(before: Samples, after: Samples) -> list[tuple[str, ...]]:
    grows = [key for key in before if key[0].endswith(("_total", "_count", "_bucket"))]
    return [key for key in grows if after.get(key, -1.0) < before[key]]


def test_a_model_cannot_have_more_series_than_there_is_room_for(server: Running) -> None:
    """N03: what it cannot have is counted."""
    server.predict("counting", {"many": 2000})
    dropped = ("modelserve_model_series_dropped", "deployment=counting")
    eventually(lambda: samples(server)[dropped] >= 1000)
    assert sum(key[0] == "seen_total" for key in samples(server)) <= 1000


def ask_nonsense(server: Running, number: int) -> None:
    """Send what no client should: another path, method, model, header each time."""
    server.request(f"METHOD{number}", "/metrics")
    server.request("POST", f"/v2/models/no-such-{number}/predict/", b"{}")
    server.request("POST", f"/v2/models/no-such-{number}/train/", b"{}")
    server.get(f"/v2/models/counting-{number}/", Accept=f"text/{number}")
    server.get(f"/{number}/{number}")
    server.request("DELETE", f"/v2/models/counting/train/{number}")
    headers = {"X-Request-ID": f"id-{number}", "Content-Type": f"text/{number}", "Accept": f"a/{number}"}
    server.request("POST", f"/v2/models/counting/predict/?{number}={number}", b"{", headers)


def test_whatever_clients_ask_for_the_number_of_series_stays(server: Running) -> None:
    """N03."""
    _ask_for_anything(server, times=10)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_whatever_ten_thousand_requests_ask_for_the_number_of_series_stays(server: Running) -> None:
    """N03."""
    _ask_for_anything(server, times=1500)


def _ask_for_anything(server: Running, times: int) -> None:
    ask_nonsense(server, 0)
    samples(server)  # to read the metrics is a request too
    before = {key for key in samples(server) if key[0] != "seen_total"}
    for number in range(1, times):
        ask_nonsense(server, number)
    assert {key for key in samples(server) if key[0] != "seen_total"} == before
    assert samples(server)["modelserve_requests_total", "deployment=", "operation=other", "status=4xx"] >= times


def test_workers_that_keep_python_to_themselves_delay_nobody(server: Running) -> None:
    """F05: their last numbers stand."""
    before = of_model(server, "loaded")
    slow = [server.predict_soon("counting", {"mode": "hold", "size": 0.25}) for _ in range(2)]
    eventually(lambda: samples(server)["modelserve_batch_size_sum", "deployment=counting"])
    took = []
    while not all(future.done() for future in slow):
        since = time.monotonic()
        assert of_model(server, "loaded") == before
        took.append(time.monotonic() - since)
    assert statistics.median(took) < 0.3
    assert {future.result(30).status for future in slow} == {200}


def test_the_memory_of_each_worker_is_told(server: Running) -> None:
    found = {key[2]: value for key, value in samples(server).items() if "resident" in key[0]}
    assert set(found) == {"worker=counting-0", "worker=counting-1"}
    assert all(size > 1_000_000 for size in found.values())
