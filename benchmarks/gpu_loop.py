"""The plain PyTorch loop beside which ``gpu.py`` measures modelserve, in a process of its own.

    standard input: one JSON line {"batch": 32, "seconds": 5}  ->  standard output: one JSON line of the rates

The network, the pictures' way to the device and the answers' way back are those of the served model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from .models.convnet import ConvNet, Images, side

__all__ = ["picture"]

_WARM = 3


def picture(number: int) -> Images:
    """Return a picture ``(3, side, side)`` of noise, the same one for the same number."""
    return np.random.default_rng(number).integers(0, 256, (3, side(), side()), dtype=np.uint8)


def _measured(network: ConvNet, batch: int, seconds: float) -> dict[str, float]:
    """Return the rate of the loop from numpy to numpy, and of the network alone on pictures that lie on the device."""
    pictures = [picture(number) for number in range(batch)]
    resident = network.to_device(np.stack(pictures))
    return {
        "loop": batch * _passes(lambda: network.run(np.stack(pictures)), seconds),
        "network": batch * _passes(lambda: network.alone(resident), seconds),
    }


def _passes(run: Callable[[], object], seconds: float) -> float:
    """Return how often a second it runs."""
    for _ in range(_WARM):
        run()
    passes, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        run()
        passes += 1
    return passes / (time.perf_counter() - began)


def _serve() -> None:
    network = ConvNet()
    scores, _ = network.run(picture(0)[None])
    about = {
        "device": network.name,
        "cuda": network.device.type == "cuda",
        "parameters": network.parameters,
        "score": float(scores[0]),
    }
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_measured(network, asked["batch"], asked["seconds"])), flush=True)


if __name__ == "__main__":
    _serve()
