"""Boxes: their overlap, and the frame in which nets predict them. No torch.

A box is xmin, ymin, xmax, ymax in pixels, inclusive: a box of one pixel has xmin == xmax. Whether pixels count from 0 or
from 1 does not matter for judging, as long as guesses and truth count alike; for nets, pixels count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BoxArray = NDArray[np.number]
"""[..., 4]: xmin, ymin, xmax, ymax."""

OVERLAP = 0.5
"""The IoU at which a guess is right: exactly 0.5 is right in the devkit's code, although its prose asks for more than 0.5."""


def iou(a: BoxArray, b: BoxArray) -> NDArray[np.float64]:
    """Intersection over union of boxes [..., 4] that broadcast against each other."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    intersection = np.clip(high - low + 1, 0, None).prod(-1)
    areas = [(box[..., 2:] - box[..., :2] + 1).prod(-1) for box in (a, b)]
    overlap: NDArray[np.float64] = intersection / (areas[0] + areas[1] - intersection)
    return overlap


def to_vectors(boxes: BoxArray, zoom: BoxArray, corner: BoxArray, side: int) -> NDArray[np.float64]:
    """CHOICE 9: boxes [..., 4] of an image as a net has to predict them: centre x, centre y, width, height, [..., 4].

    The net sees a window of `side` px of the rescaled image; its left and top are `corner` [..., 2], and the rescaled image
    is `zoom` [2] times as wide and high as the original. The origin is the window's middle and the unit its side,
    so that mirroring the window changes the sign of centre x and nothing else.
    """
    # a box reaches from the left edge of its first pixel to the right edge of its last
    low, high = (np.asarray(edge, np.float64) * zoom - corner for edge in (boxes[..., :2], boxes[..., 2:] + 1))
    return np.concatenate([(low + high) / (2 * side) - 0.5, (high - low) / side], -1)


def from_vectors(vectors: BoxArray, zoom: BoxArray, corner: BoxArray, side: int) -> NDArray[np.float64]:
    """The inverse of `to_vectors`, [..., 4]. A width or height that a net predicts below one pixel becomes one pixel."""
    middle = ((np.asarray(vectors[..., :2], np.float64) + 0.5) * side + corner) / zoom
    half = np.maximum(np.asarray(vectors[..., 2:], np.float64) * side / zoom, 1) / 2
    return np.concatenate([middle - half, middle + half - 1], -1)


def clip(boxes: BoxArray, sizes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Boxes [..., 4] cut at the edges of their images, whose heights and widths are `sizes` [..., 2].

    A box outside of its image becomes a line of pixels at the nearest edge, and may overlap a true box there.
    """
    last = np.asarray(sizes)[..., [1, 0, 1, 0]] - 1
    return np.clip(np.asarray(boxes, np.float64), 0, last)


def check_box(box: Sequence[float], where: str) -> None:
    """A ValueError that names `where` unless the numbers are a box: four, finite, minima not above maxima."""
    if len(box) != 4 or not all(np.isfinite(box)):
        raise ValueError(f"{where}: expected four finite numbers xmin ymin xmax ymax, got {list(box)}")
    if box[0] > box[2] or box[1] > box[3]:
        raise ValueError(f"{where}: expected xmin <= xmax and ymin <= ymax, got {list(box)}")
