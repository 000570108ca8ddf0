"""Tells what an exception says about the GPU: out of memory, or broken for this process until it ends.

    exception --> is_out_of_memory: smaller input may fit        exception --> is_sticky: replace the process

It goes by class, error number and text, so that no GPU library is imported for it. A text counts only where such a
library may have written it: a model's own ValueError that quotes a client's words must not end a worker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["is_out_of_memory", "is_sticky"]

# Errors of CUDA after which "any further CUDA work will return the same error", by number, name and text, as the
# documentation of cudaError_t says of each, 710 in other words:
# https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
# Of the errors of the hardware (214, 220) and the unknown one (999), which is what a lost GPU may give, it says nothing
# of the kind; a process is replaced after them too, for nothing on its GPU can be trusted.
_STICKY = {
    214: ("ECCUncorrectable|ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"),
    220: ("NvlinkUncorrectable|NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"),
    226: ("Contained|CONTAINED", "Invalid access of peer GPU memory over nvlink or a hardware error"),
    700: ("IllegalAddress|ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    702: ("LaunchTimeout|LAUNCH_TIMEOUT", "the launch timed out and was terminated"),
    710: ("Assert|ASSERT", "device-side assert triggered"),
    714: ("HardwareStackError|HARDWARE_STACK_ERROR", "hardware stack error"),
    715: ("IllegalInstruction|ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"),
    716: ("MisalignedAddress|MISALIGNED_ADDRESS", "misaligned address"),
    717: ("InvalidAddressSpace|INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"),
    718: ("InvalidPc|INVALID_PC", "invalid program counter"),
    719: ("LaunchFailure|LAUNCH_FAILED", "unspecified launch failure"),
    721: ("TensorMemoryLeak|TENSOR_MEMORY_LEAK", "tensor memory not completely freed"),
    810: ("MpsClientTerminated|MPS_CLIENT_TERMINATED", ""),
    911: ("ExternalDevice|EXTERNAL_DEVICE", "an async error has occured in external entity outside of CUDA"),
    999: ("Unknown|UNKNOWN", "unknown error"),
}

_NAMES = "|".join(names for names, _ in _STICKY.values())
_TEXTS = "|".join(re.escape(text) for _, text in _STICKY.values() if text)
_NUMBERS = "|".join(map(str, _STICKY))

# PyTorch's wording, at the start of a line, which TorchScript and the data loader begin with the name of the class.
_TORCH_STICKY = re.compile(rf"^(?:\w*Error: )?CUDA error: (?:{_TEXTS})", re.M)
_TORCH_MEMORY = re.compile(
    r"^(?:\w*Error: )?(?:(?:CUDA|HIP|XPU|MPS backend) out of memory|CUDA error: (?:out of memory|CUBLAS_STATUS_ALLOC))",
    re.M,
)

# Others': "cudaErrorLaunchFailure: ..." (CuPy), "CUDA_ERROR_LAUNCH_FAILED: ..." (JAX, TensorFlow, numba, PyCUDA),
# "CUDA failure 700: ..." (ONNX Runtime).
_STICKY_NAME = re.compile(rf"\b(?:cudaError|CUDA_ERROR_)(?:{_NAMES})\b|CUDA failure (?:{_NUMBERS}):")
_MEMORY_NAME = re.compile(
    r"\b(?:cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY)\b|CUDA failure 2:|^RESOURCE_EXHAUSTED: "
    r"|BFCArena.*Failed to allocate memory"
)
_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation

# The packages whose own exceptions are believed. PyTorch before 2.8 raises a plain RuntimeError, known by its words.
_LIBRARIES = {"torch", "cupy", "cupy_backends", "jax", "jaxlib", "numba", "onnxruntime", "pycuda", "tensorflow"}

# How far a chain of exceptions is followed.
_CHAIN = 10

# So much of a text is looked at; the words that count stand at its start.
_TEXT_LIMIT = 10_000


def is_sticky(error: BaseException) -> bool:
    """Tell whether CUDA will answer every further call of this process with an error; never raises.

    What an exception was raised from or after counts too: the device stays broken however the model words it.
    """
    return any(
        _number(found) in _STICKY or _says(found, _TORCH_STICKY, _STICKY_NAME) for found in _chain(error, handled=True)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an accelerator's memory was too small; never raises.

    A plain MemoryError is not meant: that is the memory of the machine. What the exception was raised from counts, but
    not what the model had dealt with before it.
    """
    return any(_is_memory(found) for found in _chain(error, handled=False))


def _is_memory(error: BaseException) -> bool:
    kinds = [kind for kind in type(error).__mro__ if _library(kind) in _LIBRARIES]
    if any(kind.__name__ in ("OutOfMemoryError", "ResourceExhaustedError") for kind in kinds):
        return True
    return _number(error) == _OUT_OF_MEMORY or _says(error, _TORCH_MEMORY, _MEMORY_NAME)


def _chain(error: BaseException, *, handled: bool) -> Iterator[BaseException]:
    """Yield an exception and what it came from, also ``handled`` ones in whose ``except`` it was raised."""
    following: BaseException | None = error
    for _ in range(_CHAIN):
        if following is None:
            return
        yield following
        following = following.__cause__ or (following.__context__ if handled else None)


def _number(error: BaseException) -> int | None:
    """Return CUDA's number of an error, where its library tells it: torch.AcceleratorError does, and CuPy's."""
    if _library(type(error)) not in _LIBRARIES:
        return None
    try:
        number = getattr(error, "error_code", None) or getattr(error, "status", None)
    except BaseException:
        return None
    return number if isinstance(number, int) else None


def _says(error: BaseException, words: re.Pattern[str], names: re.Pattern[str]) -> bool:
    is_library = _library(type(error)) in _LIBRARIES
    if not is_library and type(error) is not RuntimeError:
        return False
    try:
        text = str(error)[:_TEXT_LIMIT]
    except BaseException:  # the class may be the model's, and do anything
        return False
    return bool(words.search(text) or (is_library and names.search(text)))


def _library(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]
