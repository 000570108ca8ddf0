"""Modes that fail as a GPU does, for machines without one; see ``modelserve_chaos_kit.cuda``."""

from __future__ import annotations

from typing import NoReturn

from modelserve_chaos_kit.cuda import Gpu, raise_out_of_memory

from .asked import Asked, Mode

__all__ = ["GPU_MODES"]

_GPU = Gpu()


def _cuda_ok(asked: Asked) -> dict[str, bool]:
    """Use the GPU; fails for ever once ``cuda_sticky`` has run in this process."""
    _GPU.use()
    return {"used": True}


def _cuda_oom(asked: Asked) -> NoReturn:
    raise_out_of_memory()


def _cuda_sticky(asked: Asked) -> NoReturn:
    """Break the GPU of this process; ``text`` is CUDA's own words for how."""
    _GPU.fail(asked.text or "unspecified launch failure", sticky=True)


def _cuda_sticky_plain(asked: Asked) -> NoReturn:
    """The same as a plain RuntimeError, as torch raised before 2.8."""
    _GPU.fail(asked.text or "an illegal memory access was encountered", sticky=True, plain=True)


def _cuda_error(asked: Asked) -> NoReturn:
    """Raise an error of one call, after which the GPU works on."""
    _GPU.fail(asked.text or "invalid configuration argument", sticky=False)


GPU_MODES: dict[str, Mode] = {
    "cuda_ok": _cuda_ok,
    "cuda_oom": _cuda_oom,
    "cuda_sticky": _cuda_sticky,
    "cuda_sticky_plain": _cuda_sticky_plain,
    "cuda_error": _cuda_error,
}
"""Mode names and what they do."""
