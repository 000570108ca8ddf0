"""Any picture of one digit -> the 8x8 grey square that the classifier knows.

    file --open_picture--> Pillow image --ink--> (h, w) 0..1, 1 is ink --square--> (8, 8) 0..16

Knows Pillow and numpy, and neither the classifier nor HTTP. Each step that finds nothing to work on raises
``UnreadablePictureError`` with a sentence for the person who sent the picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["SIDE", "UnreadablePictureError", "ink", "open_picture", "square"]

SIDE = 8
"""Rows and columns of the square; what scikit-learn's bundled digits have."""

_FULL = 16.0
"""The value of full ink in scikit-learn's bundled digits."""

_MAX_PIXELS = 25_000_000
"""A larger picture is refused before it is decoded: 25 megapixels are a phone's photo and 100 MB as RGBA."""

_WORK_SIDE = 512
"""Large pictures are shrunk to this first; a digit that fills a tenth of it still has 51 pixels to be made 8 of."""

_LEAST_CONTRAST = 0.1
"""Darkest and brightest must differ by this part of the range, else the picture is blank."""

_PAPER = 0.25
"""Ink fainter than this part of the strongest counts as paper: shadows, JPEG noise, a ruled line's ghost."""


class UnreadablePictureError(Exception):
    """The file is no picture that can be read, or there is no digit on it."""


def open_picture(path: str | Path) -> Image.Image:
    """Return the picture of a file: decoded, upright, 8-bit grey (mode ``L``) and at most 512x512.

    Transparent parts take the colour, black or white, that the drawing stands out from.

    Raises:
        UnreadablePictureError: The file is no PNG or JPEG, is damaged, or has too many pixels.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            _refuse_bomb(image)
            image.draft("L", (_WORK_SIDE, _WORK_SIDE))  # a JPEG is decoded small; a PNG does not mind
            return _shrunk(_grey(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePictureError(_too_large()) from error
    except UnidentifiedImageError as error:
        raise UnreadablePictureError("This is no picture: send a PNG or JPEG file.") from error
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadablePictureError("The picture is damaged or cut short: send a whole PNG or JPEG file.") from error


def ink(image: Image.Image) -> NDArray[np.float64]:
    """Return how much ink each pixel holds, ``(h, w)``, 0..1, whichever of paper and ink is the darker.

    The border tells the paper's shade: a digit seldom touches most of it.

    Raises:
        UnreadablePictureError: The picture is blank.
    """
    grey = np.asarray(image, dtype=np.float64) / 255.0
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    darkest, brightest = float(grey.min()), float(grey.max())
    depth = paper - grey if paper > (darkest + brightest) / 2 else grey - paper
    strongest = float(depth.max())
    if strongest < _LEAST_CONTRAST:
        raise UnreadablePictureError("The picture is blank: no digit stands out from its background.")
    return np.clip(depth / strongest, 0.0, 1.0)


def square(inked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the digit cropped to its ink, centred on a square and averaged to ``(8, 8)``, its strongest pixel 16."""
    strong = inked > _PAPER
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    digit = np.where(strong, inked, 0.0)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(digit.shape)
    top, left = (side - digit.shape[0]) // 2, (side - digit.shape[1]) // 2
    centred = np.zeros((side, side), dtype=np.float32)
    centred[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    small = np.asarray(Image.fromarray(centred).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    # A thin pen covers a small part of each cell; the bundled digits were written with a thick one.
    return small * (_FULL / float(small.max()))


def _refuse_bomb(image: Image.Image) -> None:
    # Opening reads the header only, so this comes before any pixel is decoded.
    if image.width * image.height > _MAX_PIXELS:
        raise UnreadablePictureError(_too_large())


def _too_large() -> str:
    return f"The picture is too large: send one of at most {_MAX_PIXELS // 1_000_000} million pixels."


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip, not scale, to 8 bits
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    grey, alpha = image.convert("RGBA").convert("LA").split()
    drawn = np.asarray(grey)[np.asarray(alpha) > 127]
    paper = 255 if drawn.size and drawn.mean() < 128 else 0
    return Image.composite(grey, Image.new("L", grey.size, paper), alpha)


def _shrunk(image: Image.Image) -> Image.Image:
    scale = max(1.0, max(image.size) / _WORK_SIDE)
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    return image.resize(size, Image.Resampling.BOX)
