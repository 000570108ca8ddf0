"""The command ``modelserve``, also as ``python -m modelserve``.

Workers read the program they were started from again, so nothing is imported here before ``main`` is called.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run the command line and return the exit status."""
    from modelserve.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
