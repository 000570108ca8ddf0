"""The own metrics of models, merged: what only grows never falls, and gauges are as they were made."""

from __future__ import annotations

import pytest
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


def sizes(*counts: float, bounds: tuple[str, ...], total: float = 0.0, **labels: str) -> Family:
    """Return a histogram with so many observations in each bucket and above the last."""
    found, sum_of_counts = [], 0.0
    for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
        sum_of_counts += count
        found.append(Sample("size_bucket", {**labels, "le": bound}, sum_of_counts))
    found += [Sample("size_count", labels, sum_of_counts), Sample("size_sum", labels, total)]
    return Family("size", "histogram", "Sizes.", "", found)


def told(merged: Merged) -> tuple[dict[str, float], float, float]:
    """Return the buckets of the histogram by their bounds, its count and its sum."""
    samples = read(merged)
    buckets = {key[2].removeprefix("le="): value for key, value in samples.items() if key[0] == "size_bucket"}
    return buckets, samples["size_count", "deployment=m"], samples["size_sum", "deployment=m"]


def test_a_histogram_whose_buckets_change_never_falls_with_its_bounds_nor_with_time() -> None:
    """Y14: as a reload brings new code with other buckets; a generation later once more."""
    merged = Merged()
    merged.add("m", 1, "m-0", [sizes(2, 3, 1, bounds=("1.0", "10.0"), total=40)])
    assert told(merged) == ({"1.0": 2, "10.0": 5, "+Inf": 6}, 6, 40)
    merged.keep_only("m", set())
    merged.add("m", 2, "m-0", [sizes(4, 5, 2, bounds=("2.0", "20.0"), total=100)])
    assert told(merged) == ({"1.0": 2, "2.0": 6, "10.0": 9, "20.0": 14, "+Inf": 17}, 17, 140)
    merged.keep_only("m", set())
    assert told(merged) == ({"1.0": 2, "2.0": 6, "10.0": 9, "20.0": 14, "+Inf": 17}, 17, 140)
    merged.add("m", 3, "m-0", [sizes(1, 1, bounds=("15.0",), total=30)])
    buckets, count, total = told(merged)
    assert (count, total) == (19, 170)
    assert list(buckets.items()) == [("1.0", 2), ("2.0", 6), ("10.0", 9), ("15.0", 10), ("20.0", 15), ("+Inf", 19)]


def test_a_histogram_that_begins_again_keeps_its_sum_with_its_count() -> None:
    """Y14."""
    merged = Merged()
    merged.add("m", 1, "m-0", [sizes(2, 2, bounds=("1.0",), total=10)])
    merged.add("m", 1, "m-0", [sizes(1, 0, bounds=("1.0",), total=0.5)])
    assert told(merged) == ({"1.0": 3, "+Inf": 5}, 5, 10.5)
    merged.add("m", 1, "m-0", [sizes(1, 1, bounds=("1.0",), total=-3)])
    assert told(merged) == ({"1.0": 3, "+Inf": 6}, 6, 7)


def test_a_worker_that_changes_its_buckets_itself_has_begun_again() -> None:
    """Y14."""
    merged = Merged()
    merged.add("m", 1, "m-0", [sizes(2, 2, bounds=("1.0",), total=10)])
    merged.add("m", 1, "m-0", [sizes(3, 3, bounds=("5.0",), total=20)])
    assert told(merged) == ({"1.0": 2, "5.0": 5, "+Inf": 10}, 10, 30)


def test_one_counter_that_begins_again_takes_no_other_with_it() -> None:
    """Y14: also where a label has the name that a histogram gives its bounds."""
    merged = Merged()
    for values in ((5, 5), (6, 2)):
        samples = [Sample("seen_total", {"le": f"{number}"}, value) for number, value in enumerate(values)]
        merged.add("m", 1, "m-0", [Family("seen", "counter", "Seen.", "", samples)])
    found = read(merged)
    assert (found["seen_total", "deployment=m", "le=0"], found["seen_total", "deployment=m", "le=1"]) == (6, 7)


def test_the_limit_of_series_leaves_out_a_histogram_whole() -> None:
    """Y14."""
    merged = Merged()
    many = [Sample("seen_total", {"of": f"{number}"}, 1) for number in range(MOST_SERIES - 6)]
    one, other = (sizes(1, 1, bounds=("1.0",), of=name) for name in ("one", "other"))
    family = Family("size", "histogram", "Sizes.", "", [*one.samples, *other.samples])
    merged.add("m", 1, "m-0", [Family("seen", "counter", "Seen.", "", many), family])
    found = read(merged)
    assert sorted(key for key in found if key[0].startswith("size")) == [
        ("size_bucket", "deployment=m", "le=+Inf", "of=one"),
        ("size_bucket", "deployment=m", "le=1.0", "of=one"),
        ("size_count", "deployment=m", "of=one"),
        ("size_sum", "deployment=m", "of=one"),
    ]
    assert found["modelserve_model_series_dropped", "deployment=m"] == 4


def test_a_bound_that_is_no_number_harms_nothing() -> None:
    merged = Merged()
    said = Family("a_bucket", "summary", "", "", [Sample("a_bucket", {"quantile": "0.5", "le": "x"}, 1)])
    merged.add("m", 1, "m-0", [said])
    merged.add("m", 2, "m-1", [said])
    assert read(merged)["a_bucket", "deployment=m", "le=x", "quantile=0.5"] == 2


def one(name: str, kind: str, *samples: Sample) -> Family:
    return Family(name, kind, "Bad.", "", list(samples))


BAD = {
    "name": one("a b", "gauge", Sample("a b", {}, 1)),
    "no name": one("", "gauge", Sample("", {}, 1)),
    "line feed": one("level\n", "gauge", Sample("level\n", {}, 1)),
    "kind": one("bad", "evil", Sample("bad", {}, 1)),
    "sample of another": one("bad", "gauge", Sample("seen_total", {}, 1)),
    "label": one("bad", "gauge", Sample("bad", {'a="b"} 1\nx': "c"}, 1)),
    "reserved label": one("bad", "gauge", Sample("bad", {"__name__": "seen_total"}, 1)),
    "long label": one("bad", "gauge", Sample("bad", {"a": "b" * 10_000}, 1)),
    "labels alike": one("bad", "gauge", Sample("bad", {"worker": "a", "exported_worker": "b"}, 1)),
    "no bound": one("bad", "histogram", Sample("bad_bucket", {}, 1)),
    "text as bound": one("bad", "histogram", Sample("bad_bucket", {"le": "much"}, 1)),
    "NaN as bound": one("bad", "histogram", Sample("bad_bucket", {"le": "nan"}, 1)),
    "NaN counted": one("bad", "counter", Sample("bad_total", {}, float("nan"))),
    "negative counted": one("bad", "counter", Sample("bad_total", {}, -1)),
    "other kind": one("seen", "gauge", Sample("seen", {}, 1)),
    "name of a series": one("seen_total", "gauge", Sample("seen_total", {}, 1)),
    "series of a name": one("size_count", "counter", Sample("size_count_total", {}, 1)),
    "of the server": one("modelserve_requests", "counter", Sample("modelserve_requests_total", {}, 1)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_family_that_cannot_be_shown_is_left_out_and_said_once(bad: Family, caplog: pytest.LogCaptureFixture) -> None:
    """X7: whatever a worker says, the page can be read, and what all others count is there."""
    merged = Merged()
    merged.add("other", 1, "other-0", [counter(3), histogram(5, 2)])
    before = read(merged)
    for _ in range(3):
        merged.add("m", 2, "m-0", [bad, one("fine", "gauge", Sample("fine", {}, float("inf")))], dropped=-5)
    more = {key: value for key, value in read(merged).items() if key not in before}
    dropped = ("modelserve_model_series_dropped", "deployment=m")
    assert more == {("fine", "deployment=m", "worker=m-0"): float("inf"), dropped: len(bad.samples)}
    assert [record.getMessage().startswith("the model's own metric") for record in caplog.records] == [True]


def test_a_family_that_is_said_twice_counts_once() -> None:
    """X7."""
    merged = Merged()
    for _ in range(3):
        merged.add("m", 1, "m-0", [counter(3), counter(1)])
    assert read(merged)[SEEN] == 3


def test_families_without_series_do_not_gather(caplog: pytest.LogCaptureFixture) -> None:
    """X7: as of a worker that says ever new names."""
    merged, registry = Merged(), CollectorRegistry()
    registry.register(merged)
    for number in range(10):
        merged.add(
            "m",
            1,
            "m-0",
            [one(f"empty_{number}", "gauge"), one(f"new_{number}", "gauge", Sample(f"new_{number}", {}, 1))],
        )
    page = generate_latest(registry).decode()
    assert "empty_" not in page
    assert "new_8" not in page
    assert 'new_9{deployment="m",worker="m-0"} 1.0' in page
