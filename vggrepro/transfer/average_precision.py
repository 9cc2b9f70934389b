"""Average precision and recall of classes, from scores and targets (appendix B). No torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

ScoreMatrix = NDArray[np.floating]
"""[n, classes]."""
TargetMatrix = NDArray[np.int8]
"""[n, classes]: 1, -1, or 0 for what does not count ("difficult")."""

Measure = Callable[[ScoreMatrix, TargetMatrix], NDArray[np.floating]]
"""From scores and targets to a value per class, [classes]."""


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


def class_precisions(scores: ScoreMatrix, targets: TargetMatrix, kind: str) -> NDArray[np.floating]:
    """The average precision of every class, [classes], over the images whose target is not 0."""
    return np.array(
        [average_precision(s[t != 0], t[t != 0] > 0, kind) for s, t in zip(scores.T, targets.T, strict=True)]
    )


def class_recalls(scores: ScoreMatrix, targets: TargetMatrix) -> NDArray[np.floating]:
    """PAPER B: the share of every class's images, [classes], that are predicted to be of that class."""
    truth, predicted = targets.argmax(1), scores.argmax(1)
    right = np.bincount(truth[truth == predicted], minlength=targets.shape[1])
    return right / np.bincount(truth, minlength=targets.shape[1])


def measure_of(kind: str) -> Measure:
    """The measure of a task: `11-point` or `area` (average precision), or `recall`."""
    return class_recalls if kind == "recall" else partial(class_precisions, kind=kind)
