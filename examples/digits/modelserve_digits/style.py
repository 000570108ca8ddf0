"""Colours and letters that the drawings share.

Letters come from Pillow's own typeface, so that a drawing looks the same on every machine.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

__all__ = ["BEST", "INK", "MUTED", "PAPER", "RULE", "font", "write_sideways"]

PAPER, INK, MUTED, RULE = "#ffffff", "#1b2733", "#66727f", "#e3e8ed"
BEST = "#1769aa"
"""What the eye is to find first."""


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the typeface in a size in pixels."""
    return ImageFont.load_default(size)


def write_sideways(draw: ImageDraw.ImageDraw, centre: tuple[int, int], text: str) -> None:
    """Write a short text that is read from below to above, as beside an axis."""
    label = Image.new("L", (120, 24))
    ImageDraw.Draw(label).text((60, 12), text, 255, font(15), anchor="mm")
    turned = label.rotate(90, expand=True)
    draw.bitmap((centre[0] - turned.width // 2, centre[1] - turned.height // 2), turned, MUTED)
