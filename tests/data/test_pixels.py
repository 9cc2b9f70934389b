"""Pixels of every kind become the RGB that they stand for, by the rule that `decode` states, or are refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from vggrepro.data.store import decode

COLOUR = (200, 100, 50)
RGB = Image.new("RGB", (8, 8), COLOUR)
RED_INK = (0, 255, 255, 0)
PALETTE = RGB.quantize(4)


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(depth: int, kind: int, row: bytes, *chunks: bytes) -> bytes:
    """A PNG of 8 x 8 equal pixels, whose `row` PIL could not write."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(8 * (b"\0" + row)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + data + chunk(b"IEND", b"")


def of_16_bits(*channels: int) -> bytes:
    return 8 * b"".join(struct.pack(">H", value * 257) for value in channels)


def jpeg_without_adobes_marker() -> bytes:
    data = encoded(Image.new("RGB", (8, 8), COLOUR), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" not in data
    return data


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CASES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "PNG, RGB": (encoded(RGB, "PNG"), COLOUR),
    "PNG, opaque": (encoded(Image.new("RGBA", (8, 8), (*COLOUR, 255)), "PNG"), COLOUR),
    "PNG, transparent": (encoded(Image.new("RGBA", (8, 8), (*COLOUR, 0)), "PNG"), COLOUR),
    "PNG, grey and alpha": (encoded(Image.new("LA", (8, 8), (90, 128)), "PNG"), (90, 90, 90)),
    "PNG, palette": (encoded(PALETTE, "PNG"), COLOUR),
    "PNG, palette with transparency": (encoded(PALETTE, "PNG", transparency=PALETTE.getpixel((0, 0))), COLOUR),
    "PNG, palette with alphas": (encoded(PALETTE, "PNG", transparency=bytes([128] * 4)), COLOUR),
    "PNG, a colour is transparent": (encoded(RGB, "PNG", transparency=COLOUR), COLOUR),
    "PNG, palette of 1 bit": (png(1, 3, b"\xff", chunk(b"PLTE", bytes([0, 0, 0, *COLOUR]))), COLOUR),
    "PNG, palette of 4 bits": (png(4, 3, b"\x11" * 4, chunk(b"PLTE", bytes([0, 0, 0, *COLOUR]))), COLOUR),
    "PNG, grey": (encoded(Image.new("L", (8, 8), 77), "PNG"), (77, 77, 77)),
    "PNG, grey with profile": (encoded(Image.new("L", (8, 8), 77), "PNG", icc_profile=PROFILE), (77, 77, 77)),
    "PNG, 1 bit, white": (encoded(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
    "PNG, 1 bit, black": (encoded(Image.new("1", (8, 8), 0), "PNG"), (0, 0, 0)),
    "PNG, grey of 2 bits": (png(2, 0, b"\xaa\xaa"), (170, 170, 170)),
    "PNG, grey of 4 bits": (png(4, 0, b"\xcc" * 4), (204, 204, 204)),
    "PNG, grey of 16 bits": (png(16, 0, of_16_bits(90)), (90, 90, 90)),
    "PNG, grey of 16 bits, white": (png(16, 0, of_16_bits(255)), (255, 255, 255)),
    "PNG, grey and alpha of 16 bits": (png(16, 4, of_16_bits(90, 128)), (90, 90, 90)),
    "PNG, RGB of 16 bits": (png(16, 2, of_16_bits(*COLOUR)), COLOUR),
    "PNG, RGBA of 16 bits": (png(16, 6, of_16_bits(*COLOUR, 0)), COLOUR),
    "JPEG": (jpeg_without_adobes_marker(), COLOUR),
    "JPEG, grey": (encoded(Image.new("L", (8, 8), 77), "JPEG", quality=100), (77, 77, 77)),
    "JPEG, grey with profile": (
        encoded(Image.new("L", (8, 8), 77), "JPEG", quality=100, icc_profile=PROFILE),
        (77,) * 3,
    ),
    "JPEG, CMYK as Adobe inverts it": (encoded(Image.new("CMYK", (8, 8), RED_INK), "JPEG", quality=100), (255, 0, 0)),
    "JPEG, CMYK, black ink": (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG", quality=100), (0, 0, 0)),
    "JPEG, CMYK, no ink": (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG", quality=100), (255, 255, 255)),
    "JPEG, RGB without a transform": (encoded(RGB, "JPEG", quality=100, keep_rgb=True), COLOUR),
    "JPEG, progressive": (encoded(RGB, "JPEG", quality=100, progressive=True), COLOUR),
    "WebP, RGB": (encoded(RGB, "WEBP", lossless=True), COLOUR),
    "WebP, transparent": (encoded(Image.new("RGBA", (8, 8), (*COLOUR, 0)), "WEBP", lossless=True, exact=True), COLOUR),
    "WebP, grey": (encoded(Image.new("L", (8, 8), 77), "WEBP", lossless=True), (77, 77, 77)),
    "GIF": (encoded(PALETTE, "GIF"), COLOUR),
    "GIF, transparent": (encoded(PALETTE, "GIF", transparency=PALETTE.getpixel((0, 0))), COLOUR),
    "GIF, grey": (encoded(Image.new("L", (8, 8), 77), "GIF"), (77, 77, 77)),
    "GIF, animated": (
        encoded(RGB, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), (0, 0, 255))]),
        COLOUR,
    ),
    "BMP, 1 bit": (encoded(Image.new("1", (8, 8), 1), "BMP"), (255, 255, 255)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_pixel_becomes_the_colour_that_it_stands_for(case):
    data, colour = CASES[case]
    pixels = decode(data, "x")
    assert pixels.shape == (8, 8, 3)
    off = np.abs(pixels.astype(int) - np.array(colour)).max()
    assert off <= (2 if case.startswith("JPEG") else 0)


@pytest.mark.parametrize("value", [0, 1, 0x1234, 0x12FF, 32_767, 32_768, 65_279, 65_535])
def test_16_bits_lose_less_than_one_of_256_levels(value):
    for kind, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        pixels = decode(png(16, kind, 8 * channels * struct.pack(">H", value)), "x")
        assert (np.abs(pixels - value / 257) < 1).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_are_refused_by_name(mode, monkeypatch):
    """No format that is read holds them in today's PIL; an older one reads 16-bit PNGs as I."""
    monkeypatch.setattr("vggrepro.data.store.open_image", lambda _: Image.new(mode, (8, 8)))
    with pytest.raises(ValueError, match=f"x.png cannot be decoded .* 32 bits \\(mode {mode}\\)"):
        decode(b"", "x.png")


def test_a_tiff_of_32_bits_is_refused_by_name():
    with pytest.raises(ValueError, match="x.png cannot be decoded as an image"):
        decode(encoded(Image.new("F", (8, 8), 0.5), "TIFF"), "x.png")
