"""DEEPaaS: ``python -m benchmarks.peers.deepaas adder|mlp PORT`` becomes ``deepaas-run``.

DEEPaaS finds models by entry points, so that the metadata of an installed package is written first, to this folder.
"""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported"

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from webargs import fields

if TYPE_CHECKING:
    from benchmarks.peers import perceptron


@cache
def _forward() -> perceptron.Forward:
    # Loaded at the first call: each of DEEPaaS's worker processes makes its own.
    from benchmarks.peers import perceptron

    return perceptron.load()


def _add(**arguments: Any) -> dict[str, int]:
    return {"y": arguments["x"] + 1}


def _predict(**arguments: Any) -> dict[str, list[float]]:
    return {"y": _forward()([arguments["x"]])[0]}


def _metadata() -> dict[str, str]:
    return {"name": "bench", "version": "1.0"}


def _add_arguments() -> dict[str, Any]:
    return {"x": fields.Int(required=True)}


def _predict_arguments() -> dict[str, Any]:
    return {"x": fields.List(fields.Float(), required=True)}


adder = SimpleNamespace(
    predict=_add, get_predict_args=_add_arguments, get_metadata=_metadata, schema={"y": fields.Int(required=True)}
)
mlp = SimpleNamespace(
    predict=_predict,
    get_predict_args=_predict_arguments,
    get_metadata=_metadata,
    schema={"y": fields.List(fields.Float(), required=True)},
)


def _install(model: str) -> Path:
    folder = Path("site").absolute()
    metadata = folder / "bench_peer-1.0.dist-info"
    metadata.mkdir(parents=True)
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: bench-peer\nVersion: 1.0\n")
    metadata.joinpath("entry_points.txt").write_text(f"[deepaas.v2.model]\n{model} = {__spec__.name}:{model}\n")
    return folder


if __name__ == "__main__":
    os.environ["PYTHONPATH"] += os.pathsep + str(_install(sys.argv[1]))
    program = Path(sys.executable).with_name("deepaas-run")
    flags = ["--listen-ip", "127.0.0.1", "--listen-port", sys.argv[2], "--workers", str(os.cpu_count()), "--nodoc"]
    os.execv(program, [str(program), *flags])
