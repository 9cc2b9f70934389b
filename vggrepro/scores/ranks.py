"""Errors and average precisions from scores. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def true_class_ranks(posteriors: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """How many classes are predicted before the true one, [N] of posteriors [N, classes]: 0 is right at top-1.

    Of classes with equal posteriors the lower number comes first, as in a stable sort. A NaN never counts as right: a class
    whose posterior is NaN comes before the true class, and a true class whose posterior is NaN comes last.
    """
    true = np.take_along_axis(posteriors, labels[:, None], 1)
    # not `posteriors > true`: a NaN must push the true class back, not let it win
    before: NDArray[np.int32] = (~(posteriors <= true)).sum(1, dtype=np.int32)
    tied = posteriors == true
    if tied.sum() > len(labels):  # rarely anything but the true class itself
        before += (tied & (np.arange(posteriors.shape[1]) < labels[:, None])).sum(1, dtype=np.int32)
    return before


TOP = {"top-1": 1, "top-5": 5}
"""How many labels may be predicted for an image under each error."""


def wrong_images(ranks: NDArray[np.integer], quantity: str) -> NDArray[np.bool_]:
    """PAPER 4: whether each image is an error, [N], by the ranks [N] of the true classes; `quantity` is a key of `TOP`."""
    return ranks >= TOP[quantity]


def average_precision(scores: NDArray[np.floating], positive: NDArray[np.bool_], kind: str) -> float:
    """VOC's average precision of a class, from scores [n] and truth [n]; NaN where nothing is positive.

    `area` (VOC from 2010 on): the area under the curve of precision against recall, made to fall monotonically. `11-point`
    (VOC-2007): the mean, over recalls of 0, 0.1 ... 1, of the best precision at that recall or a higher one. Of images with
    equal scores the earlier one comes first, as in a stable sort.

    Raises ValueError for another `kind`.
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
    # in whole numbers, because a recall of exactly 3 in 10 must reach the threshold 0.3
    reached = np.searchsorted(10 * hits, np.arange(11) * hits[-1])
    return float(best[reached].mean())
