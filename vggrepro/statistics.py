"""Intervals of errors. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Z = NormalDist().inv_cdf(0.975)
"""Half width of a 95% interval in standard errors."""


def wilson(errors: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion: right for small n and for errors near 0 and 1, unlike p +- 1.96 se."""
    if n <= 0 or not 0 <= errors <= n:
        raise ValueError(f"expected 0 <= errors <= n and n > 0, got {errors} of {n}")
    p = errors / n
    middle = p + Z**2 / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + Z**2 / n)), min(1.0, (middle + half) / (1 + Z**2 / n))


def nested_interval(values: NDArray[np.floating]) -> tuple[float, float]:
    """95% interval of the mean of [seeds, N] values from -1 to 1: seeds drawn among trainings, images among images.

    The variance of the mean over images (of each image's mean over seeds), plus that of the mean over seeds. As Agresti
    and Min do for paired proportions, two images are added, half of one for each outcome: no interval has length 0.
    """
    per_image, per_seed = values.mean(0), values.mean(1)
    n, seeds = len(per_image) + 2, len(per_seed)
    images = (float((per_image**2).sum()) + 1 - float(per_image.sum()) ** 2 / n) / n**2
    squared = Z**2 * images
    if seeds > 1:
        from scipy.special import stdtrit

        # few seeds say little of their own variance: Student's quantile for their part, the normal one for the images'
        squared += float(stdtrit(seeds - 1, 0.975)) ** 2 * float(per_seed.var(ddof=1)) / seeds
    half = math.sqrt(squared)
    mean = float(values.mean())
    return mean - half, mean + half


def student_interval(values: NDArray[np.floating], n: int) -> tuple[float, float]:
    """Student's 95% interval of the mean of [seeds, splits] shares, of random splits with n test images each.

    It speaks of the choice of splits (and of seeds, where there are several), which share images. Never of length 0: where
    all agree, one image might yet have gone the other way.
    """
    squared = (Z / n) ** 2
    for per in (values.mean(0), values.mean(1)):
        if len(per) > 1:
            squared += _student(len(per)) ** 2 * float(per.var(ddof=1)) / len(per)
    return _around(float(values.mean()), math.sqrt(squared))


def _student(count: int) -> float:
    """Student's quantile for the mean of so many values."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.975))


def _around(middle: float, half: float) -> tuple[float, float]:
    """An interval of a share, which lies in [0, 1]."""
    return max(0.0, middle - half), min(1.0, middle + half)


RESAMPLES = 200


def resampled(
    measures: Sequence[Callable[[NDArray[np.int64]], float]], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Measures of images that are no means over them (average precision), each of the same resamples, [measures, RESAMPLES].

    `groups` [n] numbers the image that each of n pictures belongs to: persons of one image are drawn together. The same
    groups give the same resamples, so that what was resampled apart can be compared in pairs.
    """
    rng = np.random.default_rng(0)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    n = len(members)
    resamples = [np.concatenate([members[i] for i in rng.integers(0, n, n)]) for _ in range(RESAMPLES)]
    return np.array([[measure(chosen) for chosen in resamples] for measure in measures])


def resampled_interval(whole: NDArray[np.floating], resamples: NDArray[np.floating], n: int) -> tuple[float, float]:
    """95% interval of a measure, for each seed of all images [seeds] and of resamples of these n images [seeds, RESAMPLES].

    The variance of the mean over seeds, and with several seeds their own, as in `nested_interval`. One image's worth is
    added, so that no interval has length 0.
    """
    squared = Z**2 * (float(np.nanvar(resamples.mean(0), ddof=1)) + 1 / n**2)
    if len(whole) > 1:
        squared += _student(len(whole)) ** 2 * float(whole.var(ddof=1)) / len(whole)
    return _around(float(whole.mean()), math.sqrt(squared))
