"""The instruments, as Prometheus reads them."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelserve.errors import ModelserveError
from modelserve.held import Bound
from modelserve.metrics import CONTENT_TYPE, JobCounts, Metrics
from modelserve.runtime.nvml import Use


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
    for name in ("batch_size_count", "queue_duration_seconds_count", "predict_duration_seconds_count"):
        assert samples[f"modelserve_{name}", "m"] == 0
    assert samples["modelserve_requests_rejected_total", "m", "queue_full"] == 0


@pytest.mark.parametrize(("status", "kind"), [(200, "2xx"), (302, "3xx"), (422, "4xx"), (499, "4xx"), (503, "5xx")])
def test_an_answer_is_counted_by_its_class_and_its_duration_once(status: int, kind: str) -> None:
    metrics = Metrics()
    metrics.deployment("m")
    metrics.predict("m").answered(status, 0.3)
    samples = read(metrics)
    assert samples["modelserve_requests_total", "m", "predict", kind] == 1
    assert sum(value for key, value in samples.items() if key[0] == "modelserve_requests_total") == 1
    assert samples["modelserve_request_duration_seconds_sum", "m", "predict"] == 0.3
    assert samples["modelserve_request_duration_seconds_bucket", "m", "0.25", "predict"] == 0
    assert samples["modelserve_request_duration_seconds_bucket", "m", "0.5", "predict"] == 1


def test_a_background_prediction_is_counted_as_a_job() -> None:
    metrics = Metrics()
    metrics.predict("m").answered(202, 0.1)
    samples = read(metrics)
    assert samples["modelserve_requests_total", "m", "job", "2xx"] == 1
    assert samples["modelserve_requests_total", "m", "predict", "2xx"] == 0


def every_error(of: type[ModelserveError] = ModelserveError) -> list[type[ModelserveError]]:
    """Return every error that there is."""
    return [of, *(error for below in of.__subclasses__() for error in every_error(below))]


def test_only_what_is_turned_away_counts_as_rejected_with_its_reason() -> None:
    """F02, Y14: of every code that the server answers with."""
    metrics = Metrics()
    errors = [(error.status, error.code) for error in every_error() if error.status]
    for status, code in errors:
        metrics.requests.rejected("m", status, code)
        metrics.requests.rejected("m", status, code)
    found = {key[2]: count for key, count in read(metrics).items() if key[0] == "modelserve_requests_rejected_total"}
    turned_away = Counter(code for status, code in errors if status in (401, 403, 408, 413, 415, 421, 429, 503))
    assert found == {code: 2 * count for code, count in turned_away.items()}
    assert {"queue_full", "not_ready", "stopping", "rate_limited", "unauthorized", "too_large"} <= found.keys()


def test_workers_batches_and_ends_are_counted_for_each_deployment() -> None:
    metrics = Metrics()
    for name in ("a", "b"):
        deployment = metrics.deployment(name)
        deployment.watch_workers(lambda: {("warm",): 2, ("failed",): 0})
        deployment.batch_size.observe(8)
    metrics.deployment("a").worker_ended("signal")
    samples = read(metrics)
    assert samples["modelserve_worker_exits_total", "a", "signal"] == 1
    assert ("modelserve_worker_exits_total", "b", "signal") not in samples
    assert (samples["modelserve_workers", "b", "warm"], samples["modelserve_workers", "b", "failed"]) == (2, 0)
    assert samples["modelserve_batch_size_sum", "b"] == 8


def test_the_instruments_of_a_deployment_may_be_asked_for_twice() -> None:
    metrics = Metrics()
    metrics.predict("m").answered(200, 0.1)
    metrics.predict("m").answered(200, 0.1)
    assert read(metrics)["modelserve_requests_total", "m", "predict", "2xx"] == 2


def test_two_servers_in_one_process_never_mix() -> None:
    first, second = Metrics(), Metrics()
    first.predict("m").answered(200, 0.1)
    assert not [key for key in read(second) if key[0].startswith("modelserve_requests")]


def test_feedback_counts_and_a_reward_never_takes_anything_away() -> None:
    metrics = Metrics(seldon=True)
    metrics.deployment("m")
    metrics.predict("m")
    for reward in (0.5, -2.0, 0.25):
        metrics.rewarded("m", reward)
    samples = read(metrics)
    assert (samples["modelserve_feedback_total", "m"], samples["modelserve_feedback_reward_total", "m"]) == (3, 0.75)
    assert sum(value for key, value in samples.items() if key[0] == "seldon_api_model_feedback_total") == 3
    assert sum(value for key, value in samples.items() if key[0] == "seldon_api_model_feedback_reward_total") == 0.75


def test_seldons_names_are_there_only_where_they_were_chosen() -> None:
    plain, chosen = Metrics(), Metrics(seldon=True)
    for metrics in (plain, chosen):
        for status in (200, 503, 418):
            metrics.predict("m").answered(status, 0.3)
    assert "seldon" not in plain.render().decode()
    families = {family.name: family for family in text_string_to_metric_families(chosen.render().decode())}
    for side in ("server", "client"):
        family = families[f"seldon_api_executor_{side}_requests_seconds"]
        counts = [sample for sample in family.samples if sample.name.endswith("_count")]
        assert {sample.labels["code"]: sample.value for sample in counts} == {"200": 1, "503": 1, "400": 1}
        assert {sample.labels["deployment_name"] for sample in counts} == {"m"}
        assert {sample.labels["service"] for sample in counts} == {"predictions"}
        assert f"seldon_api_executor_{side}_requests_seconds_summary" in families
    assert families["seldon_api_executor_client_requests_seconds"].samples[0].labels["model_name"] == "m"


def test_what_gpus_have_is_told_where_there_are_some() -> None:
    metrics = Metrics()
    metrics.machine.gpus = {"GPU-1": Use(10, 40, 0.5), "MIG-1": Use(1, 4, None)}
    samples = read(metrics)
    assert samples["modelserve_gpu_memory_used_bytes", "GPU-1"] == 10
    assert samples["modelserve_gpu_memory_total_bytes", "MIG-1"] == 4
    assert samples["modelserve_gpu_utilization_ratio", "GPU-1"] == 0.5
    assert ("modelserve_gpu_utilization_ratio", "MIG-1") not in samples


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
    deployment.restarted("signal")
    samples = read(metrics)
    assert samples["modelserve_timeouts_total", "m", "predict"] == 1
    assert samples["modelserve_worker_restarts_total", "m", "signal"] == 1
    assert samples["modelserve_worker_restarts_total", "m", "exit"] == 0


def test_twenty_deployments_are_rendered_within_a_tenth_of_a_second() -> None:
    """F05."""
    metrics = Metrics()
    for number in range(20):
        metrics.deployment(f"m{number}")
        metrics.predict(f"m{number}").answered(200, 0.1)
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


def test_the_seconds_in_which_the_server_stood_still_are_read_when_asked_for() -> None:
    metrics = Metrics()
    lost_s = 0.0
    metrics.watch_stalls(lambda: lost_s)
    lost_s = 2.5
    assert read(metrics)["modelserve_stalled_seconds_total",] == 2.5


def test_jobs_are_counted_where_they_are_kept() -> None:
    metrics = Metrics()
    assert not [key for key in read(metrics) if key[0].startswith("modelserve_jobs")]
    present, ended = {("m", "train", "running"): 1}, {("m", "train", "done"): 0}
    metrics.watch_jobs(lambda: JobCounts(present, ended))
    ended["m", "train", "done"] = 2
    samples = read(metrics)
    assert samples["modelserve_jobs", "m", "train", "running"] == 1
    assert samples["modelserve_jobs_ended_total", "m", "train", "done"] == 2


def test_what_the_server_holds_is_told_with_its_limit_and_summed_where_there_are_several_of_a_name() -> None:
    metrics = Metrics()
    sending, first, second = Bound("sending", 100), Bound("queued", 10), Bound("queued", 20)
    for bound in (sending, first, second):
        metrics.watch_held(bound)
    assert first.take(3)
    assert second.take(4)
    samples = read(metrics)
    assert samples["modelserve_held_bytes", "queued"] == 7
    assert samples["modelserve_held_limit_bytes", "queued"] == 30
    assert samples["modelserve_held_bytes", "sending"] == 0
    assert samples["modelserve_held_limit_bytes", "sending"] == 100
