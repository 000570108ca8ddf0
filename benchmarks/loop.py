"""The perceptron's own loop at batch 32, with no server at all: ``python -m benchmarks.loop SECONDS THREADS``.

It runs ``predict_batch`` of the very class that is served, on arrays that are there already, in a process of its own,
and prints calls per second. No server can serve it faster.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from .figures import Figure
from .load import BenchmarkError

__all__ = ["loop"]

_ROOT = Path(__file__).resolve().parent.parent
_BATCH = 32


def loop(repeats: int, duration_s: float, step: Callable[[str], None]) -> list[Figure]:
    """Return the rate of the loop, the median of ``repeats``, with the number of threads that is the fastest here.

    Raises:
        BenchmarkError: It failed.
    """
    rates: dict[int, float] = {}
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        step(f"mlp: own loop, {threads} thread(s)")
        rates[threads] = median(_rate(duration_s, threads) for _ in range(repeats))
    best = max(rates, key=rates.__getitem__)
    title = f"The MLP's own loop at batch {_BATCH}, {best} thread(s)"
    return [Figure("mlp.loop", title, rates[best], "calls/s", digits=0)]


def _rate(duration_s: float, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.loop", str(duration_s), str(threads)]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BenchmarkError(f"The MLP's own loop failed: {ended.stderr.strip()[-500:]}")
    return float(ended.stdout)


def _run(duration_s: float, threads: int) -> float:
    import numpy as np
    import torch

    from .models import mlp

    torch.set_num_threads(threads)
    model = mlp.Batched()
    calls = [{"x": np.random.default_rng(number).random(128, np.float32)} for number in range(_BATCH)]
    model.predict_batch(calls)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < duration_s:
        done += len(model.predict_batch(calls))
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    print(_run(float(sys.argv[1]), int(sys.argv[2])))
