"""The bound on PyTorch's memory, with modules that stand for PyTorch."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from modelserve.runtime.gpu import limit_memory


class Torch(types.ModuleType):
    """As much of PyTorch as the bound needs."""

    def __init__(self, *, gpus: int, error: Exception | None = None) -> None:
        super().__init__("torch")
        self.cuda = self
        self.fractions: list[float] = []
        self._gpus = gpus
        self._error = error

    def is_available(self) -> bool:
        return self._gpus > 0

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        if self._error:
            raise self._error
        self.fractions.append(fraction)


def test_pytorch_is_told_the_fraction_where_it_is_loaded_and_sees_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = Torch(gpus=1)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert limit_memory(0.25)
    assert torch.fractions == [0.25]


def test_no_fraction_is_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = Torch(gpus=1)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert not limit_memory(0.0)
    assert torch.fractions == []


def test_without_a_gpu_there_is_nothing_to_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = Torch(gpus=0)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert not limit_memory(0.5)
    assert torch.fractions == []


def test_a_bound_that_pytorch_refuses_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch", Torch(gpus=1, error=RuntimeError("CUDA driver is too old")))
    assert not limit_memory(0.5)
    assert "gpu_memory_fraction has no effect: RuntimeError: CUDA driver is too old" in caplog.text


def test_no_gpu_library_is_loaded_for_it() -> None:
    code = (
        "import sys; from modelserve.runtime.gpu import limit_memory, is_sticky; assert not limit_memory(0.5); "
        "is_sticky(RuntimeError('x')); print({'torch', 'pynvml', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
