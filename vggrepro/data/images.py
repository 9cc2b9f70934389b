"""The door that image files of others come in by: a few formats, a bounded number of pixels. No torch."""

from __future__ import annotations

import io

from PIL import Image

from vggrepro.core import limits

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What is read, whatever a file is called: ILSVRC has a PNG among its JPEGs. PIL would start Ghostscript for PostScript."""

START_OF_SCAN = b"\xff\xda"
"""The marker before each pass over a JPEG's pixels."""

MANY = 1_000_000
"""Pixels from which a JPEG's scans are counted."""

# checked below against our own limit, because PIL only warns near its own
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes | memoryview) -> Image.Image:
    """An image file, not yet decoded; a ValueError where its header asks for too much, PIL's errors for another format."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if problem := too_large(data, image.width * image.height):
        raise ValueError(f"{image.width:,} x {image.height:,} pixels: {problem}")
    return image


def too_large(data: bytes | memoryview, pixels: int) -> str:
    """What an image file of so many pixels asks for too much of; "" for an honest one."""
    if pixels > limits.PIXELS:
        return f"expected at most {limits.PIXELS:,} in all"
    # each scan decodes the whole image; the scans of a small one are not counted, because counting takes time, too
    if pixels > MANY and bytes(data).count(START_OF_SCAN) > limits.SCANS:
        return f"expected a JPEG of at most {limits.SCANS} scans"
    return ""
