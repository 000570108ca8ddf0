"""Which peers there are: what is installed, how each is started and asked, and why it is set up so."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import ONE_THREAD, Case, json_is, mlp_answer, mlp_body, mlp_vector, modelserve

__all__ = ["MODELS", "PEERS", "Peer", "case_of", "ours"]

MODELS = {"adder": "x + 1", "mlp": "MLP 128-512-512-10"}

# Nothing may report home from a bench.
_ENVIRONMENT = {
    **dict(ONE_THREAD),
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
}


@dataclass(frozen=True)
class Peer:
    """One other server.

    ``requirements`` are pinned. ``command`` is given the model's name and the folder of the environment's programs; a
    ``{port}`` in it is replaced. ``paths`` is where each model is asked. ``settings`` is a sentence for the page.
    ``dialect`` is how it wants a request: "plain" ``{"x": ...}``, "listed" with a list around it, or "inference" as the
    Open Inference Protocol has it. ``distribution`` is the package whose version is told.
    """

    name: str
    title: str
    distribution: str
    requirements: tuple[str, ...]
    command: Callable[[str, Path], tuple[str, ...]]
    paths: dict[str, str]
    settings: str
    dialect: str = "plain"


def _module(name: str, *flags: str) -> Callable[[str, Path], tuple[str, ...]]:
    return lambda model, programs: (str(programs / "python"), "-m", f"benchmarks.peers.{name}", model, *flags)


def _uvicorn(_model: str, programs: Path) -> tuple[str, ...]:
    where = ("benchmarks.peers.fastapi:app", "--host", "127.0.0.1", "--port", "{port}")
    quiet = ("--no-access-log", "--log-level", "warning")
    return (str(programs / "uvicorn"), *where, *quiet, "--workers", str(os.cpu_count()), "--loop", "uvloop")


def _bentoml(model: str, programs: Path) -> tuple[str, ...]:
    where = ("--host", "127.0.0.1", "--port", "{port}")
    return (str(programs / "bentoml"), "serve", f"benchmarks.peers.bentoml:{model.title()}", *where)


def _same(path: str) -> dict[str, str]:
    return dict.fromkeys(MODELS, path)


PEERS = (
    Peer(
        "deepaas",
        "DEEPaaS",
        "deepaas",
        ("deepaas==2.6.0",),
        _module("deepaas", "{port}"),
        {model: f"/v2/models/{model}/predict/" for model in MODELS},
        "`deepaas-run --nodoc`, one worker per core, as its help advises on CPUs. It has no batching.",
    ),
    Peer(
        "litserve",
        "LitServe",
        "litserve",
        ("litserve==0.2.19",),
        _module("litserve", "{port}"),
        _same("/predict"),
        "One worker, `fast_queue=True` (ZeroMQ), uvloop. Batches of up to 32, its default "
        "`batch_timeout` of 0. It validates nothing.",
    ),
    Peer(
        "bentoml",
        "BentoML",
        "bentoml",
        # 1.4.40 asks for a certifi that the registry did not have.
        ("bentoml==1.4.39",),
        _bentoml,
        _same("/predict"),
        "`bentoml serve`, one worker. Batches of up to 32, its default `max_latency_ms` of 60,000.",
        dialect="listed",
    ),
    Peer(
        "mlserver",
        "MLServer",
        "mlserver",
        # Its worker asks for the current event loop in a way that later versions of uvloop refuse.
        ("mlserver==1.7.1", "uvloop==0.21.0"),
        _module("mlserver", "{port}"),
        {model: f"/v2/models/{model}/infer" for model in MODELS},
        "One parallel worker, uvloop. Batches of up to 32. `max_batch_time` has to be set: 10 ms, our "
        "choice. Open Inference Protocol.",
        dialect="inference",
    ),
    Peer(
        "ray",
        "Ray Serve",
        "ray",
        ("ray[serve]==2.60.0",),
        _module("ray", "{port}"),
        _same("/"),
        "One replica, `RAY_SERVE_THROUGHPUT_OPTIMIZED=1`, uvloop. Batches of up to 32, its default "
        "`batch_wait_timeout_s` of 0.01. "
        "It validates nothing.",
    ),
    Peer(
        "mosec",
        "mosec",
        "mosec",
        ("mosec==0.9.8",),
        _module("mosec", "--address", "127.0.0.1", "--port", "{port}"),
        _same("/inference"),
        "One worker behind its server in Rust. Batches of up to 32, its default wait of 10 ms. It validates what "
        "the model's code validates.",
    ),
    Peer(
        "fastapi",
        "FastAPI + uvicorn",
        "fastapi",
        ("fastapi==0.163.2", "uvicorn[standard]==0.54.0"),
        _uvicorn,
        {model: f"/{model}" for model in MODELS},
        "uvicorn with one process per core, uvloop and httptools, no access log. It has no batching.",
    ),
)


def case_of(peer: Peer, model: str, programs: Path) -> Case:
    """Return how the peer is loaded with this model, beside the bare handler ``bare-MODEL``."""
    body, right = _exchange_of(peer.dialect, model)
    return Case(
        name=f"{peer.name}-{model}",
        title=peer.title,
        command=peer.command(model, programs),
        body=body,
        right=right,
        path=peer.paths[model],
        beside=f"bare-{model}",
        environment=(*_ENVIRONMENT.items(), ("BENTOML_HOME", str(Path(tempfile.gettempdir()) / "bench-bentoml"))),
    )


def ours(model: str) -> Case:
    """Return how modelserve itself is loaded with this model: default settings, and one thread as its peers."""
    body, right = _exchange_of("plain", model)
    target = "adder.py" if model == "adder" else "mlp.py:Batched"
    return Case(
        name=f"modelserve-{model}",
        title="modelserve",
        command=modelserve(target),
        body=body,
        right=right,
        beside=f"bare-{model}",
        environment=ONE_THREAD,
    )


def _exchange_of(dialect: str, model: str) -> tuple[bytes, Callable[[bytes], bool]]:
    if dialect == "inference":
        return _inference(model)
    if model == "adder":
        return b'{"x": 1}', json_is({"y": 2})
    if dialect == "listed":
        return json.dumps({"x": [mlp_vector()]}, separators=(",", ":")).encode(), _judge(lambda answer: answer[0])
    return mlp_body(), _judge(lambda answer: answer["y"])


def _inference(model: str) -> tuple[bytes, Callable[[bytes], bool]]:
    values, shape, datatype = ([1], [1], "INT64") if model == "adder" else (mlp_vector(), [1, 128], "FP32")
    inputs = [{"name": "x", "shape": shape, "datatype": datatype, "data": values}]
    body = json.dumps({"inputs": inputs}, separators=(",", ":")).encode()
    if model == "adder":
        return body, lambda answer: bool(json.loads(answer)["outputs"][0]["data"] == [2])
    return body, _judge(lambda answer: answer["outputs"][0]["data"])


def _judge(numbers: Callable[[Any], Any]) -> Callable[[bytes], bool]:
    def right(body: bytes) -> bool:
        try:
            return mlp_answer(numbers(json.loads(body)))
        except (ValueError, LookupError, TypeError):
            return False

    return right
