"""3x3 convolutions on a CPU by Winograd's minimal filtering F(4x4, 3x3), with the ReLU and the pooling after them.

Lavin and Gray (2016): overlapping tiles of 6x6 inputs are transformed into 36 numbers a channel, multiplied with filters that
are transformed likewise, and transformed back into 4x4 outputs: a quarter of the multiplications. Every thread takes group
after group of tiles from inputs to outputs, in memory that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

TILE_SIDE = 4
"""Outputs of a tile in each direction."""
TILE_INPUTS = (TILE_SIDE + 2) ** 2
"""Inputs of a tile, and what they are transformed into."""
GROUP = range(16, 128)
"""Tiles in a group: enough for a matrix product, and for most layers little enough for the caches."""

# The transforms use the points 0, 1, -1, 1/2, -2 and infinity, because their rounding errors are those of a plain
# convolution. With the usual 2 instead of 1/2 errors are three times as large.
_INPUT_TRANSFORM = np.array(
    [
        [1, -1.5, -2, 1.5, 1, 0],
        [0, -1, 0.5, 2.5, 1, 0],
        [0, 1, -2.5, 0.5, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 0.5, -1, -0.5, 1, 0],
        [0, 1, -1.5, -2, 1.5, 1],
    ],
    np.float32,
)
_FILTER_TRANSFORM = torch.tensor(
    [[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]], dtype=torch.float64
) / 15  # fmt: skip
_OUTPUT_TRANSFORM = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 0], [0, 1, 1, 0.25, 4, 0], [0, 1, -1, 0.125, -8, 1]], np.float32
)

Flat = NDArray[np.float32]
"""A flat array. Its indices are unsigned, because the compiler then need not handle negative ones."""


class Winograd(nn.Module):
    """A convolution of padding 1, ReLU, and 2x2 max-pooling if `pooled`. In float32, on a CPU, without gradients."""

    def __init__(self, convolution: nn.Conv2d, *, pooled: bool = False) -> None:
        super().__init__()
        assert convolution.bias is not None
        weight = convolution.weight.detach().permute(2, 3, 1, 0)
        # along both sides of a tile at once; in float64, so that the filters are rounded once
        filters = torch.kron(_FILTER_TRANSFORM, _FILTER_TRANSFORM) @ weight.reshape(9, -1).double()
        self.filters = filters.float().view(-1, *weight.shape[2:])
        self.bias, self.pooled = convolution.bias.detach(), pooled

    def forward(self, x: Tensor) -> Tensor:
        """[N, K, H, W] of [N, C, H, W], best in channels-last memory; [N, K, H // 2, W // 2] if pooled."""
        assert x.dtype is torch.float32, x.dtype
        images, channels, height, width = x.shape
        shape, step = (height, width), 1 + self.pooled
        pixels = x.permute(0, 2, 3, 1).reshape(-1).numpy()
        out = self.bias.new_empty(images, height // step, width // step, len(self.bias))
        tiles = images * -(-height // TILE_SIDE) * -(-width // TILE_SIDE)
        flat, bias = out.view(-1).numpy(), self.bias.numpy()
        threads = torch.get_num_threads()
        groups = threads * -(-tiles // (threads * GROUP.stop))
        size = max(GROUP.start, -(-tiles // max(1, groups)))
        firsts = iter(range(0, tiles, size))

        def work() -> None:
            # every group overwrites this memory, because new memory costs more than the arithmetic
            input_memory, product_memory = (
                self.filters.new_empty(TILE_INPUTS * size * k) for k in (channels, len(bias))
            )
            for first in firsts:
                count = min(size, tiles - first)
                inputs = input_memory[: TILE_INPUTS * count * channels].view(TILE_INPUTS, count, channels)
                products = product_memory[: TILE_INPUTS * count * len(bias)].view(TILE_INPUTS, count, len(bias))
                _transform_inputs(pixels, shape, channels, first, count, inputs.view(-1).numpy())
                torch.bmm(inputs, self.filters, out=products)
                _transform_outputs(products.view(-1).numpy(), bias, shape, first, count, self.pooled, flat)

        _in_threads(threads, work)
        return out.permute(0, 3, 1, 2)


def _in_threads(threads: int, work: Callable[[], None]) -> None:
    """Run `work` once in each of so many threads; after all have ended, raise what failed in one."""
    if threads == 1:
        work()
        return
    running = [_pool(threads).submit(torch.inference_mode()(work)) for _ in range(threads)]
    wait(running)
    for thread in running:
        thread.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool of so many threads, all of them started, in each of which torch uses one thread."""
    pool, all_started = ThreadPoolExecutor(threads), Barrier(threads)

    def use_one_thread() -> None:
        # asked before it is set, because a thread's first use of torch sets it to what was set last in any thread
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_started.wait()

    wait([pool.submit(use_one_thread) for _ in range(threads)])
    torch.set_num_threads(threads)
    return pool


@njit(cache=True, nogil=True)
def _place(tile: int, shape: tuple[int, int]):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """The image of a tile, and the row and column of its first output, in images of `shape` (height, width)."""
    across = -(-shape[1] // TILE_SIDE)
    strip, column = divmod(tile, across)
    image, row = divmod(strip, -(-shape[0] // TILE_SIDE))
    return image, TILE_SIDE * row, TILE_SIDE * column


@njit(cache=True, nogil=True, inline="always")
def _tile_inputs(  # type: ignore[no-untyped-def]  # noqa: ANN202
    pixels: Flat, shape: tuple[int, int], channels: int, tile: int, padded: Flat
):
    """Where the inputs of a tile lie, of images [N, H, W, C]: an array, the index of the first, the columns of its rows.

    The array is `pixels` itself, or for a tile at an edge `padded` [36 C], into which the inputs are copied, with zeros beyond
    the edge.
    """
    height, width = shape
    image, y, x = _place(tile, shape)
    top, left, whole = y - 1, x - 1, TILE_SIDE + 2
    if top >= 0 and left >= 0 and top + whole <= height and left + whole <= width:
        return pixels, np.uintp(((image * height + top) * width + left) * channels), width
    padded[:] = 0
    for i in range(max(0, -top), min(whole, height - top)):
        for j in range(max(0, -left), min(whole, width - left)):
            source = np.uintp(((image * height + top + i) * width + left + j) * channels)
            target = np.uintp((whole * i + j) * channels)
            for c in range(np.uintp(channels)):
                padded[target + c] = pixels[source + c]
    return padded, np.uintp(0), whole


@njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def _multiply(  # type: ignore[no-untyped-def]  # noqa: ANN202
    matrix: NDArray[np.float32], depth: int, source: Flat, at: int, step: int, out: Flat, to: int, stride: int
):
    """A matrix [R, 6] times six vectors of `depth` channels, `step` apart, into R of them, `stride` apart."""
    two, three, four, five = np.uintp(2), np.uintp(3), np.uintp(4), np.uintp(5)
    for r in range(len(matrix)):
        a, b, c, d, e, f = matrix[r, 0], matrix[r, 1], matrix[r, 2], matrix[r, 3], matrix[r, 4], matrix[r, 5]
        for j in range(depth):
            i = at + j
            out[to + j] = (
                (a * source[i] + b * source[i + step])
                + (c * source[i + two * step] + d * source[i + three * step])
                + (e * source[i + four * step] + f * source[i + five * step])
            )
        to += stride


@njit(cache=True, nogil=True, fastmath={"contract"})
def _transform_inputs(  # type: ignore[no-untyped-def]  # noqa: ANN202
    pixels: Flat, shape: tuple[int, int], channels: int, first: int, count: int, out: Flat
):
    """Into `out` [36, count, C] the tiles from `first` on of images [N, H, W, C], zero beyond their edges."""
    depth = np.uintp(channels)
    padded, half = np.empty(TILE_INPUTS * channels, np.float32), np.empty(TILE_INPUTS * channels, np.float32)
    for t in range(count):
        source, corner, width = _tile_inputs(pixels, shape, channels, first + t, padded)
        for j in range(6):
            at = np.uintp(j) * depth
            _multiply(
                _INPUT_TRANSFORM, depth, source, corner + at, np.uintp(width) * depth, half, at, np.uintp(6) * depth
            )
        for i in range(6):
            to = np.uintp(6 * i * count + t) * depth
            _multiply(_INPUT_TRANSFORM, depth, half, np.uintp(6 * i) * depth, depth, out, to, np.uintp(count) * depth)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _transform_outputs(  # type: ignore[no-untyped-def]  # noqa: ANN202
    products: Flat, bias: Flat, shape: tuple[int, int], first: int, count: int, pooled: bool, out: Flat
):
    """Into `out` [N, H, W, K], or its pooled half, the tiles from `first` on of their products [36, count, K]."""
    (height, width), depth, zero = shape, np.uintp(len(bias)), np.float32(0)
    half, tile = np.empty(24 * len(bias), np.float32), np.empty(16 * len(bias), np.float32)
    step = 2 if pooled else 1
    for t in range(count):
        for j in range(6):
            at, to = np.uintp(j * count + t) * depth, np.uintp(j) * depth
            _multiply(
                _OUTPUT_TRANSFORM, depth, products, at, np.uintp(6 * count) * depth, half, to, np.uintp(6) * depth
            )
        for i in range(TILE_SIDE):
            at, to = np.uintp(6 * i) * depth, np.uintp(TILE_SIDE * i) * depth
            _multiply(_OUTPUT_TRANSFORM, depth, half, at, depth, tile, to, depth)
        image, y, x = _place(first + t, shape)
        high, wide, y, x = height // step, width // step, y // step, x // step
        # tiles reach beyond the right and lower edge
        for i in range(min(TILE_SIDE // step, high - y)):
            for j in range(min(TILE_SIDE // step, wide - x)):
                at = np.uintp(step * (TILE_SIDE * i + j)) * depth
                to = np.uintp((image * high + y + i) * wide + x + j) * depth
                right, below = (depth, np.uintp(TILE_SIDE) * depth) if pooled else (np.uintp(0), np.uintp(0))
                for c in range(depth):
                    k = at + c
                    value = bias[c] + max(max(tile[k], tile[k + right]), max(tile[k + below], tile[k + below + right]))
                    # a NaN is in all of its tile, so that the pooling cannot lose it; another `max` would
                    out[to + c] = zero if value < zero else value
