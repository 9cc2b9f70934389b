"""Image files of others: few formats, bounded pixels, nothing started."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from vggrepro.core import limits
from vggrepro.data.store import decode


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose header says another size."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("size", [(65_500, 65_500), (40_000, 4_000)])
def test_a_header_of_too_many_pixels_is_refused_before_any_is_decoded(size):
    with pytest.raises(ValueError, match=r"x.JPEG cannot be decoded .* expected at most 100,000,000 in all"):
        decode(jpeg(*size), "x.JPEG")


def test_a_png_of_too_many_pixels_is_refused():
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    with pytest.raises(ValueError, match="20,000 x 20,000 pixels"):
        decode(buffer.getvalue(), "x.png")


def test_postscript_starts_nothing(monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("Ghostscript was started"))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(ValueError, match="x.JPEG cannot be decoded as an image"):
        decode(eps, "x.JPEG")


def test_a_jpeg_of_hundreds_of_scans_is_refused():
    buffer = io.BytesIO()
    Image.new("RGB", (1200, 1200)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    start = data.rindex(b"\xff\xda")
    with pytest.raises(ValueError, match=f"at most {limits.SCANS} scans"):
        decode(data[:start] + (limits.SCANS + 1) * data[start:-2] + data[-2:], "x.JPEG")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_formats_that_data_sets_have_are_read_whatever_they_are_called(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (255, 255, 255)).save(buffer, kind)
    assert decode(buffer.getvalue(), "x.JPEG").shape == (6, 8, 3)
