"""Pictures of every kind come out as the same square; what is no picture of a digit is refused in words."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelserve_digits.picture import UnreadablePictureError, ink, open_picture, square
from numpy.typing import NDArray
from PIL import Image


@pytest.fixture
def paper(samples: Path) -> Image.Image:
    """A dark 5 on white paper, mode L."""
    with Image.open(samples / "5.png") as image:
        image.load()
    return image


def seen(image: Image.Image, path: Path, **options: Any) -> NDArray[np.float64]:
    image.save(path, **options)
    return square(ink(open_picture(path)))


def inverted(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 255 - value)


def sixteen_bit(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def see_through(image: Image.Image, shade: int) -> Image.Image:
    """Return ink of one shade on nothing."""
    return Image.merge("LA", (Image.new("L", image.size, shade), inverted(image)))


def placed(image: Image.Image) -> Image.Image:
    """Return the picture in the lower left of a larger sheet."""
    sheet = Image.new("L", (700, 500), 255)
    sheet.paste(image, (10, 320))
    return sheet


VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "light on dark": inverted,
    "colour": lambda image: image.convert("RGB"),
    "colour with opacity": lambda image: image.convert("RGBA"),
    "palette": lambda image: image.convert("P"),
    "grey with 16 bits": sixteen_bit,
    "black ink on nothing": lambda image: see_through(image, 0),
    "white ink on nothing": lambda image: see_through(image, 255),
    "larger": lambda image: image.resize((900, 900), Image.Resampling.NEAREST),
    "elsewhere on the sheet": placed,
    "faint": lambda image: image.point(lambda value: 150 + value // 3),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_digit_gives_the_same_square(paper: Image.Image, tmp_path: Path, variant: str) -> None:
    expected = seen(paper, tmp_path / "paper.png")
    assert expected.shape == (8, 8)
    assert expected.max() == 16
    assert expected.min() >= 0
    assert np.abs(seen(VARIANTS[variant](paper), tmp_path / "variant.png") - expected).max() < 1.0


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_every_mode_gives_nearly_the_same_square(paper: Image.Image, tmp_path: Path, mode: str) -> None:
    expected = seen(paper, tmp_path / "paper.png")
    assert np.abs(seen(paper.convert(mode), tmp_path / "photo.jpg", quality=90) - expected).max() < 1.5


def test_a_photo_is_turned_upright_as_its_exif_says(paper: Image.Image, tmp_path: Path) -> None:
    expected = seen(paper, tmp_path / "paper.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    lying = paper.rotate(90, expand=True)
    assert np.abs(seen(lying, tmp_path / "photo.jpg", exif=exif, quality=95) - expected).max() < 1.0


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (40, 40)])
def test_a_blank_picture_is_refused(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    with pytest.raises(UnreadablePictureError, match="blank"):
        seen(Image.new(mode, size), tmp_path / "blank.png")


def test_a_single_dot_is_a_digit_of_sorts(tmp_path: Path) -> None:
    dot = Image.new("L", (9, 9), 255)
    dot.putpixel((4, 4), 0)
    assert seen(dot, tmp_path / "dot.png").tolist() == [[16.0] * 8] * 8


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_another_format_than_png_and_jpeg_is_refused_whatever_its_name(
    paper: Image.Image, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "digit.png"
    paper.save(path, kind)
    with pytest.raises(UnreadablePictureError, match="no picture"):
        open_picture(path)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.7"])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(UnreadablePictureError):
        open_picture(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_picture_that_is_cut_short_is_refused(paper: Image.Image, tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    paper.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UnreadablePictureError, match=r"damaged|no picture"):
        open_picture(path)


@pytest.mark.parametrize("side", [6_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side))
    with pytest.raises(UnreadablePictureError, match="at most 25 million pixels"):
        open_picture(path)


def test_a_bomb_of_text_is_refused(paper: Image.Image, tmp_path: Path) -> None:
    file = BytesIO()
    paper.save(file, "PNG")
    head, rest = file.getvalue()[:33], file.getvalue()[33:]
    path = tmp_path / "text.png"
    path.write_bytes(head + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 9)) + rest)
    with pytest.raises(UnreadablePictureError, match="damaged"):
        open_picture(path)


def png_that_claims(side: int) -> bytes:
    """Return a small PNG whose header says ``side`` x ``side`` pixels."""
    header = chunk(b"IHDR", struct.pack("!IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
