"""Intervals of errors. No torch."""

from __future__ import annotations

import math
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
