"""What exceptions say about the GPU: the words are those that the libraries use (FAULTS P01, P02)."""

from __future__ import annotations

from typing import Any

import pytest

from modelserve.gpu_errors import is_out_of_memory, is_sticky

MEMORY = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
LAUNCH = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"


def made(module: str, text: str, *, name: str = "SomeError", **attributes: Any) -> Exception:
    """Return an exception as a package that is not installed here raises it."""
    kind = type(name, (Exception,), {"__module__": module})
    error: Exception = kind(text)
    vars(error).update(attributes)
    return error


def raised(error: BaseException, *, handling: BaseException) -> BaseException:
    """Return the error as it is when it is raised while another one is handled."""
    try:
        try:
            raise handling
        except BaseException:
            raise error  # noqa: B904
    except BaseException as found:
        return found


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(LAUNCH),
        made("torch", "CUDA error: an illegal memory access was encountered\nSearch for ..."),
        made("torch", "CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: unknown error"),
        RuntimeError(
            "Caught RuntimeError in pin memory thread for device 0.\nRuntimeError: CUDA error: misaligned address"
        ),
        made("torch", "in words of a later version", error_code=719),
        made("cupy_backends.cuda.api.runtime", "cudaErrorIllegalAddress: an illegal memory access was encountered"),
        made("cupy_backends.cuda.api.runtime", "in other words", status=700),
        made("jaxlib.xla_extension", "INTERNAL: Failed to synchronize: CUDA_ERROR_LAUNCH_FAILED: unspecified"),
        made("onnxruntime.capi", "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 700: an illegal memory access ; GPU=0"),
        made("numba.cuda.cudadrv.driver", "[700] Call to cuMemcpyDtoH results in CUDA_ERROR_ILLEGAL_ADDRESS"),
    ],
    ids=lambda error: f"{type(error).__module__} {error}"[:60],
)
def test_errors_that_poison_the_context_are_known(error: BaseException) -> None:
    assert is_sticky(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        made("torch", MEMORY, name="OutOfMemoryError"),
        RuntimeError(MEMORY),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
        made("torch", "in words of a later version", error_code=2),
        made("cupy.cuda.memory", "Out of memory allocating 8 bytes", name="OutOfMemoryError"),
        made("jaxlib.xla_extension", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes"),
        made("tensorflow.python.framework.errors_impl", "OOM when allocating", name="ResourceExhaustedError"),
        made("onnxruntime.capi", "CUDA failure 2: out of memory ; GPU=0"),
    ],
    ids=lambda error: f"{type(error).__module__} {error}"[:60],
)
def test_a_memory_that_is_too_small_is_known_and_leaves_the_context_whole(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert not is_sticky(error)


class Mute(RuntimeError):
    __module__ = "torch"

    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: invalid configuration argument"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        made("torch", "CUDA error: invalid argument", error_code=1),
        ValueError(f"bad label: {LAUNCH}"),
        ValueError(MEMORY),
        RuntimeError(f"bad label {LAUNCH}"),
        RuntimeError("bad label CUDA_ERROR_UNKNOWN, CUDA failure 700: x"),
        made("my_model.errors", LAUNCH, error_code=719),
        KeyboardInterrupt(),
        Mute(),
    ],
    ids=lambda error: type(error).__name__ if isinstance(error, Mute) else f"{error}"[:60],
)
def test_other_errors_and_a_clients_words_in_a_models_error_are_neither(error: BaseException) -> None:
    assert not is_sticky(error)
    assert not is_out_of_memory(error)


def test_what_the_model_makes_of_a_broken_device_does_not_hide_it() -> None:
    error = ValueError("cannot classify")
    error.__cause__ = RuntimeError(LAUNCH)
    assert is_sticky(error)
    assert is_sticky(raised(ValueError("cannot classify"), handling=RuntimeError(LAUNCH)))


def test_a_memory_error_that_the_model_had_dealt_with_does_not_count() -> None:
    error = ValueError("cannot classify")
    error.__cause__ = made("torch", MEMORY, name="OutOfMemoryError")
    assert is_out_of_memory(error)
    assert not is_out_of_memory(
        raised(ValueError("the fallback failed too"), handling=made("torch", MEMORY, name="OutOfMemoryError"))
    )


def test_a_chain_without_an_end_is_followed_only_so_far() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert not is_sticky(one)
    assert not is_out_of_memory(one)
