"""3x3 convolutions on a CPU by Winograd's minimal filtering F(4x4, 3x3), with the ReLU and the pooling behind them.

Overlapping tiles of 6x6 inputs are spread into 36 numbers a channel, multiplied with the filters, spread likewise, and
gathered into 4x4 outputs: a quarter of the multiplications. Every thread takes group after group of tiles, from inputs to
outputs, in memory that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from vggrepro.nets.cpu import winograd_bf16
from vggrepro.nets.cpu.tiles import Flat, place, seen

TILES = range(16, 128)
"""Tiles in a group: enough for a matrix product, and for most layers little enough for the caches."""

# At the points 0, 1, -1, 1/2, -2 and infinity: rounding errors are those of a plain convolution. With the usual 2 in place
# of 1/2 they are three times as large.
_SPREAD = np.array(
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
_FILTER = torch.tensor(
    [[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]], dtype=torch.float64
) / 15  # fmt: skip
_GATHER = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 0], [0, 1, 1, 0.25, 4, 0], [0, 1, -1, 0.125, -8, 1]], np.float32
)


class Winograd(nn.Module):
    """A convolution of padding 1, ReLU, and 2x2 max-pooling if `pooled`. In float32, on a CPU, without gradients.

    Products of bf16 if `half`: by F(2x2, 3x3), whose rounding errors are those of a plain convolution in bf16, nearly.
    """

    def __init__(self, convolution: nn.Conv2d, *, pooled: bool = False, half: bool = False) -> None:
        super().__init__()
        assert convolution.bias is not None
        weight = convolution.weight.detach().permute(2, 3, 1, 0)
        matrix, self.side = (winograd_bf16.FILTER, 2) if half else (_FILTER, 4)
        self.spread, self.gather = (winograd_bf16.spread, winograd_bf16.gather) if half else (_spread, _gather)
        # along both sides of a tile at once; in float64, which autocast leaves alone
        found = torch.kron(matrix, matrix) @ weight.reshape(9, -1).double()
        self.filters = found.to(torch.bfloat16 if half else torch.float32).view(-1, *weight.shape[2:])
        self.bias, self.pooled = convolution.bias.detach(), pooled

    def forward(self, x: Tensor) -> Tensor:
        """[N, K, H, W] of [N, C, H, W], best in channels-last memory; [N, K, H // 2, W // 2] if pooled."""
        assert x.dtype in (torch.float32, torch.bfloat16), x.dtype
        images, channels, height, width = x.shape
        shape, step = (height, width), 1 + self.pooled
        pixels = x.permute(0, 2, 3, 1).reshape(-1).float().numpy()
        out = self.bias.new_empty(images, height // step, width // step, len(self.bias))
        tiles = images * -(-height // self.side) * -(-width // self.side)
        flat, bias = out.view(-1).numpy(), self.bias.numpy()
        threads = torch.get_num_threads()
        shares = threads * -(-tiles // (threads * TILES.stop))
        size = max(TILES.start, -(-tiles // max(1, shares)))
        firsts, numbers = iter(range(0, tiles, size)), len(self.filters)

        def work() -> None:
            # written over by every group: new memory costs more than the arithmetic
            spread, multiplied = (self.filters.new_empty(numbers * size * depth) for depth in (channels, len(bias)))
            for first in firsts:
                count = min(size, tiles - first)
                inputs = spread[: numbers * count * channels].view(numbers, count, channels)
                products = multiplied[: numbers * count * len(bias)].view(numbers, count, len(bias))
                self.spread(pixels, shape, channels, first, count, _flat(inputs))
                torch.bmm(inputs, self.filters, out=products)
                self.gather(_flat(products), bias, shape, first, count, self.pooled, flat)

        _in_threads(threads, work)
        return out.permute(0, 3, 1, 2)


def _flat(values: Tensor) -> NDArray[Any]:
    """Numbers in a row; bf16 as the integers of their bits, as NumPy has no such type."""
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).view(-1).numpy()


def _in_threads(threads: int, work: Callable[[], None]) -> None:
    """Do a work in each of so many threads."""
    if threads == 1:
        work()
        return
    doing = [_pool(threads).submit(torch.inference_mode()(work)) for _ in range(threads)]
    wait(doing)
    for done in doing:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """So many threads, all of them started, in which torch starts no others."""
    pool, all_there = ThreadPoolExecutor(threads), Barrier(threads)

    def alone() -> None:
        # asked before it is set: a thread's first use of torch gives it what was set last, in whichever thread
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_there.wait()

    wait([pool.submit(alone) for _ in range(threads)])
    torch.set_num_threads(threads)
    return pool


@njit(cache=True, nogil=True, fastmath={"contract"}, inline="always")
def _along(  # type: ignore[no-untyped-def]  # noqa: ANN202
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
def _spread(  # type: ignore[no-untyped-def]  # noqa: ANN202
    pixels: Flat, shape: tuple[int, int], channels: int, first: int, count: int, out: Flat
):
    """Into `out` [36, count, C] the tiles from `first` on of images [N, H, W, C], zero beyond their edges."""
    depth = np.uintp(channels)
    cut, half = np.empty(36 * channels, np.float32), np.empty(36 * channels, np.float32)
    for t in range(count):
        source, corner, below = seen(pixels, shape, channels, first + t, 4, cut)
        for j in range(6):
            at = np.uintp(j) * depth
            _along(_SPREAD, depth, source, corner + at, np.uintp(below) * depth, half, at, np.uintp(6) * depth)
        for i in range(6):
            to = np.uintp(6 * i * count + t) * depth
            _along(_SPREAD, depth, half, np.uintp(6 * i) * depth, depth, out, to, np.uintp(count) * depth)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _gather(  # type: ignore[no-untyped-def]  # noqa: ANN202
    products: Flat, bias: NDArray[np.float32], shape: tuple[int, int], first: int, count: int, pooled: bool, out: Flat
):
    """Into `out` [N, H, W, K], or its pooled half, the tiles from `first` on of their products [36, count, K]."""
    (height, width), depth, none = shape, np.uintp(len(bias)), np.float32(0)
    half, found = np.empty(24 * len(bias), np.float32), np.empty(16 * len(bias), np.float32)
    step = 2 if pooled else 1
    for t in range(count):
        for j in range(6):
            at = np.uintp(j * count + t) * depth
            _along(
                _GATHER,
                depth,
                products,
                at,
                np.uintp(6 * count) * depth,
                half,
                np.uintp(j) * depth,
                np.uintp(6) * depth,
            )
        for i in range(4):
            _along(_GATHER, depth, half, np.uintp(6 * i) * depth, depth, found, np.uintp(4 * i) * depth, depth)
        image, y, x = place(first + t, shape, 4)
        high, wide, y, x = height // step, width // step, y // step, x // step
        # tiles reach over the right and lower edge
        for i in range(min(4 // step, high - y)):
            for j in range(min(4 // step, wide - x)):
                at, to = np.uintp(step * (4 * i + j)) * depth, np.uintp((image * high + y + i) * wide + x + j) * depth
                right, below = (depth, np.uintp(4) * depth) if pooled else (np.uintp(0), np.uintp(0))
                for c in range(depth):
                    k = at + c
                    value = bias[c] + max(
                        max(found[k], found[k + right]), max(found[k + below], found[k + below + right])
                    )
                    # a NaN has reached all of its tile, so that the pooling cannot lose it; another max would
                    out[to + c] = none if value < none else value
