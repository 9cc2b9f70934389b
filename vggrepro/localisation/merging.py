"""OverFeat's greedy merging makes one box per label of those of all locations, scales and nets (appendix A). No torch.

Of all pairs the two boxes that match best are replaced by their average, again and again, until no pair matches well enough.
The score of a merged box is the sum of its members' scores; the box with the best score is the label's box.

One pass serves many thresholds: merging at a larger threshold begins with the same pairs as at a smaller one.

The study of its parameters, which `vggrepro merging` writes, is in `sensitivity.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vggrepro.settings.blocks import MergeSettings

MATCH = {"distance+overlap": (1.0, 1.0), "distance": (1.0, 0.0), "overlap": (0.0, 1.0)}
"""Weights of the distance of centres and of 1 - IoU in a match score."""

AVERAGE = {"pairs": 0, "members": 1, "scores": 2}
"""How two boxes are weighted in their average: equally, by their numbers of members, or by their scores."""


# no number here is a NaN, so that the compiler may use vector instructions for min and max
@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"}, error_model="numpy")
def match_scores(
    box: NDArray[np.float64], sides: NDArray[np.float64], distance: float, overlap: float, out: NDArray[np.float64]
) -> None:
    """How badly a box [4] matches each of n others, whose coordinates are the rows of `sides` [4, n], into `out` [n].

    The weighted distance of the centres, in units of box size, plus the weighted 1 - IoU.
    """
    x0, y0, x1, y1 = box
    area = (x1 - x0 + 1) * (y1 - y0 + 1)
    for j in range(sides.shape[1]):
        a0, b0, a1, b1 = sides[0, j], sides[1, j], sides[2, j], sides[3, j]
        areas = area + (a1 - a0 + 1) * (b1 - b0 + 1)
        shared = max(0.0, min(x1, a1) - max(x0, a0) + 1) * max(0.0, min(y1, b1) - max(y0, b0) + 1)
        dx, dy = (x0 + x1 - a0 - a1) / 2, (y0 + y1 - b0 - b1) / 2
        out[j] = distance * math.sqrt((dx * dx + dy * dy) / (areas / 2)) + overlap * (1 - shared / (areas - shared))


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(  # type: ignore[no-untyped-def]  # noqa: ANN202
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    distance: float,
    overlap: float,
    average: int,
):
    """Merge in place; the box with the best score [T, 4] at every ascending threshold, and which boxes are left at the last.

    All match scores are kept, and for every box the later one that it matches best, so that a merger updates only a row and
    a column.
    """
    n = len(boxes)
    sides = boxes.T.copy()
    alive, members, row = np.ones(n, np.bool_), np.ones(n), np.empty(n)
    table = np.full((n, n), np.inf)  # of i < j; infinite for boxes that were merged into another
    partner, score = np.zeros(n, np.int64), np.full(n, np.inf)
    for i in range(n - 1):
        match_scores(sides[:, i].copy(), sides[:, i + 1 :], distance, overlap, table[i, i + 1 :])
        partner[i] = np.argmin(table[i])  # the first of equal ones
        score[i] = table[i, partner[i]]
    best = np.empty((len(thresholds), 4))
    t = 0
    while True:
        i = int(np.argmin(score))
        while t < len(thresholds) and score[i] > thresholds[t]:
            best[t] = sides[:, np.argmax(np.where(alive, scores, -np.inf))]
            t += 1
        if t == len(thresholds):
            boxes[:] = sides.T
            return best, alive
        j = partner[i]
        weight_i, weight_j = 1.0, 1.0
        if average == 1:
            weight_i, weight_j = members[i], members[j]
        elif average == 2 and scores[i] + scores[j] > 0:
            weight_i, weight_j = scores[i], scores[j]
        sides[:, i] = (weight_i * sides[:, i] + weight_j * sides[:, j]) / (weight_i + weight_j)
        members[i] += members[j]
        scores[i] += scores[j]
        alive[j], score[j] = False, np.inf
        match_scores(sides[:, i].copy(), sides, distance, overlap, row)
        for k in range(n):
            if alive[k] and k > i:
                table[i, k] = row[k]
            elif alive[k] and k < i:
                table[k, i] = row[k]
            if k < j:
                table[k, j] = np.inf
        for k in range(j):
            if alive[k] and (k == i or partner[k] == i or partner[k] == j):
                partner[k] = np.argmin(table[k])
                score[k] = table[k, partner[k]]
            elif alive[k] and k < i and (row[k] < score[k] or (row[k] == score[k] and i < partner[k])):
                partner[k], score[k] = i, row[k]


def _arguments(settings: MergeSettings) -> tuple[float, float, int]:
    return (*MATCH[settings.match], AVERAGE[settings.average])


def best_boxes(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], settings: MergeSettings, thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The box with the best score [T, 4] at each of T ascending thresholds, of boxes [n, 4] with scores [n].

    The boxes of Tables 8 to 10 are made here.
    """
    best: NDArray[np.float64] = _merge(
        np.array(boxes, np.float64), np.array(scores, np.float64), thresholds, *_arguments(settings)
    )[0]
    return best


def remaining_boxes(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], settings: MergeSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All boxes [m, 4] that are left at the settings' threshold, and the sums of their members' scores [m].

    For the example pictures of `sensitivity.py` alone: those of Tables 8 to 10 are made by `best_boxes`. Both call `_merge`.
    """
    left, summed = np.array(boxes, np.float64), np.array(scores, np.float64)
    alive = _merge(left, summed, np.array([settings.threshold]), *_arguments(settings))[1]
    return left[alive], summed[alive]
