"""Ten probabilities and the picture they were read off -> a bar chart as PNG bytes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .style import BEST, INK, MUTED, PAPER, RULE, font, write_sideways

__all__ = ["draw_chart"]

_SIZE = (860, 460)
_PLOT = (90, 84, 610, 378)  # left, top, right, bottom of the axes
_INSET_LEFT, _INSET_SIDE = 674, 132
_INSET_TOPS = (100, 270)

_BAR = "#b4c5d6"


def draw_chart(probabilities: NDArray[np.float64], picture: Image.Image, seen: NDArray[np.float64]) -> bytes:
    """Return a PNG of 860x460 pixels.

    Args:
        probabilities: ``(10,)``, 0..1, by digit.
        picture: What the client sent, in grey.
        seen: What the classifier was shown, ``(8, 8)``, 0 paper to 16 ink.
    """
    canvas = Image.new("RGB", _SIZE, PAPER)
    draw = ImageDraw.Draw(canvas)
    best = int(probabilities.argmax())
    draw.text((_PLOT[0], 40), f"Most likely digit: {best}", INK, font(28), anchor="lm")
    _draw_axes(draw)
    for digit, probability in enumerate(probabilities):
        _draw_bar(draw, digit, float(probability), BEST if digit == best else _BAR)
    _draw_inset(canvas, _INSET_TOPS[0], picture, "your picture")
    squares = Image.fromarray(np.rint(255 - seen * (255 / 16)).astype(np.uint8))
    _draw_inset(canvas, _INSET_TOPS[1], squares, "what the model sees")
    file = BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


def _draw_axes(draw: ImageDraw.ImageDraw) -> None:
    left, top, right, bottom = _PLOT
    for percent in range(0, 101, 25):
        y = bottom - round((bottom - top) * percent / 100)
        draw.line((left, y, right, y), RULE if percent else MUTED)
        draw.text((left - 10, y), f"{percent} %", MUTED, font(13), anchor="rm")
    draw.text(((left + right) // 2, bottom + 54), "digit", MUTED, font(15), anchor="mm")
    write_sideways(draw, (26, (top + bottom) // 2), "probability")


def _draw_bar(draw: ImageDraw.ImageDraw, digit: int, probability: float, colour: str) -> None:
    left, top, right, bottom = _PLOT
    step = (right - left) / 10
    middle = round(left + step * (digit + 0.5))
    height = round((bottom - top) * probability)
    if height:
        draw.rectangle((middle - 17, bottom - height, middle + 17, bottom - 1), colour)
    draw.text((middle, bottom - height - 10), _percent(probability), INK, font(13), anchor="mm")
    draw.text((middle, bottom + 20), str(digit), INK, font(18), anchor="mm")


def _percent(probability: float) -> str:
    percent = 100 * probability
    if percent < 0.1:
        return "0"
    return f"{percent:.1f}" if percent < 99.95 else "100"


def _draw_inset(canvas: Image.Image, top: int, picture: Image.Image, caption: str) -> None:
    scale = _INSET_SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # An enlarged picture shows its pixels: that is what there is to see.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    left = _INSET_LEFT + (_INSET_SIDE - size[0]) // 2
    upper = top + (_INSET_SIDE - size[1]) // 2
    canvas.paste(picture.resize(size, how), (left, upper))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left - 1, upper - 1, left + size[0], upper + size[1]), outline=RULE)
    draw.text((_INSET_LEFT + _INSET_SIDE // 2, top - 14), caption, MUTED, font(14), anchor="mm")
