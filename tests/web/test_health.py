"""Alive, ready, and the metrics as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.models.installed import side_log
from tests.running import Running, eventually, running


@pytest.fixture(scope="module")
def server(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Three deployments, of which one has failed, and two workers each."""
    visible = [packages[name] for name in ("plain", "chaos", "broken")]
    folder = tmp_path_factory.mktemp("health")
    env = {"CHAOS_LOG": str(folder / "side.log")}
    arguments = ["plain", "chaos", "broken", "--workers", "2", "--max-body-bytes", "10kB"]
    with running(arguments, visible=visible, folder=folder, env=env) as server:
        yield server


def samples(server: Running) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and the values of its labels."""
    reply = server.get("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(reply.body.decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def answers(server: Running, deployment: str, status: str) -> float:
    return samples(server)["modelserve_requests_total", deployment, "predict", status]


def test_the_server_says_that_it_is_alive(server: Running) -> None:
    reply = server.get("/healthz")
    assert (reply.status, reply.json()) == (200, {"status": "alive"})


def test_it_is_ready_when_all_that_can_run_do_and_names_what_cannot(server: Running) -> None:
    reply = server.get("/readyz")
    assert reply.status == 200
    assert reply.json() == {
        "status": "ready",
        "deployments": {"broken": "failed", "chaos": "ready", "plain": "ready"},
    }


def test_answers_are_counted_by_status_class(server: Running) -> None:
    before = {status: answers(server, "plain", status) for status in ("2xx", "4xx", "5xx")}
    for body in (b'{"x": 1}', b'{"x": 2}', b'{"x": "no"}', b"{", b" " * 20_000):
        server.predict("plain", body)
    after = {status: answers(server, "plain", status) - before[status] for status in before}
    assert after == {"2xx": 2, "4xx": 3, "5xx": 0}


def test_a_failure_of_the_model_is_counted_as_5xx(server: Running) -> None:
    before = answers(server, "chaos", "5xx")
    server.predict("chaos", {"mode": "raise"})
    assert answers(server, "chaos", "5xx") == before + 1


def test_a_body_in_chunks_that_is_too_large_is_counted_as_4xx(server: Running) -> None:
    before = answers(server, "plain", "4xx"), answers(server, "plain", "5xx")
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    body = b"2710\r\n" + b" " * 10_000 + b"\r\n2710\r\n" + b" " * 10_000 + b"\r\n0\r\n\r\n"
    assert server.request("POST", "/v2/models/plain/predict/", body, headers).status == 413
    assert (answers(server, "plain", "4xx"), answers(server, "plain", "5xx")) == (before[0] + 1, before[1])


def test_durations_and_batch_sizes_are_histograms_with_one_sample_for_each_call(server: Running) -> None:
    before = samples(server)
    server.predict("plain", {"x": 1})
    after = samples(server)
    for name in (
        "modelserve_request_duration_seconds_count",
        "modelserve_batch_size_count",
        "modelserve_batch_size_sum",
    ):
        key = next(key for key in after if key[:2] == (name, "plain"))
        assert after[key] == before[key] + 1
    assert after["modelserve_batch_size_bucket", "plain", "1.0"] >= 1


def test_the_workers_of_each_deployment_are_counted_and_so_is_their_end(server: Running) -> None:
    assert samples(server)["modelserve_workers", "chaos", "warm"] == 2
    assert samples(server)["modelserve_workers", "broken", "failed"] == 2
    server.predict("chaos", {"mode": "exit3"})
    eventually(lambda: samples(server).get(("modelserve_worker_exits_total", "chaos", "exit")) == 1)
    eventually(lambda: samples(server)["modelserve_workers", "chaos", "warm"] == 2)
    assert samples(server)["modelserve_worker_restarts_total", "chaos", "exit"] == 1


def test_clients_cannot_make_new_series(server: Running) -> None:
    def ask(number: int) -> None:
        server.predict(f"no-such-{number}", {})
        server.get(f"/path-{number}")
        server.request("POST", f"/v2/models/chaos/predict/?text={number}", headers={"X-Request-ID": f"id-{number}"})

    ask(0)
    before = set(samples(server))
    for number in range(1, 20):
        ask(number)
    assert set(samples(server)) == before


def test_a_client_that_left_is_no_failure_of_ours(server: Running) -> None:
    before = answers(server, "chaos", "4xx"), answers(server, "chaos", "5xx")
    # Long enough to notice it: one that has closed politely may still be waiting for its answer.
    path = "/v2/models/chaos/predict/?mode=sleep&n=8"
    with pytest.raises(TimeoutError):
        server.request("POST", path, timeout_s=0.2)
    eventually(lambda: answers(server, "chaos", "4xx") == before[0] + 1, within_s=30)
    assert answers(server, "chaos", "5xx") == before[1]
    assert side_log(server.folder / "side.log", "predict")
