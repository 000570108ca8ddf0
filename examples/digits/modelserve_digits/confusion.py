"""How often each digit was taken for which -> a table as PNG bytes.

labels and what was read --confusion--> (10, 10) counts --draw_confusion--> PNG
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from .style import BEST, INK, MUTED, PAPER, font, write_sideways

__all__ = ["confusion", "draw_confusion"]

_SIDE, _CELL = 620, 50
_LEFT, _TOP = 90, 70
_MISTAKE = "#c4442b"

Counts = NDArray[np.int64]


def confusion(labels: NDArray[np.int64], read: NDArray[np.int64]) -> Counts:
    """Return ``(10, 10)`` counts: a row for each true digit, a column for each one that it was read as."""
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (labels, read), 1)
    return counts


def draw_confusion(counts: Counts) -> bytes:
    """Return a PNG of 620x620 pixels: right readings in blue down the diagonal, mistakes in red."""
    canvas = Image.new("RGB", (_SIDE, _SIDE), PAPER)
    draw = ImageDraw.Draw(canvas)
    right, total = int(np.trace(counts)), int(counts.sum())
    draw.text((_LEFT, 34), f"{right} of {total} held-out digits are read right", INK, font(22), anchor="lm")
    for digit in range(10):
        _draw_names(draw, digit)
        for guess in range(10):
            _draw_cell(draw, (digit, guess), counts)
    draw.text((_LEFT + 5 * _CELL, _TOP + 10 * _CELL + 36), "read as", MUTED, font(15), anchor="mm")
    write_sideways(draw, (34, _TOP + 5 * _CELL), "true digit")
    file = BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


def _draw_names(draw: ImageDraw.ImageDraw, digit: int) -> None:
    middle = (digit + 0.5) * _CELL
    draw.text((_LEFT - 16, _TOP + middle), str(digit), INK, font(18), anchor="mm")
    draw.text((_LEFT + middle, _TOP + 10 * _CELL + 14), str(digit), INK, font(18), anchor="mm")


def _draw_cell(draw: ImageDraw.ImageDraw, cell: tuple[int, int], counts: Counts) -> None:
    row, column = cell
    left, top = _LEFT + column * _CELL, _TOP + row * _CELL
    count = int(counts[cell])
    part = count / max(1, int(counts[row].sum()))
    colour = _shade(BEST if row == column else _MISTAKE, part)
    draw.rectangle((left + 1, top + 1, left + _CELL - 1, top + _CELL - 1), colour)
    ink = PAPER if part > 0.5 else INK if count else MUTED
    draw.text((left + _CELL // 2, top + _CELL // 2), str(count), ink, font(15), anchor="mm")


def _shade(colour: str, part: float) -> tuple[int, int, int]:
    """Return a colour faded towards grey paper; a single mistake is to be seen, so that it starts at a fifth."""
    strength = 0.2 + 0.8 * part if part else 0.0
    full, empty = ImageColor.getrgb(colour), ImageColor.getrgb("#f3f5f7")
    red, green, blue = (round(e + (f - e) * strength) for f, e in zip(full[:3], empty[:3], strict=True))
    return red, green, blue
