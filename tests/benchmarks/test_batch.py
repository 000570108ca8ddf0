"""The rates of batch runs come out, each beside the model's own loop. How fast is not asked."""

from __future__ import annotations

from benchmarks.batch import rates


def test_each_way_to_predict_many_rows_is_measured() -> None:
    found = rates("Sums", 500, 1)
    assert [rate.way for rate in found][:3] == ["bare loop", "script", "modelserve, 1 worker(s)"]
    assert all(rate.rows_per_s > 0 for rate in found)
    assert found[0].share == 1
