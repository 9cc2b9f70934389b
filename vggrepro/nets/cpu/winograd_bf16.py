"""F(2x2, 3x3) for products of bf16: tiles of 4x4 inputs spread, rounded, and gathered. For `winograd`, which tells the rest.

It saves a bit more than half of the multiplications. F(4x4, 3x3) would save more, with three times the rounding errors.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from vggrepro.nets.cpu.tiles import Flat, place, seen

FILTER = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)

Bits = NDArray[np.uint16]
"""Numbers of bf16: the upper halves of those of float32."""


@njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def _differences(source: Flat, at: int, step: int, depth: int, out: Flat, to: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Four vectors of `depth` channels, `step` apart, into four of their sums and differences in a row."""
    two, three = step + step, step + step + step
    for j in range(depth):
        i, k = at + j, to + j
        a, b, c, d = source[i], source[i + step], source[i + two], source[i + three]
        out[k] = a - c
        out[k + depth] = b + c
        out[k + depth + depth] = c - b
        out[k + depth + depth + depth] = b - d


@njit(cache=True, nogil=True, fastmath={"contract"})
def spread(  # type: ignore[no-untyped-def]  # noqa: ANN201
    pixels: Flat, shape: tuple[int, int], channels: int, first: int, count: int, out: Bits
):
    """Into `out` [16, count, C] the tiles from `first` on of images [N, H, W, C], zero beyond their edges."""
    depth = np.uintp(channels)
    memory = np.empty((3, 16 * channels), np.float32)
    cut, half, full = memory[0], memory[1], memory[2]
    bits, even, one, low = full.view(np.uint32), np.uint32(0x7FFF), np.uint32(1), np.uint32(16)
    for t in range(count):
        source, corner, below = seen(pixels, shape, channels, first + t, 2, cut)
        for j in range(4):
            at = np.uintp(j) * depth
            _differences(source, corner + at, np.uintp(below) * depth, depth, half, np.uintp(4) * at)
        for i in range(4):
            at = np.uintp(i) * depth
            _differences(half, at, np.uintp(4) * depth, depth, full, np.uintp(4) * at)
        for k in range(16):
            at, to = np.uintp(k) * depth, np.uintp(k * count + t) * depth
            for c in range(depth):
                # to the nearest, to even ones in the middle
                value = bits[at + c]
                out[to + c] = np.uint16((value + even + ((value >> low) & one)) >> low)


@njit(cache=True, nogil=True, fastmath={"contract"})
def gather(  # type: ignore[no-untyped-def]  # noqa: ANN201
    products: Bits, bias: Flat, shape: tuple[int, int], first: int, count: int, pooled: bool, out: Flat
):
    """Into `out` [N, H, W, K], or its pooled half, the tiles from `first` on of their products [16, count, K]."""
    (height, width), depth, none = shape, np.uintp(len(bias)), np.float32(0)
    bits, half, found = (
        np.empty(16 * len(bias), np.uint32),
        np.empty(8 * len(bias), np.float32),
        np.empty(4 * len(bias), np.float32),
    )
    full, two, three, step = bits.view(np.float32), depth + depth, depth + depth + depth, 2 if pooled else 1
    for t in range(count):
        for n in range(16):
            at, to = np.uintp(n * count + t) * depth, np.uintp(n) * depth
            for c in range(depth):
                bits[to + c] = np.uint32(products[at + c]) << np.uint32(16)
        for i in range(4):
            at, to = np.uintp(4 * i) * depth, np.uintp(2 * i) * depth
            for c in range(depth):
                k = at + c
                half[to + c] = full[k] + full[k + depth] + full[k + two]
                half[to + depth + c] = full[k + depth] - full[k + two] - full[k + three]
        for j in range(2):
            at = np.uintp(j) * depth
            for c in range(depth):
                k = at + c
                a, b, d, e = half[k], half[k + two], half[k + two + two], half[k + two + two + two]
                found[k] = a + b + d
                found[k + two] = b - d - e
        image, y, x = place(first + t, shape, 2)
        high, wide, y, x = height // step, width // step, y // step, x // step
        for i in range(min(2 // step, high - y)):
            for j in range(min(2 // step, wide - x)):
                at, to = np.uintp(2 * i + j) * depth, np.uintp((image * high + y + i) * wide + x + j) * depth
                for c in range(depth):
                    k = at + c
                    value = found[k]
                    if pooled:
                        a, b, d = found[k + depth], found[k + two], found[k + three]
                        # times 0: a NaN is never the larger one
                        value = max(max(value, a), max(b, d)) + none * (value + a + b + d)
                    value += bias[c]
                    out[to + c] = none if value < none else value
