"""The instruments, as Prometheus reads them."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelserve.metrics import CONTENT_TYPE, JobCounts, Metrics


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and the values of its labels, but for the times of creation."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_deployment_that_has_done_nothing_is_there_with_zeros() -> None:
    metrics = Metrics()
    metrics.deployment("m")
    samples = read(metrics)
    for status in ("2xx", "3xx", "4xx", "5xx"):
        assert samples["modelserve_requests_total", "m", "predict", status] == 0
    assert samples["modelserve_workers", "m"] == 0
    assert samples["modelserve_batch_size_count", "m"] == 0


@pytest.mark.parametrize(("status", "kind"), [(200, "2xx"), (302, "3xx"), (422, "4xx"), (499, "4xx"), (503, "5xx")])
def test_an_answer_is_counted_by_its_class_and_its_duration_once(status: int, kind: str) -> None:
    metrics = Metrics()
    metrics.deployment("m").predicted(status, 0.3)
    samples = read(metrics)
    assert samples["modelserve_requests_total", "m", "predict", kind] == 1
    assert sum(value for key, value in samples.items() if key[0] == "modelserve_requests_total") == 1
    assert samples["modelserve_request_duration_seconds_sum", "m", "predict"] == 0.3
    assert samples["modelserve_request_duration_seconds_bucket", "m", "0.25", "predict"] == 0
    assert samples["modelserve_request_duration_seconds_bucket", "m", "0.5", "predict"] == 1


def test_workers_batches_and_ends_are_counted_for_each_deployment() -> None:
    metrics = Metrics()
    for name in ("a", "b"):
        deployment = metrics.deployment(name)
        deployment.workers.set(2)
        deployment.batch_size.observe(8)
    metrics.deployment("a").worker_ended("signal")
    samples = read(metrics)
    assert samples["modelserve_worker_exits_total", "a", "signal"] == 1
    assert ("modelserve_worker_exits_total", "b", "signal") not in samples
    assert samples["modelserve_workers", "b"] == 2
    assert samples["modelserve_batch_size_sum", "b"] == 8


def test_the_instruments_of_a_deployment_may_be_asked_for_twice() -> None:
    metrics = Metrics()
    metrics.deployment("m").predicted(200, 0.1)
    metrics.deployment("m").predicted(200, 0.1)
    assert read(metrics)["modelserve_requests_total", "m", "predict", "2xx"] == 2


def test_two_servers_in_one_process_never_mix() -> None:
    first, second = Metrics(), Metrics()
    first.deployment("m").predicted(200, 0.1)
    assert read(second) == {("modelserve_log_records_lost_total",): 0, ("modelserve_tasks",): 0}


def test_the_content_type_is_that_of_the_text_format() -> None:
    assert CONTENT_TYPE.startswith("text/plain; version=")


def test_the_queue_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    queue = [3, 4096]
    metrics.deployment("m").watch_queue(lambda: queue[0], lambda: queue[1])
    assert read(metrics)["modelserve_queue_calls", "m"] == 3
    queue[:] = [4, 8192]
    samples = read(metrics)
    assert (samples["modelserve_queue_calls", "m"], samples["modelserve_queue_bytes", "m"]) == (4, 8192)


def test_timeouts_and_restarts_are_there_from_the_start_and_counted() -> None:
    metrics = Metrics()
    deployment = metrics.deployment("m")
    assert read(metrics)["modelserve_timeouts_total", "m", "queue"] == 0
    deployment.timed_out("predict")
    deployment.restarts.inc()
    samples = read(metrics)
    assert samples["modelserve_timeouts_total", "m", "predict"] == 1
    assert samples["modelserve_worker_restarts_total", "m"] == 1


def test_twenty_deployments_are_rendered_within_a_tenth_of_a_second() -> None:
    """F05."""
    metrics = Metrics()
    for number in range(20):
        metrics.deployment(f"m{number}").predicted(200, 0.1)
    metrics.render()
    since = time.process_time()
    metrics.render()
    assert time.process_time() - since < 0.1


def test_records_that_the_log_lost_are_read_when_asked_for() -> None:
    """I06."""
    metrics = Metrics()
    lost = 0
    metrics.watch_log(lambda: lost)
    lost = 3
    assert read(metrics)["modelserve_log_records_lost_total",] == 3


def test_the_tasks_of_the_servers_loop_are_counted_when_asked_for() -> None:
    metrics = Metrics()
    tasks = [1]
    metrics.watch_tasks(lambda: len(tasks))
    tasks.append(2)
    assert read(metrics)["modelserve_tasks",] == 2


def test_jobs_are_counted_where_they_are_kept() -> None:
    metrics = Metrics()
    assert not [key for key in read(metrics) if key[0].startswith("modelserve_jobs")]
    present, ended = {("m", "train", "running"): 1}, {("m", "train", "done"): 0}
    metrics.watch_jobs(lambda: JobCounts(present, ended))
    ended["m", "train", "done"] = 2
    samples = read(metrics)
    assert samples["modelserve_jobs", "m", "train", "running"] == 1
    assert samples["modelserve_jobs_ended_total", "m", "train", "done"] == 2
