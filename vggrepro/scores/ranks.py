"""Errors from scores: the rank of the true class. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.measures import allowed_labels


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


def best_labels_of_sets(posteriors: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The true class of each image that is predicted first, [N], of all its true classes, [N, L], ascending, padded by -1.

    Its rank decides whether an image with several true classes is right: one of them is among the first five exactly where
    this one is. A NaN comes last, as in `true_class_ranks`. An image without a true class gets class 0, and does not count.
    """
    true = np.take_along_axis(posteriors, labels.clip(0), 1)
    best = np.where((labels < 0) | np.isnan(true), -np.inf, true).argmax(1)
    chosen: NDArray[np.int64] = np.take_along_axis(labels, best[:, None], 1)[:, 0].clip(0)
    return chosen


TOP = {"top-1": 1, "top-5": 5}
"""How many labels may be predicted for an image under each error of the paper."""


def wrong_images(ranks: NDArray[np.integer], quantity: str) -> NDArray[np.bool_]:
    """PAPER 4: whether each image is an error, [N], by the ranks [N] of the true classes; `quantity` is a `top-N`."""
    allowed = allowed_labels(quantity)
    assert allowed is not None, quantity
    return ranks >= allowed
