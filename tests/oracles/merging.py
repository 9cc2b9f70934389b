"""OverFeat's greedy merging as it is written down: all pairs, again and again."""

from __future__ import annotations

import itertools
import math

WEIGHTS = {"distance+overlap": (1, 1), "distance": (1, 0), "overlap": (0, 1)}


def match(a, b, kind):
    def area(box):
        return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)

    def centre(box):
        return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2

    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    high = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = wide * high if wide > 0 and high > 0 else 0
    apart = math.dist(centre(a), centre(b)) / math.sqrt((area(a) + area(b)) / 2)
    of_distance, of_overlap = WEIGHTS[kind]
    return of_distance * apart + of_overlap * (1 - shared / (area(a) + area(b) - shared))


def merge(boxes, scores, kind, threshold, average):
    """(boxes, scores) that are left."""
    left = [(list(box), score, 1) for box, score in zip(boxes, scores, strict=True)]
    while len(left) > 1:
        pairs = {(i, j): match(left[i][0], left[j][0], kind) for i, j in itertools.combinations(range(len(left)), 2)}
        i, j = min(pairs, key=pairs.get)
        if pairs[i, j] > threshold:
            break
        (a, score_a, n_a), (b, score_b, n_b) = left[i], left[j]
        weights = {"pairs": (1, 1), "members": (n_a, n_b), "scores": (score_a, score_b)}[average]
        mean = [(weights[0] * p + weights[1] * q) / sum(weights) for p, q in zip(a, b, strict=True)]
        left[i] = mean, score_a + score_b, n_a + n_b
        del left[j]
    return [box for box, _, _ in left], [score for _, score, _ in left]
