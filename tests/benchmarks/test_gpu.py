"""The comparison on a GPU, tried out on a CPU with a small network; and the arithmetic of its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks import gpu
from benchmarks.models import convnet

ROOT = Path(gpu.__file__).parent.parent


def bench(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", "--json", str(path), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.timeout(150)
def test_a_small_network_on_the_cpu_is_measured_beside_the_plain_loop(tmp_path: Path) -> None:
    sizes = ["--side", "16", "--batches", "2", "--duration", "1", "--repeats", "1"]
    done = bench("--device", "cpu", *sizes, path=tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    assert [(row["batch"], row["way"]) for row in document["rows"]] == [(2, "npy"), (2, "base64")]
    for row in document["rows"]:
        assert row["ratio"] == pytest.approx(row["served"] / row["loop"])
        assert min(row["loop"], row["network"], row["served"]) > 0
    assert "ratio" in done.stdout


def test_without_a_gpu_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = bench("--device", "cuda", path=tmp_path / "out.json")
    assert done.returncode == 1
    assert "sees no GPU" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_network_is_of_the_size_of_resnet_50() -> None:
    import torch

    network = convnet.build(torch, 64, (3, 4, 6, 3))
    assert sum(weight.numel() for weight in network.parameters()) == 25_557_032


def test_a_ratio_is_taken_within_each_repeat() -> None:
    samples = [gpu.Sample(8, "npy", loop, 2 * loop, served, 1.0) for loop, served in ((100, 90), (50, 40), (80, 60))]
    [row] = gpu.rows(samples)
    assert (row.loop, row.network, row.served) == (80, 160, 60)
    assert row.ratio == pytest.approx(0.8)


@pytest.mark.parametrize("way", gpu.WAYS)
def test_a_picture_travels_whole(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVNET_SIDE", "16")
    body, content_type = gpu.request(way)
    assert len(body) >= 3 * 16 * 16
    assert content_type.startswith({"npy": "multipart/form-data", "base64": "application/json"}[way])
