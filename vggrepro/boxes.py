"""Boxes: their overlap, and how ILSVRC judges a guess (the official devkit). No torch.

A box is xmin, ymin, xmax, ymax in pixels, inclusive: a box of one pixel has xmin == xmax. Whether pixels count from 0 or
from 1 does not matter, as long as guesses and truth count alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.number]
"""[..., 4]."""

OVERLAP = 0.5
"""The IoU at which a guess passes: the devkit lets exactly 0.5 pass, though its prose says above."""


def iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of boxes [..., 4] that broadcast against each other."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    intersection = np.clip(high - low + 1, 0, None).prod(-1)
    areas = [(box[..., 2:] - box[..., :2] + 1).prod(-1) for box in (a, b)]
    found: NDArray[np.float64] = intersection / (areas[0] + areas[1] - intersection)
    return found


def check(box: Sequence[float], where: str) -> None:
    """A ValueError that names `where` if four numbers are no box: not finite, or upside down."""
    if len(box) != 4 or not all(np.isfinite(box)):
        raise ValueError(f"{where}: expected four finite numbers xmin ymin xmax ymax, got {list(box)}")
    if box[0] > box[2] or box[1] > box[3]:
        raise ValueError(f"{where}: a box has xmin <= xmax and ymin <= ymax, got {list(box)}")


def localised(labels: Sequence[int], guesses: Boxes, true_label: int, truth: Boxes) -> bool:
    """Whether one of up to five guesses has the right label and overlaps any true box of it enough.

    `labels` and `guesses` [G, 4] belong together, best first; `truth` [T, 4] are the true boxes of `true_label`. An image
    without a true box cannot be localised.
    """
    right = [i for i, label in enumerate(labels[:5]) if label == true_label]
    if not right or not len(truth):
        return False
    return bool((iou(np.asarray(guesses)[right][:, None], np.asarray(truth)[None]) >= OVERLAP).any())
