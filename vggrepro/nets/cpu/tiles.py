"""The tiles of Winograd's convolutions: where they lie, and what they see of the images. Compiled, for any size of tile."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Flat = NDArray[np.float32]
"""Numbers in a row; where they lie is counted in indices without a sign, so that the compiler need not look for others."""


@njit(cache=True, nogil=True)
def place(tile: int, shape: tuple[int, int], side: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """The image of a tile of `side` x `side` outputs, and the row and column of its first output."""
    across = -(-shape[1] // side)
    strip, column = divmod(tile, across)
    image, row = divmod(strip, -(-shape[0] // side))
    return image, side * row, side * column


@njit(cache=True, nogil=True, inline="always")
def seen(  # type: ignore[no-untyped-def]  # noqa: ANN201
    pixels: Flat, shape: tuple[int, int], channels: int, tile: int, side: int, cut: Flat
):
    """Where the inputs of a tile begin, of images [N, H, W, C]: an array, its index, and how wide the array's rows are.

    The images themselves; at their edges `cut` [(side + 2)^2 C], into which the inputs are copied, with zeros beyond the edge.
    """
    height, width = shape
    image, y, x = place(tile, shape, side)
    top, left, whole = y - 1, x - 1, side + 2
    if top >= 0 and left >= 0 and top + whole <= height and left + whole <= width:
        return pixels, np.uintp(((image * height + top) * width + left) * channels), width
    cut[:] = 0
    for i in range(max(0, -top), min(whole, height - top)):
        for j in range(max(0, -left), min(whole, width - left)):
            at = np.uintp(((image * height + top + i) * width + left + j) * channels)
            to = np.uintp((whole * i + j) * channels)
            for c in range(np.uintp(channels)):
                cut[to + c] = pixels[at + c]
    return cut, np.uintp(0), whole
