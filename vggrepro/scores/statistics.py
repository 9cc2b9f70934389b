"""What can be said of errors: intervals, tests of paired outcomes, many tests at once. No torch.

The outcomes of a system are [seeds, N]: trainings are drawn among trainings, images among images. Most of what follows is
said of an `Estimate`, a mean whose variance has parts: one by the images, of which there are many, and one each by seeds and
by splits, of which there are few. Intervals and p-values of an estimate are of one making: the interval at 95% excludes a
value where its p-value is below 0.05, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
POWER = 0.80
"""The chance with which a difference is to be found, where sizes of samples are planned."""

NORMAL = NormalDist()
Z = NORMAL.inv_cdf(0.975)
"""Half width of a 95% interval in standard errors."""


def wilson(errors: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a proportion: right for small n and for errors near 0 and 1, unlike p +- 1.96 se."""
    if n <= 0 or not 0 <= errors <= n:
        raise ValueError(f"expected 0 <= errors <= n and n > 0, got {errors} of {n}")
    p, z = errors / n, NORMAL.inv_cdf((1 + level) / 2)
    middle = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))


@dataclass(frozen=True)
class Estimate:
    """A mean, and the variance that it has by everything that was drawn."""

    mean: float
    images: float
    """Variance by the choice of images, of which there are many: normal."""
    drawn: tuple[tuple[float, int], ...] = ()
    """Variance and degrees of freedom by what there is little of, seeds or splits: Student's."""
    shared: float = 0.0
    """The part of `images` that an image has with one training alone: it falls with the number of seeds too."""

    def half(self, level: float = LEVEL) -> float:
        """Half the width of an interval: the parts' half widths, squared and added."""
        return math.sqrt(self._squared((1 - level) / 2))

    def _squared(self, tail: float) -> float:
        """The squared distance that the mean exceeds its truth by with a chance of `tail`."""
        return NORMAL.inv_cdf(tail) ** 2 * self.images + sum(_student(tail, df) ** 2 * v for v, df in self.drawn)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Around the mean."""
        half = self.half(level)
        return self.mean - half, self.mean + half

    def above(self, value: float) -> float:
        """One-sided p-value of the hypothesis that the truth is `value` or less: small where the mean is far above it."""
        distance = self.mean - value
        if distance <= 0:
            return 1 - self.below(value) if distance else 0.5
        low, high = SMALLEST_P, 0.5
        if self._squared(low) <= distance**2:
            return low
        while high / low > 1 + 1e-9:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self._squared(middle) < distance**2 else (middle, high)
        return high

    def below(self, value: float) -> float:
        """One-sided p-value of the hypothesis that the truth is `value` or more."""
        return Estimate(-self.mean, self.images, self.drawn).above(-value)

    def differs(self, value: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the truth is `value`."""
        return min(1.0, 2 * min(self.above(value), self.below(value)))

    def equivalent(self, low: float, high: float) -> float:
        """p-value of two one-sided tests: small where the truth lies surely between `low` and `high` (Schuirmann 1987)."""
        return max(self.above(low), self.below(high))

    def outside(self, low: float, high: float) -> float:
        """One-sided p-value of the hypothesis that the truth lies between `low` and `high`."""
        return min(self.below(low), self.above(high))

    def shows(self, distance: float, tail: float) -> bool:
        """Whether a truth this far from a value would be told from it with 80% power, by a one-sided test at `tail`."""
        total = self.images + sum(variance for variance, _ in self.drawn)
        return math.sqrt(self._squared(tail)) + NORMAL.inv_cdf(POWER) * math.sqrt(total) <= distance


SMALLEST_P = 1e-100


def nested(values: NDArray[np.floating]) -> Estimate:
    """The mean of [seeds, N] values from -1 to 1, such as outcomes, or differences of paired outcomes.

    The variance by images is that of the mean over images, of each image's mean over seeds. Seeds add what their means spread
    beyond the chance that an image goes one way in one training and the other way in the next: that is in the images' part
    already, and well known. With one seed nothing is known of the spread of trainings, and nothing of it is in here. As
    Agresti and Min (2005) do for paired proportions, two images are added, half of one for each outcome: no variance is 0.
    """
    per_image, per_seed = values.mean(0), values.mean(1)
    n, seeds = len(per_image) + 2, len(per_seed)
    images = (float((per_image**2).sum()) + 1 - float(per_image.sum()) ** 2 / n) / n**2
    if seeds == 1:
        return Estimate(float(values.mean()), images)
    residual = values - per_image - (per_seed - per_seed.mean())[:, None]
    shared = float((residual**2).sum()) / (seeds - 1) / seeds / n**2
    beyond = max(0.0, float(per_seed.var(ddof=1)) / seeds - shared)
    return Estimate(float(values.mean()), images, ((beyond, seeds - 1),), min(shared, images))


def nested_interval(values: NDArray[np.floating], level: float = LEVEL) -> tuple[float, float]:
    """The interval of `nested`.

    95% hold the truth in 94 to 97 of 100 cases; over two seeds in 90 where trainings differ by several times more than the
    chance of single images makes them differ.
    """
    return nested(values).interval(level)


def of_splits(values: NDArray[np.floating], n: int) -> Estimate:
    """The mean of [seeds, splits] shares, of random splits with n test images each.

    It speaks of the choice of splits (and of seeds, where there are several), which share images. Never without variance:
    where all agree, one image might yet have gone the other way.
    """
    drawn = (
        (float(per.var(ddof=1)) / len(per), len(per) - 1) for per in (values.mean(0), values.mean(1)) if len(per) > 1
    )
    return Estimate(float(values.mean()), 1 / n**2, tuple(drawn))


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


def of_resamples(whole: NDArray[np.floating], resamples: NDArray[np.floating], n: int) -> Estimate:
    """A measure, for each seed of all images [seeds] and of resamples of these n images [seeds, RESAMPLES].

    One image's worth of variance is added, so that none is 0.
    """
    drawn = ((float(whole.var(ddof=1)) / len(whole), len(whole) - 1),) if len(whole) > 1 else ()
    return Estimate(float(whole.mean()), float(np.nanvar(resamples.mean(0), ddof=1)) + 1 / n**2, drawn)


def share(bounds: tuple[float, float]) -> tuple[float, float]:
    """An interval of a share, which lies in [0, 1]."""
    return max(0.0, bounds[0]), min(1.0, bounds[1])


def _student(tail: float, df: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, tail))


def mcnemar_exact(first: int, second: int) -> float:
    """Two-sided exact p-value of McNemar's test: of the images that one system alone gets wrong, half should be each one's.

    `first` and `second` count the images that only the first, or only the second, gets wrong.
    """
    from scipy.special import bdtr

    n = first + second
    return min(1.0, 2 * float(bdtr(min(first, second), n, 0.5))) if n else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the chance of any wrong decision at 5% stays below 5%, however the tests depend."""
    adjusted, largest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for place, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (m - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def images_needed(found: Estimate, distance: float, n: int, tail: float) -> int | None:
    """How many images in place of n would show with 80% power that the truth is `distance` away, tested at `tail`.

    None where no number would, because seeds or splits vary too much, or the distance is 0.
    """

    def enough(images: float) -> bool:
        return replace(found, images=found.images * n / images).shows(distance, tail)

    few, many = 1.0, float(MOST_IMAGES)
    if not enough(many):
        return None
    while many / few > 1.001:
        middle = math.sqrt(few * many)
        few, many = (few, middle) if enough(middle) else (middle, many)
    return math.ceil(many)


def seeds_needed(found: Estimate, distance: float, tail: float) -> int | None:
    """How many seeds would show it, on the same images. None where a hundred would not, or with one: it tells no spread."""
    if not found.drawn:
        return None
    (variance, df), *others = found.drawn
    for seeds in range(df + 2, MOST_SEEDS + 1):
        fewer = (df + 1) / seeds
        images = found.images - found.shared * (1 - fewer)
        then = replace(found, images=images, shared=0.0, drawn=((variance * fewer, seeds - 1), *others))
        if then.shows(distance, tail):
            return seeds
    return None


MOST_IMAGES, MOST_SEEDS = 10**9, 100
"""Where the search for a number that decides ends."""
