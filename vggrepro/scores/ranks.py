"""Errors from scores. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def true_class_ranks(posteriors: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """How many classes come before the true one, [N] of posteriors [N, classes]: 0 is a correct top-1 answer.

    Of classes with equal posteriors the lower number comes first, as in a stable sort.
    """
    true = np.take_along_axis(posteriors, labels[:, None], 1)
    # "not less or equal" rather than "greater": where a posterior is not a number, the true class is last, not first
    before: NDArray[np.int32] = (~(posteriors <= true)).sum(1, dtype=np.int32)
    tied = posteriors == true
    if tied.sum() > len(labels):  # rarely anything but the true class itself
        before += (tied & (np.arange(posteriors.shape[1]) < labels[:, None])).sum(1, dtype=np.int32)
    return before


TOP = {"top-1": 1, "top-5": 5}
"""How many answers each error allows."""


def wrong_images(found: NDArray[np.integer], quantity: str) -> NDArray[np.bool_]:
    """PAPER 4: which images count as errors, from the ranks of their true classes."""
    return found >= TOP[quantity]


def average_precision(scores: NDArray[np.floating], positive: NDArray[np.bool_], kind: str) -> float:
    """VOC's average precision of a class, from scores [n] and truth [n]; not a number where nothing is positive.

    `area` (VOC from 2010 on): the area under precision against recall, precision made to fall with recall. `11-point`
    (VOC-2007): the mean, over recalls of 0, 0.1 ... 1, of the best precision at that recall or a higher one. Of images with
    equal scores the earlier one comes first, as in a stable sort.
    """
    if kind not in ("area", "11-point"):
        raise ValueError(f"no average precision is called {kind!r}: expected area or 11-point")
    hits = positive[np.argsort(-scores, kind="stable")].cumsum()
    if not len(hits) or not hits[-1]:
        return float("nan")
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / hits[-1]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if kind == "area":
        return float((best * np.diff(recall, prepend=0)).sum())
    # in whole numbers: a recall of exactly 3 in 10 must reach the threshold 0.3
    reached = np.searchsorted(10 * hits, np.arange(11) * hits[-1])
    return float(best[reached].mean())
