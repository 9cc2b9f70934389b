"""Statistics of errors: intervals, tests of paired outcomes, corrections for many tests, sample sizes. No torch.

The outcomes of a system are [seeds, N]: seeds are a sample of trainings, images a sample of images. Most functions work on an
`Estimate`, a mean whose variance has parts: one from the choice of images, of which there are many, and one each from
trainings (`trainings.py`) and from splits, of which there are few. Intervals and p-values agree: the 95% interval of an
estimate excludes a value exactly where the two-sided p-value of that value is below 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
POWER = 0.80
"""The chance of detecting a difference that sample sizes are planned for."""

NORMAL = NormalDist()
Z = NORMAL.inv_cdf(0.975)
"""Half width of a 95% interval in standard errors."""


def wilson(errors: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval for the proportion of `errors` among `n`: right for small n and near 0 and 1, unlike p +- 1.96 se.

    scipy's `binomtest(...).proportion_ci(method="wilson")` gives the same numbers, but loading `scipy.stats` takes twice as
    long as loading all else that a table needs.

    Raises ValueError for impossible counts.
    """
    if n <= 0 or not 0 <= errors <= n:
        raise ValueError(f"expected 0 <= errors <= n and n > 0, got {errors} of {n}")
    p, z = errors / n, NORMAL.inv_cdf((1 + level) / 2)
    middle = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))


@dataclass(frozen=True)
class Estimate:
    """A mean, and its variance by everything that was sampled."""

    mean: float
    images: float
    """Variance from the choice of images. They are many, so its distribution is normal."""
    drawn: tuple[tuple[float, int], ...] = ()
    """Variance and degrees of freedom from what was sampled few times, such as splits: Student's distribution."""
    shared: float = 0.0
    """The part of `images` that comes from images and seeds together: it falls with the number of seeds, too."""
    trainings: tuple[float, int] = (0.0, 1)
    """Variance and degrees of freedom from what training did: Student's distribution."""
    seeds: int = 1
    """How many the mean is over."""

    def half(self, level: float = LEVEL) -> float:
        """Half the width of an interval: the root of the sum of the parts' squared half widths."""
        return math.sqrt(self._squared((1 - level) / 2))

    def _squared(self, tail: float) -> float:
        """The square of the distance by which the mean exceeds the truth with a chance of `tail`."""
        few = (part for part in (*self.drawn, self.trainings) if part[0])
        return NORMAL.inv_cdf(tail) ** 2 * self.images + sum(_student(tail, df) ** 2 * v for v, df in few)

    def scaled(self, factor: float) -> Estimate:
        """The same of all values times `factor`."""
        (variance, df), square = self.trainings, factor**2
        return replace(
            self,
            mean=factor * self.mean,
            images=square * self.images,
            drawn=tuple((square * part, part_df) for part, part_df in self.drawn),
            shared=square * self.shared,
            trainings=(square * variance, df),
        )

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Lower and upper bound around the mean."""
        half = self.half(level)
        return self.mean - half, self.mean + half

    def above(self, value: float) -> float:
        """One-sided p-value of the hypothesis that the truth is at most `value`: small where the mean is far above it."""
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
        """One-sided p-value of the hypothesis that the truth is at least `value`."""
        return replace(self, mean=-self.mean).above(-value)

    def differs(self, value: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the truth is `value`."""
        return min(1.0, 2 * min(self.above(value), self.below(value)))

    def equivalent(self, low: float, high: float) -> float:
        """p-value of two one-sided tests (Schuirmann 1987): small where the truth surely lies between `low` and `high`."""
        return max(self.above(low), self.below(high))

    def outside(self, low: float, high: float) -> float:
        """One-sided p-value of the hypothesis that the truth lies between `low` and `high`."""
        return min(self.below(low), self.above(high))

    def detectable(self, tail: float) -> float:
        """The distance of a truth from a value that a one-sided test at `tail` detects with 80% power."""
        total = self.images + sum(variance for variance, _ in (*self.drawn, self.trainings))
        return math.sqrt(self._squared(tail)) + NORMAL.inv_cdf(POWER) * math.sqrt(total)

    def detects(self, distance: float, tail: float) -> bool:
        """Whether a one-sided test at `tail` would detect a truth at this `distance` from a value with 80% power."""
        return self.detectable(tail) <= distance


SMALLEST_P = 1e-100
"""Smaller p-values are given as this one."""


def nested(values: NDArray[np.floating]) -> Estimate:
    """The mean of values [seeds, N] from -1 to 1, such as outcomes, or differences of paired outcomes.

    The images' variance is that of the mean, over images, of each image's mean over seeds: it holds the chance of single
    images, which go one way in one training and the other way in the next. What else trainings differ by is not in it; a few
    seeds of one net do not show it, and `trainings.with_trainings` adds it. Two images are added, as Agresti and Min (2005) do
    for paired proportions, so that no variance is 0.
    """
    per_image, seeds = values.mean(0), len(values)
    n = len(per_image) + 2
    images = (float((per_image**2).sum()) + 1 - float(per_image.sum()) ** 2 / n) / n**2
    shared = min(images, chance_of_images(values) / seeds) if seeds > 1 else 0.0
    return Estimate(float(values.mean()), images, shared=shared, seeds=seeds)


def chance_of_images(values: NDArray[np.floating]) -> float:
    """The variance of one seed's mean that single images make, from values [seeds, N] of two seeds or more."""
    per_image, per_seed = values.mean(0), values.mean(1)
    residual = values - per_image - (per_seed - per_seed.mean())[:, None]
    return float((residual**2).sum()) / (len(values) - 1) / (len(per_image) + 2) ** 2


def nested_interval(values: NDArray[np.floating], level: float = LEVEL) -> tuple[float, float]:
    """The interval of `nested`: of these trainings, whatever others would do."""
    return nested(values).interval(level)


def one_seed_interval(errors: float, n: int, estimate: Estimate, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval, with the variance that trainings add to an `estimate` of the same error from one seed."""
    share_of_errors = errors / n
    low, high = wilson(errors, n, level)
    squared = replace(estimate, images=0.0).half(level) ** 2
    below, above = (math.sqrt((bound - share_of_errors) ** 2 + squared) for bound in (low, high))
    return share((share_of_errors - below, share_of_errors + above))


def of_splits(values: NDArray[np.floating], n: int) -> Estimate:
    """The mean of shares [seeds, splits] over random splits with n test images each.

    Its variance is that of the choice of splits, which share images. One image's worth of variance is added, so that none is 0
    where all splits agree.
    """
    of_split = values.mean(0)
    drawn = ((float(of_split.var(ddof=1)) / len(of_split), len(of_split) - 1),) if len(of_split) > 1 else ()
    return Estimate(float(values.mean()), 1 / n**2, drawn, seeds=len(values))


RESAMPLES = 200
"""Bootstrap resamples of a measure that is not a mean over images."""


def resampled(
    measures: Sequence[Callable[[NDArray[np.int64]], float]], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The values [measures, RESAMPLES] of measures that are not means over images (average precision), over resampled images.

    A measure takes the numbers of the pictures in a resample. `groups` [n] is the number of the image that each of n pictures
    belongs to: persons of one image are drawn together. All measures see the same resamples, and the same groups always give
    the same resamples, so that results of different systems can be compared in pairs.
    """
    rng = np.random.default_rng(0)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    n = len(members)
    resamples = [np.concatenate([members[i] for i in rng.integers(0, n, n)]) for _ in range(RESAMPLES)]
    return np.array([[measure(chosen) for chosen in resamples] for measure in measures])


def of_resamples(whole: NDArray[np.floating], resamples: NDArray[np.floating], n: int) -> Estimate:
    """The estimate of a measure from its values over all n images [seeds] and over resamples of them [seeds, RESAMPLES].

    One image's worth of variance is added, so that none is 0.
    """
    return Estimate(float(whole.mean()), float(np.nanvar(resamples.mean(0), ddof=1)) + 1 / n**2, seeds=len(whole))


def share(bounds: tuple[float, float]) -> tuple[float, float]:
    """The part of an interval that lies in [0, 1], where shares lie."""
    return max(0.0, bounds[0]), min(1.0, bounds[1])


def _student(tail: float, df: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, tail))


def mcnemar_exact(first: int, second: int) -> float:
    """Two-sided p-value of McNemar's exact test, from the images that only the `first` or only the `second` system gets wrong.

    Under the hypothesis that the systems are equally good, each such image is as likely the one's as the other's.
    """
    from scipy.special import bdtr

    n = first + second
    return min(1.0, 2 * float(bdtr(min(first, second), n, 0.5))) if n else 1.0


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values of tests along the first axis; other axes are families of their own, such as draws.

    At 5%, the chance of any false rejection in a family is at most 5%, however dependent the tests are.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, axis=0, kind="stable")
    left = (len(p) - np.arange(len(p))).reshape(-1, *(1 for _ in p.shape[1:]))
    ascending = np.maximum.accumulate(np.minimum(1.0, left * np.take_along_axis(p, order, 0)), axis=0)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, ascending, 0)
    return adjusted


@dataclass(frozen=True)
class LargerSample:
    """A sample that would detect a truth at some distance with 80% power."""

    images: float = 1.0
    """How many times the images of the estimate."""
    seeds: int = 0
    """0 where the estimate's seeds do."""
    splits: int = 0

    def of(self, estimate: Estimate) -> Estimate:
        """The estimate as it would be on that sample, were all variances as they were estimated."""
        more = estimate.seeds / (self.seeds or estimate.seeds)
        images = (estimate.images - estimate.shared * (1 - more)) / self.images
        (variance, df), drawn = estimate.trainings, estimate.drawn
        if self.splits:
            (first, splits_df), *others = drawn
            drawn = ((first * (splits_df + 1) / self.splits, self.splits - 1), *others)
        return replace(estimate, images=images, shared=0.0, drawn=drawn, trainings=(variance * more, df))


def images_needed(estimate: Estimate, distance: float, n: int, tail: float, seeds: int = 0) -> int | None:
    """How many images, instead of the n of `estimate`, would detect a truth at `distance` with 80% power, tested at `tail`.

    `seeds` are those that would be trained, if more than the estimate's. None where no number would, because trainings or
    splits vary too much, or the distance is 0.
    """
    times = _least(lambda images: LargerSample(images, seeds).of(estimate).detects(distance, tail), 1 / n)
    return None if times is None else math.ceil(times * n)


def seeds_needed(estimate: Estimate, distance: float, tail: float, *, images: float = 1.0) -> int | None:
    """How many seeds would detect it, on so many times the images; None where no number would, because of images or splits."""
    seeds = _least(lambda number: LargerSample(images, math.ceil(number)).of(estimate).detects(distance, tail), 1.0)
    return None if seeds is None else math.ceil(seeds)


def splits_needed(estimate: Estimate, distance: float, tail: float) -> int | None:
    """How many random splits would detect it; None where no number would, and where there are no splits."""
    if not estimate.drawn:
        return None
    splits = _least(lambda number: LargerSample(splits=math.ceil(number)).of(estimate).detects(distance, tail), 2.0)
    return None if splits is None else math.ceil(splits)


ENDLESS = 1e12
"""A number of images, seeds or splits that stands for no end to them: where it is not enough, none is."""


def _least(enough: Callable[[float], bool], few: float) -> float | None:
    """The least number from `few` on, to a thousandth or to 1, that is enough; None if none is."""
    many = ENDLESS
    if not enough(many):
        return None
    if enough(few):
        return few
    while many / few > 1.001:
        middle = math.sqrt(few * many)
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
