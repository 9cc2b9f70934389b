"""PIL's antialiased bilinear resizing, compiled with numba: PIL's pixels to the bit, but only of a window, perhaps mirrored.

PIL resizes along one axis, rounds to bytes, and resizes along the other. The weights are a triangle as wide as the reduction,
in fixed point. Pillow 13 resizes rows (horizontally) first, unless an image loses more than twice as much height as width:
then columns first, and other values are rounded. The interpreter lock is released, so that other threads run at the same time.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

BITS = 22
"""Binary places of a weight, as in PIL: 255 times the weights' sum fits into 32 bits."""
HALF = 1 << (BITS - 1)
"""One half, added before rounding down."""
_Counts = NDArray[np.uintp]
_Weights = NDArray[np.int32]
_READ, _WRITTEN, _PAIR = (
    types.Array(types.uint8, 2, "C", readonly=True),
    types.uint8[:, ::1],
    types.UniTuple(types.int64, 2),
)


@njit(cache=True, nogil=True)
def _weights(side: int, rescaled: int, first: int, count: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """For `count` outputs from `first` on: the first input [count], the number of inputs [count], the weight of each input."""
    scale = side / rescaled
    width = max(scale, 1.0)
    start, taps = np.empty(count, np.uintp), np.empty(count, np.uintp)
    weights = np.zeros((count, 2 * math.ceil(width) + 1), np.int32)
    triangle = np.empty(weights.shape[1])
    for i in range(count):
        centre = (first + i + 0.5) * scale
        low, high = max(int(centre - width + 0.5), 0), min(int(centre + width + 0.5), side)
        for k in range(high - low):
            triangle[k] = max(0.0, 1.0 - abs((k + low - centre + 0.5) * (1.0 / width)))
        total = 0.0
        for k in range(high - low):
            total += triangle[k]
        for k in range(high - low):
            weights[i, k] = int(0.5 + triangle[k] / total * (1 << BITS))
        start[i], taps[i] = low, high - low
    return start, taps, weights


@njit(cache=True, nogil=True)
def _along_rows(  # type: ignore[no-untyped-def]  # noqa: ANN202
    rows: NDArray[np.uint8], size: int, first: int, mirrored: bool, out: NDArray[np.uint8]
):
    """Resize rows [n, 3 W] of pixels to `size` pixels; the pixels from `first` on go into `out` [n, 3 w]."""
    width = out.shape[1] // 3
    start, taps, weights = _weights(rows.shape[1] // 3, size, first, width)
    # unsigned indices: the compiler need not handle negative ones, which count from the end
    one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
    for y in range(rows.shape[0]):
        row, target = rows[y], out[y]
        for x in range(width):
            at = three * start[x]
            red = green = blue = np.int32(HALF)
            for k in range(taps[x]):
                weight = weights[x, k]
                red += np.int32(row[at]) * weight
                green += np.int32(row[at + one]) * weight
                blue += np.int32(row[at + two]) * weight
                at += three
            to = np.uintp(3 * (width - 1 - x if mirrored else x))
            target[to], target[to + one], target[to + two] = red >> BITS, green >> BITS, blue >> BITS


@njit(cache=True, nogil=True)
def _along_columns(  # type: ignore[no-untyped-def]  # noqa: ANN202
    rows: NDArray[np.uint8], above: int, start: _Counts, taps: _Counts, weights: _Weights, out: NDArray[np.uint8]
):
    """Resize columns into `out` [h, bytes], with the inputs and weights of each row; `above` is how many rows are absent."""
    total = np.empty(out.shape[1], np.int32)
    for y in range(out.shape[0]):
        total[:] = HALF
        for k in range(taps[y]):
            row, weight = rows[start[y] - above + k], weights[y, k]
            for x in range(total.size):
                total[x] += np.int32(row[x]) * weight
        target = out[y]
        for x in range(total.size):
            target[x] = total[x] >> BITS


# explicit types: one compilation serves writable arrays and read-only maps of files
@njit(types.void(_READ, _PAIR, _PAIR, types.boolean, _WRITTEN), cache=True, nogil=True)
def resample(
    rows: NDArray[np.uint8], size: tuple[int, int], corner: tuple[int, int], mirrored: bool, out: NDArray[np.uint8]
) -> None:
    """Write into `out` [h, 3 w] the window at `corner` (top, left) of an image that is resized to `size` (height, width).

    `rows` [H, 3 W] are the image's pixels; `mirrored` flips the window from left to right.
    """
    start, taps, weights = _weights(rows.shape[0], size[0], corner[0], out.shape[0])
    if rows.shape[0] - size[0] > 2 * max(rows.shape[1] // 3 - size[1], 0):
        lowered = np.empty((out.shape[0], rows.shape[1]), np.uint8)
        _along_columns(rows, np.uintp(0), start, taps, weights, lowered)
        _along_rows(lowered, size[1], corner[1], mirrored, out)
    else:
        first, last = start[0], start[-1] + taps[-1]
        narrowed = np.empty((last - first, out.shape[1]), np.uint8)
        _along_rows(rows[first:last], size[1], corner[1], mirrored, narrowed)
        _along_columns(narrowed, first, start, taps, weights, out)
