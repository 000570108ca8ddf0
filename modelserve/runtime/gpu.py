"""What a worker does about its GPU. It imports no GPU library, but uses what the model has loaded."""

from __future__ import annotations

import logging
import sys
from typing import Any

from modelserve.gpu_errors import is_out_of_memory, is_sticky

__all__ = ["is_out_of_memory", "is_sticky", "limit_memory"]

logger = logging.getLogger(__name__)


def limit_memory(fraction: float) -> bool:
    """Bound what PyTorch may take of the GPU's memory in this process; what goes beyond is out of memory to the model.

    To be called once the model is loaded, and again once it is warm, since a model may import PyTorch only then.

    Args:
        fraction: Share of the whole memory of the GPU or MIG slice, 0 to 1; 0 is no bound.

    Returns:
        Whether the bound holds: not where PyTorch is not loaded or sees no GPU.
    """
    torch: Any = sys.modules.get("torch")
    if not fraction or torch is None:
        return False
    try:
        if not torch.cuda.is_available():
            return False
        torch.cuda.set_per_process_memory_fraction(fraction)
    except Exception as error:  # the operator's wish must not keep a model from serving without it
        logger.warning("gpu_memory_fraction has no effect: %s: %s", type(error).__name__, error)
        return False
    return True
