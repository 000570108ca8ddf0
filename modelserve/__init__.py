"""modelserve turns an installed Python package into a model service.

Importing it loads nothing heavy: what needs a server is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelserve.serving import running as running
    from modelserve.serving import serve as serve

    __version__: str

__all__ = ["__version__", "running", "serve"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("modelserve")
    if name in ("running", "serve"):
        from modelserve import serving

        return getattr(serving, name)
    raise AttributeError(f"module 'modelserve' has no attribute {name!r}")
