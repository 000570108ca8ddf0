"""``python -m benchmarks.gpu``: the plain PyTorch loop beside modelserve, in pictures per second and as a ratio.

The network is of the size of ResNet-50 and has random weights. At each batch size the loop stacks pictures, takes them
to the device, runs the network and brings the answers back; modelserve does the same with pictures that come one a
call, as an uploaded npy file or as npy in base64 within JSON, from three times as many connections as a batch holds.
Medians of the repeats; loop and load take turns. ``--device cpu --small`` tries it all out without a GPU.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from . import report
from .cases import Case, modelserve
from .gpu_loop import picture
from .load import BenchmarkError, Load
from .plan import choose_load
from .servers import Server, started

__all__ = ["Row", "main", "rows"]

_ROOT = Path(__file__).resolve().parent.parent
WAYS = ("npy", "base64")
"""How a picture travels: as a file of a form, or in JSON."""

# One batch runs, one is ahead in the worker, one gathers in the queue.
_BATCHES_IN_FLIGHT = 3
# A score in bfloat16 has 8 bits, and another batch size may take another kernel.
_TOLERANCE = 0.05


@dataclass(frozen=True)
class Setup:
    """What is measured on: ``device`` (cuda: the first GPU), the network, and for how long and how often."""

    device: str
    small: bool
    side: int
    duration_s: int
    repeats: int

    def environment(self, batch: int = 1) -> tuple[tuple[str, str], ...]:
        """Return the variables that the network and the served model read."""
        small = (("CONVNET_SMALL", "1"),) if self.small else ()
        return (("CONVNET_SIDE", str(self.side)), ("CONVNET_BATCH", str(batch)), *small)


@dataclass(frozen=True)
class Sample:
    """Pictures per second of one repeat: of the loop, of the network alone, and of modelserve."""

    batch: int
    way: str
    loop: float
    network: float
    served: float
    p50_ms: float


@dataclass(frozen=True)
class Row:
    """Medians over the repeats; ``ratio`` is modelserve's rate over the loop's of the same repeat."""

    batch: int
    way: str
    loop: float
    network: float
    served: float
    ratio: float
    p50_ms: float


class Loop:
    """The plain loop in its process; ``about`` is what it says of device, network and the score of picture 0."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.about = self._read()

    def measure(self, batch: int, seconds: float) -> dict[str, float]:
        """Return pictures per second, as ``loop`` and ``network``."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"batch": batch, "seconds": seconds}) + "\n")
        self._child.stdin.flush()
        found: dict[str, float] = self._read()
        return found

    def _read(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise BenchmarkError(f"The plain loop ended with {self._child.wait()}.")
        return json.loads(line)


@contextlib.contextmanager
def looping(setup: Setup) -> Iterator[Loop]:
    """Start the plain loop on the device, and end it.

    Raises:
        BenchmarkError: It ended at its start, or it sees no GPU where one is asked for.
    """
    environment = {**os.environ, **dict(setup.environment())}
    if setup.device == "cpu":
        # As modelserve's plan for one worker that has all CPUs and no GPU.
        environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    command = [sys.executable, "-m", "benchmarks.gpu_loop"]
    with subprocess.Popen(
        command, cwd=_ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            loop = Loop(child)
            if setup.device == "cuda" and not loop.about["cuda"]:
                raise BenchmarkError("PyTorch sees no GPU here; try this out with --device cpu --small.")
            yield loop
        finally:
            child.kill()


def request(way: str) -> tuple[bytes, str]:
    """Return body and content type of a call with picture 0."""
    file = io.BytesIO()
    np.save(file, picture(0))
    if way == "base64":
        return json.dumps({"image": base64.b64encode(file.getvalue()).decode()}).encode(), "application/json"
    disposition = b'Content-Disposition: form-data; name="image"; filename="image.npy"\r\n'
    head = b"--picture\r\n" + disposition + b"Content-Type: application/octet-stream\r\n\r\n"
    return head + file.getvalue() + b"\r\n--picture--\r\n", "multipart/form-data; boundary=picture"


def measured(setup: Setup, batches: Sequence[int], ways: Sequence[str], load: Load, console: Console) -> list[Sample]:
    """Measure every batch size and way.

    Raises:
        BenchmarkError: A request failed or an answer was wrong.
    """
    samples = []
    with looping(setup) as loop:
        console.print(f"{loop.about['device']}; {loop.about['parameters']:,} weights", style="dim", markup=False)
        for batch in batches:
            for way in ways:
                console.print(f"batches of {batch}, {way} ...", style="dim")
                with started(case(setup, batch, way, loop.about["score"])) as server:
                    samples += [_sample(setup, batch, way, loop, server, load) for _ in range(setup.repeats)]
    return samples


def case(setup: Setup, batch: int, way: str, score: float) -> Case:
    """Return the served network; its answer is right where it has this score."""
    body, content_type = request(way)
    return Case(
        name=f"convnet-{batch}-{way}",
        title=f"convnet, batches of {batch}",
        command=modelserve("convnet.py:Served", "--device", setup.device),
        body=body,
        content_type=content_type,
        right=lambda answer: _near(json.loads(answer).get("score"), score),
        needs=("torch", "numpy"),
        environment=setup.environment(batch),
    )


def _near(found: Any, score: float) -> bool:
    return isinstance(found, float) and abs(found - score) <= _TOLERANCE * abs(score)


def _sample(setup: Setup, batch: int, way: str, loop: Loop, server: Server, load: Load) -> Sample:
    plain = loop.measure(batch, setup.duration_s)
    outcome = load.run(server.request, connections=_BATCHES_IN_FLIGHT * batch, duration_s=setup.duration_s)
    if outcome.errors or not outcome.requests:
        raise BenchmarkError(f"{outcome.errors} of {outcome.requests} requests failed. {server.last_words()}")
    server.check()
    return Sample(batch, way, plain["loop"], plain["network"], outcome.rate, outcome.p50_ms)


def rows(samples: Sequence[Sample]) -> list[Row]:
    """Return one row of medians for each batch size and way, in the order they were measured."""
    groups: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.batch, sample.way), []).append(sample)
    return [
        Row(
            batch,
            way,
            loop=median(sample.loop for sample in group),
            network=median(sample.network for sample in group),
            served=median(sample.served for sample in group),
            ratio=median(sample.served / sample.loop for sample in group),
            p50_ms=median(sample.p50_ms for sample in group),
        )
        for (batch, way), group in groups.items()
    ]


def table(found: Sequence[Row]) -> Table:
    """Return the rows for the terminal."""
    made = Table(caption="Pictures per second, medians. Ratio: modelserve to the loop.", caption_justify="left")
    for name in ("batch", "way", "network alone", "plain loop", "modelserve", "ratio", "p50 ms"):
        made.add_column(name, justify="left" if name == "way" else "right")
    for row in found:
        rates = (f"{rate:,.0f}" for rate in (row.network, row.loop, row.served))
        made.add_row(str(row.batch), row.way, *rates, f"{row.ratio:.2f}", f"{row.p50_ms:.1f}")
    return made


def _numbers(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    if not all(part.isdigit() and int(part) for part in value.split(",")):
        raise click.BadParameter("give whole numbers from 1, separated by commas")
    return tuple(int(part) for part in value.split(","))


@click.command()
@click.option("--device", default="cuda", show_default=True, type=click.Choice(["cuda", "cpu"]))
@click.option("--small", is_flag=True, help="A narrow and shallow network, to try this out.")
@click.option("--side", default=0, help="Height and width of a picture; 0 is 224, or 32 with --small.")
@click.option("--batches", default="1,8,32,64", show_default=True, callback=_numbers, help="Batch sizes.")
@click.option("--way", "ways", multiple=True, type=click.Choice(WAYS), help="How pictures travel; else both ways.")
@click.option("--duration", "duration_s", default=5, show_default=True, type=click.IntRange(1), help="Seconds each.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the results.")
def main(
    *, small: bool, side: int, batches: tuple[int, ...], ways: tuple[str, ...], path: Path | None, **rest: Any
) -> None:
    """Measure the plain PyTorch loop and modelserve on a convolutional network."""
    console = Console(stderr=True)
    setup = Setup(small=small, side=side or (32 if small else 224), **rest)
    # The pictures of this process are of the same size.
    os.environ["CONVNET_SIDE"] = str(setup.side)
    load = choose_load("auto")
    try:
        samples = measured(setup, batches, ways or WAYS, load, console)
    except BenchmarkError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
    found = rows(samples)
    Console().print(table(found))
    if path:
        document = {"setup": asdict(setup), "load": load.name, "rows": [asdict(row) for row in found]}
        document |= {"samples": [asdict(sample) for sample in samples], "environment": report.environment()}
        path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
