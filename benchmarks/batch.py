"""``python -m benchmarks.batch``: rows a second of ``modelserve batch``, beside loops in one process that users write.

    bare loop    predict_batch on rows that are in memory as the model wants them: nothing can be faster
    script       JSON lines -> orjson -> numpy -> predict_batch -> orjson -> lines: validates nothing, survives nothing
    modelserve   the command, without its start, by one worker and by one for each core

All see the same rows, in batches of the model's own size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import orjson

from .cases import ONE_THREAD
from .models.table import MAX_BATCH_SIZE, Digits, Sums

__all__ = ["Rate", "main", "rates"]

_ROOT = Path(__file__).resolve().parent.parent
_MODELS = {"Sums": Sums, "Digits": Digits}


@dataclass(frozen=True)
class Rate:
    """Rows a second of one way to predict them, and its share of the bare loop's."""

    model: str
    way: str
    rows_per_s: float
    share: float


@click.command()
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(1))
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Runs of each; their median.")
@click.option("--only", type=click.Choice(sorted(_MODELS)), help="Measure this model alone.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the results.")
def main(rows: int, repeats: int, only: str | None, path: Path | None) -> None:
    """Measure modelserve batch beside the model's own loop."""
    found = [rate for name in _MODELS if only in (None, name) for rate in rates(name, rows, repeats)]
    print(f"{rows:,} rows, batches of {MAX_BATCH_SIZE}, {len(os.sched_getaffinity(0))} cores")
    print("| model | way | rows/s | of the bare loop |\n| --- | --- | --: | --: |")
    for rate in found:
        print(f"| {rate.model} | {rate.way} | {rate.rows_per_s:,.0f} | {rate.share:.0%} |")
    if path is not None:
        path.write_text(json.dumps([vars(rate) for rate in found], indent=2) + "\n")


def rates(name: str, rows: int, repeats: int) -> list[Rate]:
    """Return the rates of all ways for one model, measured in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        where = Path(folder) / "rows.jsonl"
        where.write_bytes(b"".join(islice(_lines(name), rows)))
        workers = sorted({1, len(os.sched_getaffinity(0))})
        ways = {"bare loop": ("bare", where), "script": ("script", where)}
        seen: dict[str, list[float]] = {}
        for _ in range(repeats):
            for way, (kind, path) in ways.items():
                seen.setdefault(way, []).append(_own(name, kind, path))
            for count in workers:
                seen.setdefault(f"modelserve, {count} worker(s)", []).append(_batch(name, where, count))
    bare = median(seen["bare loop"])
    return [Rate(name, way, median(found), median(found) / bare) for way, found in seen.items()]


def _lines(name: str) -> Iterator[bytes]:
    """Yield rows without end; the digits' are noise, whose cost is the same."""
    random, number = np.random.default_rng(1), 0
    pictures = random.integers(0, 17, (500, 64)).tolist()
    while True:
        row = {"x": float(number), "y": 0.5} if name == "Sums" else {"image": pictures[number % len(pictures)]}
        yield orjson.dumps(row) + b"\n"
        number += 1


def _own(name: str, kind: str, where: Path) -> float:
    """Measure a loop in a process of its own, as modelserve's workers are."""
    command = [sys.executable, "-m", "benchmarks.batch", "--loop", name, kind, str(where)]
    return float(_output(command))


def _batch(name: str, where: Path, workers: int) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        model = f"benchmarks.models.table:{name}"
        paths = ["--input", str(where), "--output", str(Path(folder) / "out.jsonl")]
        command = [sys.executable, "-m", "modelserve", "batch", model, *paths, "--workers", str(workers), "--json"]
        return float(json.loads(_output(command))["rows_per_s"])


def _output(command: list[str]) -> str:
    environment = {**os.environ, **dict(ONE_THREAD)}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _loop(name: str, kind: str, where: Path) -> float:
    """Return the rate of a loop of one's own."""
    model: Any = _MODELS[name]()
    if hasattr(model, "warm"):
        model.warm()
    with where.open("rb") as file:
        batches: Iterable[list[dict[str, Any]]] = _parsed(name, file)
        if kind == "bare":
            batches = list(batches)
        began, count = time.perf_counter(), 0
        with tempfile.TemporaryFile() as out:
            for calls in batches:
                answers = model.predict_batch(calls)
                count += len(answers)
                if kind == "script":
                    out.writelines(orjson.dumps(answer) + b"\n" for answer in answers)
        return count / (time.perf_counter() - began)


def _parsed(name: str, file: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    lines = iter(file)
    while some := list(islice(lines, MAX_BATCH_SIZE)):
        calls = [orjson.loads(line) for line in some]
        yield calls if name == "Sums" else [{"image": np.array(call["image"], np.float32)} for call in calls]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--loop"]:
        print(_loop(sys.argv[2], sys.argv[3], Path(sys.argv[4])))
    else:
        main()
