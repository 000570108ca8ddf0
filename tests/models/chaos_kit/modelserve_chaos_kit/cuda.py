"""The errors that torch raises for a GPU, without torch and without a GPU.

The classes bear torch's names and the texts are in the words of torch's c10/cuda/CUDACachingAllocator.cpp and
CUDAException.cpp, since code that tells them apart without importing torch has nothing else to go by.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["AcceleratorError", "Gpu", "OutOfMemoryError", "raise_out_of_memory"]

_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB of which 1.20 GiB is "
    "free. Of the allocated memory 13.90 GiB is allocated by PyTorch, and 120.00 MiB is reserved by PyTorch but "
    "unallocated."
)
_ADVICE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable "
    "device-side assertions.\n"
)


class OutOfMemoryError(RuntimeError):
    """What torch raises when its allocator finds no memory on the device; the context is fine afterwards."""

    __module__ = "torch"


class AcceleratorError(RuntimeError):
    """What torch 2.8 and later raise for an error of the CUDA runtime; before, it was a plain RuntimeError."""

    __module__ = "torch"


def raise_out_of_memory() -> NoReturn:
    """Raise as torch's allocator does."""
    raise OutOfMemoryError(_OUT_OF_MEMORY)


class Gpu:
    """A pretended GPU of this process: after a sticky error, every further use fails in the same way."""

    def __init__(self) -> None:
        self._broken = ""

    def use(self) -> None:
        """Do nothing on a GPU that works.

        Raises:
            AcceleratorError: An error broke it before.
        """
        if self._broken:
            raise AcceleratorError(f"CUDA error: {self._broken}{_ADVICE}")

    def fail(self, text: str, *, sticky: bool, plain: bool = False) -> NoReturn:
        """Raise ``CUDA error: TEXT``, as a plain RuntimeError where asked; a sticky one breaks the GPU for good."""
        self._broken = text if sticky else self._broken
        error = f"CUDA error: {text}{_ADVICE}"
        raise RuntimeError(error) if plain else AcceleratorError(error)
