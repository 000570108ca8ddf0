"""Counters and histograms of the hot path, to the last number."""

from __future__ import annotations

from modelserve.metrics.quick import Counts, Spreads


def test_a_histogram_counts_each_observation_in_its_bucket_its_number_and_its_sum() -> None:
    """Y14."""
    spreads = Spreads("seconds", "How long.", ["name"], (1.0, 2.0))
    spread = spreads.of("a")
    spread.observe(0.5)
    spread.observe(1.0)
    spread.observe(1.5, times=3)
    spread.observe(7.0, times=2)
    (family,) = spreads.collect()
    assert [(sample.name, sample.labels.get("le"), sample.value) for sample in family.samples] == [
        ("seconds_bucket", "1.0", 2),
        ("seconds_bucket", "2.0", 5),
        ("seconds_bucket", "+Inf", 7),
        ("seconds_count", None, 7),
        ("seconds_sum", None, 0.5 + 1.0 + 3 * 1.5 + 2 * 7.0),
    ]


def test_a_family_has_a_series_for_each_set_of_values_that_was_asked_for() -> None:
    counts = Counts("seen", "Seen.", ["name"])
    counts.of("a").value += 2
    counts.of("b")
    assert counts.of("a") is counts.of("a")
    (family,) = counts.collect()
    assert [(sample.name, sample.labels, sample.value) for sample in family.samples] == [
        ("seen_total", {"name": "a"}, 2),
        ("seen_total", {"name": "b"}, 0),
    ]
