"""The page's picture: requests per second at the most connections, a bar for each server and model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .loads import Measured, bare_rows
from .table import MODELS

__all__ = ["draw"]

_OURS = "modelserve"
_COLOURS = {_OURS: "#1b6ca8", "bare aiohttp": "#b8b8b8"}
_PEER = "#8fb8d4"


def draw(measured: Sequence[Measured], connections: int, path: Path) -> None:
    """Write the picture as SVG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(MODELS), figsize=(9, 3.6), layout="constrained")
    for axes, model in zip(panels, MODELS, strict=True):
        bars = _bars(measured, model, connections)
        names = [name for name, _ in bars]
        drawn = axes.barh(names, [rate for _, rate in bars], color=[_COLOURS.get(name, _PEER) for name in names])
        axes.bar_label(drawn, fmt="{:,.0f}", padding=2)
        axes.set_title(f"{MODELS[model]}, {connections} connections")
        axes.set_xlabel("requests per second")
        axes.margins(x=0.22)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _bars(measured: Sequence[Measured], model: str, connections: int) -> list[tuple[str, float]]:
    named = [("bare aiohttp", bare_rows(measured, model)), *((one.title, one.rows(model)) for one in measured)]
    found = [(title, row.rate) for title, rows in named for row in rows if row.connections == connections]
    return sorted(found, key=lambda bar: bar[1])
