"""By how much trainings differ: measured over seeds, pooled over nets, joined with what is known beforehand. No torch.

A system's error varies with the training of its nets, besides what the chance of single images does. Two seeds of one net
tell little of it, two seeds of twelve nets much more, and one seed nothing: then `training` of `tables/tolerances.yaml` stands
in for it. That file says how the two are joined, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.references import without_reference
from vggrepro.paper.runs import is_variant
from vggrepro.paper.tolerances import known_quantity, tolerance_of
from vggrepro.scores.outcomes import Errors, Outcome, Shares
from vggrepro.scores.statistics import Estimate, chance_of_images

TrainingShares = Mapping[str, float]
"""The share of each training in a system."""

ASSUMED_ELSEWHERE = "as the paper's nets do on its images: on these they may differ by far more"
"""What is to be said of an assumed spread where the images are not the paper's."""

IMPORTED = "imported/"
"""How the path of scores of others begins."""


@dataclass(frozen=True)
class SeedSpread:
    """How the values of a system spread over its seeds: variances of one seed's value, from 0 to 1 squared."""

    variance: float
    """Of the seeds' values."""
    chance: float
    """The part of it that single images make, which go one way in one training and the other way in the next."""
    df: int

    def scaled(self, factor: float) -> SeedSpread:
        """The same of values times the root of `factor`."""
        return replace(self, variance=factor * self.variance, chance=factor * self.chance)


@dataclass(frozen=True)
class TrainingSpread:
    """What the training of one net adds to the variance of its error."""

    variance: float
    """From 0 to 1 squared."""
    df: int
    measured: int
    """How many of its degrees of freedom are of seeds; 0 where it is assumed."""
    assumed: bool
    """Whether `tables/tolerances.yaml` has a part in it."""

    def in_words(self, *, elsewhere: bool = False) -> str:
        """What an interval takes for granted: `one seed: it is assumed that trainings differ by 0.10 points`.

        `elsewhere`: the images are not the paper's, so that what is assumed may not hold.
        """
        differ = f"trainings differ by {100 * self.variance**0.5:.2f} points"
        doubt = f", {ASSUMED_ELSEWHERE}" if elsewhere and self.assumed else ""
        if not self.measured:
            return f"one seed: it is assumed that {differ}{doubt}"
        return f"{differ} ({self.measured} degrees of freedom{' and what is assumed' if self.assumed else ''}){doubt}"


def training_spread(measured: Iterable[SeedSpread], *, prior: float, df: int) -> TrainingSpread:
    """The spread of trainings, from what was measured and a variance `prior` with `df` degrees of freedom (Smyth 2004).

    Where more is measured than the prior and chance explain, the prior does not hold here, and the measured spread stands
    alone: an average of the two would be too small.
    """
    spreads = [spread for spread in measured if spread.df]
    freedom = sum(spread.df for spread in spreads)
    if not freedom:
        return TrainingSpread(prior, df, 0, assumed=True)
    variance, chance = (
        sum(spread.df * part for spread, part in zip(spreads, parts, strict=True)) / freedom
        for parts in ([spread.variance for spread in spreads], [spread.chance for spread in spreads])
    )
    if variance > prior + chance:
        return TrainingSpread(variance - chance, freedom, freedom, assumed=False)
    joined = (df * prior + freedom * (variance - chance)) / (df + freedom)
    return TrainingSpread(max(0.0, joined), df + freedom, freedom, assumed=True)


def measured_spread(measured: Iterable[SeedSpread]) -> TrainingSpread:
    """The spread of differences of the same trainings, which cancel out: nothing is assumed, what is measured counts."""
    return training_spread(measured, prior=0.0, df=1)


def seed_spread(outcome: Outcome) -> SeedSpread:
    """How an outcome spreads over its seeds."""
    if isinstance(outcome, Errors):
        return spread_of_values(outcome.values)
    return spread_of_shares(outcome.values, outcome.resampled)


def spread_of_values(values: NDArray[np.floating]) -> SeedSpread:
    """The spread of means of values [seeds, N]."""
    if len(values) == 1:
        return SeedSpread(0.0, 0.0, 0)
    return SeedSpread(float(values.mean(1).var(ddof=1)), chance_of_images(values), len(values) - 1)


def spread_of_shares(values: NDArray[np.floating], resampled: NDArray[np.floating]) -> SeedSpread:
    """The spread of mean precisions or recalls [seeds, splits]; what images do is seen in resamples [seeds, RESAMPLES]."""
    if len(values) == 1:
        return SeedSpread(0.0, 0.0, 0)
    chance = 0.0
    if resampled.size:
        centred = resampled - np.nanmean(resampled, 1, keepdims=True)
        chance = float(np.nanmean(centred.var(0, ddof=1)))
    return SeedSpread(float(values.mean(1).var(ddof=1)), chance, len(values) - 1)


def trainings_of(outcome: Outcome, *, of: str = "") -> TrainingShares:
    """The trainings that an outcome is from, with their shares; `of` names other results, whose trainings are others.

    Nets are averaged last (PAPER 4.4), so that each has the same share. Imported scores are of no training that varies: what
    was imported is that one system.
    """
    if isinstance(outcome, Shares) and all(path.count("/") == 1 for path in outcome.sources):
        # of SVMs: <task>/<run>+<run>, a result for each seed
        members = [run for path in outcome.sources[:1] for run in path.partition("/")[2].split("+")]
    else:
        # of posteriors or boxes: <run>/<protocol>/<Q>
        members = [
            path if path.startswith(IMPORTED) else without_reference(path.split("/")[0]) for path in outcome.sources
        ]
    distinct = dict.fromkeys(members)
    return {f"{of}/{run}": 1 / len(distinct) for run in distinct if not run.startswith(IMPORTED)}


def differing(first: TrainingShares, second: TrainingShares | None = None) -> float:
    """How many times the variance of one training a system has, or the difference of two.

    Every training adds the square of its share: a mean over two nets varies half as much as one of them. What two systems
    share cancels out.
    """
    second = second or {}
    return round(sum((first.get(run, 0.0) - second.get(run, 0.0)) ** 2 for run in {*first, *second}), 12)


def pooled_spread(outcomes: Iterable[tuple[Outcome, TrainingShares]], quantity: str) -> TrainingSpread:
    """The spread of trainings in a quantity, pooled over systems that share no training: no training is counted twice.

    Variants have no part in it, so that the intervals of the paper's cells are the same with and without them.
    """
    sources, seen, spreads = tolerance_of(known_quantity(quantity)).sources, set[str](), []
    # systems of few nets first, because they show more of what one training does
    for outcome, shares in sorted(outcomes, key=lambda pair: len(pair[1])):
        if (
            shares
            and not seen & set(shares)
            and not any(is_variant(training.rpartition("/")[2]) for training in shares)
        ):
            seen |= set(shares)
            spreads.append(seed_spread(outcome).scaled(1 / differing(shares)))
    return training_spread(spreads, prior=(sources.training / 100) ** 2, df=sources.df)


def with_trainings(estimate: Estimate, spread: TrainingSpread, times: float) -> Estimate:
    """The estimate with the variance of trainings in it, so many `times` that of one; its mean is over `estimate.seeds`."""
    return replace(estimate, trainings=(times * spread.variance / estimate.seeds, spread.df))


def spreads_by_quantity(outcomes: Sequence[tuple[str, Outcome]]) -> dict[str, TrainingSpread]:
    """The pooled spread of each quantity, from (quantity, outcome)."""
    return {
        quantity: pooled_spread(((each, trainings_of(each)) for name, each in outcomes if name == quantity), quantity)
        for quantity in dict.fromkeys(name for name, _ in outcomes)
    }
