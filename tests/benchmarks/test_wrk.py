"""What wrk's script prints is read back whole."""

from __future__ import annotations

import pytest

from benchmarks.load import BenchmarkError, Outcome
from benchmarks.wrk import parse

_PRINTED = """Running 2s test @ http://127.0.0.1:39041/predict
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.28ms  620.10us  11.02ms   87.05%
  54018 requests in 2.00s, 8.35MB read
Requests/sec:  26987.12

RESULT {"requests": 54018, "duration_us": 2001612, "p50_us": 2196, "p99_us": 4529, "connect": 0, KINDS}
"""


def _printed(**errors: int) -> str:
    return _PRINTED.replace("KINDS", ", ".join(f'"{kind}": {count}' for kind, count in errors.items()))


def test_a_clean_run_gives_rate_and_latencies_in_milliseconds() -> None:
    outcome = parse(_printed(read=0, write=0, status=0, timeout=0))
    assert outcome == Outcome(requests=54018, duration_s=2.001612, p50_ms=2.196, p99_ms=4.529, errors=0)
    assert outcome.rate == pytest.approx(26987.2, abs=1)


def test_errors_of_every_kind_are_added_up() -> None:
    assert parse(_printed(read=1, write=2, status=300, timeout=4)).errors == 307


def test_output_without_a_result_is_an_error_that_shows_it() -> None:
    with pytest.raises(BenchmarkError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")
