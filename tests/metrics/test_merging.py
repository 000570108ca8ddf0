"""The own metrics of models, merged: what only grows never falls, and gauges are as they were made."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from modelserve.messages import MOST_SERIES, Family, Sample
from modelserve.metrics.merging import Merged


def counter(value: float, name: str = "seen", **labels: str) -> Family:
    created = Sample(f"{name}_created", labels, 1e9)
    return Family(name, "counter", "Seen.", "", [Sample(f"{name}_total", labels, value), created])


def gauge(value: float, mode: str) -> Family:
    return Family("level", "gauge", "A level.", mode, [Sample("level", {}, value)])


def histogram(total: float, count: float) -> Family:
    names = {"bucket": count, "count": count, "sum": total}
    labels = {"bucket": {"le": "+Inf"}}
    samples = [Sample(f"size_{name}", labels.get(name, {}), value) for name, value in names.items()]
    return Family("size", "histogram", "Sizes.", "", samples)


def read(merged: Merged) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(merged)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


SEEN = ("seen_total", "deployment=m")


def test_counters_are_summed_over_workers_and_kept_when_one_ends() -> None:
    """N05."""
    merged = Merged()
    merged.add("m", 1, "m-0", [counter(3)])
    merged.add("m", 2, "m-1", [counter(4)])
    assert read(merged)[SEEN] == 7
    merged.keep_only("m", {2})
    assert read(merged)[SEEN] == 7
    merged.add("m", 3, "m-0", [counter(1)])
    assert read(merged)[SEEN] == 8


def test_a_worker_in_the_place_of_one_that_nobody_has_said_is_gone_adds_to_it() -> None:
    """N05."""
    merged = Merged()
    merged.add("m", 1, "m-0", [counter(3)])
    merged.add("m", 2, "m-0", [counter(1)])
    assert read(merged)[SEEN] == 4


def test_a_counter_that_begins_again_or_vanishes_takes_nothing_away() -> None:
    """N05."""
    merged = Merged()
    for value in (5, 2, 3):
        merged.add("m", 1, "m-0", [counter(value)])
    assert read(merged)[SEEN] == 8
    merged.add("m", 1, "m-0", [])
    assert read(merged)[SEEN] == 8
    merged.add("m", 1, "m-0", [counter(1)])
    assert read(merged)[SEEN] == 9


def test_histograms_are_summed_and_a_sum_may_fall() -> None:
    merged = Merged()
    merged.add("m", 1, "m-0", [histogram(5, 2)])
    merged.add("m", 2, "m-1", [histogram(1, 1)])
    merged.add("m", 1, "m-0", [histogram(-5, 3)])
    samples = read(merged)
    assert samples["size_count", "deployment=m"] == samples["size_bucket", "deployment=m", "le=+Inf"] == 4
    assert samples["size_sum", "deployment=m"] == -4


def test_gauges_are_of_the_workers_there_are_by_their_mode() -> None:
    for mode, expected in {"sum": 7, "livesum": 7, "max": 4, "livemin": 3}.items():
        merged = Merged()
        merged.add("m", 1, "m-0", [gauge(3, mode)])
        merged.add("m", 2, "m-1", [gauge(4, mode)])
        assert read(merged)["level", "deployment=m"] == expected
        merged.keep_only("m", {1})
        assert read(merged)["level", "deployment=m"] == 3


def test_gauges_of_any_other_mode_are_told_for_each_worker() -> None:
    merged = Merged()
    merged.add("m", 1, "m-0", [gauge(3, "all")])
    merged.add("m", 2, "m-1", [gauge(4, "mostrecent")])
    samples = read(merged)
    assert (samples["level", "deployment=m", "worker=m-0"], samples["level", "deployment=m", "worker=m-1"]) == (3, 4)


def test_labels_that_are_ours_are_renamed_and_names_that_are_ours_left_out() -> None:
    merged = Merged()
    forged = [counter(1, name) for name in ("modelserve_requests", "seldon_api_x", "process_cpu_seconds")]
    merged.add("m", 1, "m-0", [counter(1, deployment="other", worker="mine"), *forged])
    samples = read(merged)
    assert samples["seen_total", "deployment=m", "exported_deployment=other", "exported_worker=mine"] == 1
    assert samples["modelserve_model_series_dropped", "deployment=m"] == 6
    assert len(samples) == 2


def test_a_name_is_one_kind_of_thing_in_all_deployments() -> None:
    merged = Merged()
    merged.add("a", 1, "a-0", [counter(1, "level")])
    merged.add("b", 2, "b-0", [gauge(3, "sum"), counter(2)])
    samples = read(merged)
    assert ("level", "deployment=b") not in samples
    assert (samples["level_total", "deployment=a"], samples["seen_total", "deployment=b"]) == (1, 2)


def test_more_series_than_there_is_room_for_are_left_out_and_counted_even_over_restarts() -> None:
    """N03."""
    merged = Merged()
    for worker in range(3):
        samples = [Sample("seen_total", {"of": f"{worker}-{number}"}, 1) for number in range(MOST_SERIES - 1)]
        merged.add("m", worker, "m-0", [Family("seen", "counter", "Seen.", "", samples)], dropped=5)
    found = read(merged)
    assert sum(key[0] == "seen_total" for key in found) == MOST_SERIES
    assert found["modelserve_model_series_dropped", "deployment=m"] == MOST_SERIES - 1 + 5
