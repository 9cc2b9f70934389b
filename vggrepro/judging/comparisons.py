"""Comparisons of two cells, image by image, or of a cell with a number that the paper quotes. No torch.

The quoted number is taken as a constant: nobody knows which images that system got wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vggrepro.paper.claims import CellPlace, Claim
from vggrepro.scores.outcomes import Errors, Outcome, Outcomes, Shares, estimated_share, relative_difference
from vggrepro.scores.statistics import Estimate, mcnemar_exact, nested, of_resamples, of_splits
from vggrepro.scores.trainings import (
    SeedSpread,
    TrainingSpread,
    differing,
    measured_spread,
    pooled_spread,
    seed_spread,
    spread_of_shares,
    spread_of_values,
    trainings_of,
    with_trainings,
)
from vggrepro.settings.models import Settings


@dataclass(frozen=True)
class ClaimComparison:
    """A comparison of two cells. Gains are in points, positive where the first is better; of speed, a ratio."""

    cell: str
    against: str
    at: tuple[str, str]
    """Ids of the two cells; of speed, of the report's section on trainings."""
    gain: float
    interval: tuple[float, float]
    """95%."""
    n: int
    """Images; of speed, epochs."""
    seeds: int
    p_for: float | None = None
    """p-value of what would support the claim. The three are None until the claim is decided."""
    p_against: float | None = None
    """Of what would refute it."""
    p_smaller: float | None = None
    """Of a gain below the margin; None, too, where the claim is not of a gain."""
    trainings: str = ""
    """What the p-values take for granted of trainings."""
    needed: str = ""
    """What would decide it, if the truth were as estimated."""


@dataclass(frozen=True)
class TestedComparison:
    """A step with the estimate that it was tested by."""

    step: ClaimComparison
    estimate: Estimate
    """Of the gain in points; of speed, of the logarithm of the ratio."""
    unit: str
    """What the gain is a mean over: images, splits, epochs."""
    exact: float | None = None
    """Two-sided p-value of no difference by an exact test, where there is one."""
    unknown_spread: bool = False
    """Whether nothing shows how trainings differ: one seed, on other images than those that the assumed spread is of."""


@dataclass(frozen=True)
class _Difference:
    """By how much the first of two outcomes is better."""

    estimate: Estimate
    """From 0 to 1."""
    exact: float | None
    """Two-sided p-value of no difference by McNemar's exact test, for one seed of the same trainings."""
    spread: SeedSpread
    """Of the difference, over seeds."""
    n: int
    """Images."""
    seeds: int
    unit: str
    times: float = 1.0
    """How many times the variance of one training it has; 0 where both outcomes are of the same trainings."""


OutcomesReader = Callable[[str, str], Outcomes]
"""The outcomes of a table by its number and the name of the results that they are from; empty for those that are judged."""


class NotRunError(Exception):
    """A claim needs something that was not run."""


def compare_cells(
    settings: Settings, claim: Claim, read: OutcomesReader, *, elsewhere: bool = False
) -> list[TestedComparison]:
    """Every pair of a claim, compared; `elsewhere`: on other images than the paper's.

    Raises NotRunError where an outcome is missing, and ValueError for outcomes of different images.
    """
    pairs = claim.compared()
    differences = [_compared(settings, claim, place, against, read) for place, against in pairs]
    pooled = _pooled(claim, read)
    same = measured_spread(difference.spread for difference in differences if not difference.times)
    comparisons = []
    for (place, against), difference in zip(pairs, differences, strict=True):
        spread, times = (pooled, difference.times) if difference.times else (same, 1.0)
        estimate = with_trainings(difference.estimate, spread, times).scaled(100)
        step = ClaimComparison(
            cell=place.label,
            against=against.label + _printed(against, claim, settings),
            at=(place.cell(claim.quantity, settings.table), against.cell(claim.quantity, settings.table)),
            gain=estimate.mean,
            interval=estimate.interval(),
            n=difference.n,
            seeds=difference.seeds,
            trainings=spread.in_words(elsewhere=elsewhere) if difference.times else SAME_TRAININGS,
        )
        unknown = bool(elsewhere and difference.times and not spread.measured)
        comparisons.append(TestedComparison(step, estimate, difference.unit, difference.exact, unknown))
    return comparisons


SAME_TRAININGS = "both are of the same trainings, or imported"


def _compared(
    settings: Settings, claim: Claim, place: CellPlace, against: CellPlace, read: OutcomesReader
) -> _Difference:
    """By how much the first of two cells is better than the second, or than the number that the paper quotes there."""
    first, higher_is_better = _outcome(place, claim, settings, read), settings.table(place.table).higher_is_better
    trainings = trainings_of(first, of=place.of)
    if not against.row(settings.table).ours:
        printed = against.printed(claim.quantity, settings.table)
        assert printed.value is not None, "the loader checks it"
        return replace(
            _from_constant(first, printed.value / 100, higher_is_better=higher_is_better), times=differing(trainings)
        )
    second = _outcome(against, claim, settings, read)
    if first.images != second.images or type(first) is not type(second):
        raise ValueError(
            f"claim {claim.id}: {place.label} and {against.label} are of different images: make the tables anew"
        )
    times = differing(trainings, trainings_of(second, of=against.of))
    difference = paired_gain(first, second, relative=claim.relative, higher_is_better=higher_is_better)
    # McNemar's test is of these trainings alone
    return replace(difference, times=times * difference.times, exact=None if times else difference.exact)


def _printed(place: CellPlace, claim: Claim, settings: Settings) -> str:
    """The number that a row of others stands for."""
    return "" if place.row(settings.table).ours else f", printed {place.printed(claim.quantity, settings.table).text}"


def _pooled(claim: Claim, read: OutcomesReader) -> TrainingSpread:
    """The spread of trainings in the tables that a claim compares."""
    places = dict.fromkeys((place.table, place.of) for pair in claim.compared() for place in pair)
    outcomes = (
        (entry.outcome, trainings_of(entry.outcome, of=of))
        for table, of in places
        for entry in read(table, of).entries
        if entry.quantity == claim.quantity
    )
    return pooled_spread(outcomes, claim.quantity)


def _outcome(place: CellPlace, claim: Claim, settings: Settings, read: OutcomesReader) -> Outcome:
    if place.table not in settings.table_numbers():
        raise NotRunError(f"{place.label}: the paper prints no such table; it is made with unprinted=[{place.table}]")
    for entry in read(place.table, place.of).entries:
        if entry.quantity == claim.quantity and place.matches(entry.row):
            return entry.outcome
    raise NotRunError(f"{place.label} was not measured")


def _from_constant(outcome: Outcome, constant: float, *, higher_is_better: bool) -> _Difference:
    """By how much an outcome is better than a number from 0 to 1; its variance is the outcome's alone."""
    spread = seed_spread(outcome)
    if isinstance(outcome, Errors):
        return _Difference(nested(constant - outcome.values), None, spread, outcome.n, len(outcome.wrong), "images")
    estimate = estimated_share(outcome)
    unit = "images" if outcome.resampled.size else "splits"
    above = estimate.mean - constant
    better = replace(estimate, mean=above if higher_is_better else -above)
    return _Difference(better, None, spread, outcome.n, len(outcome.values), unit)


def paired_gain(first: Outcome, second: Outcome, *, relative: bool = False, higher_is_better: bool) -> _Difference:
    """By how much the first of two outcomes of the same images is better; for shares, whether that is the higher."""
    if isinstance(first, Errors) and isinstance(second, Errors):
        return _relative_difference(first, second) if relative else _error_difference(first, second)
    assert isinstance(first, Shares)
    assert isinstance(second, Shares)
    return _share_difference(first, second) if higher_is_better else _share_difference(second, first)


def _relative_difference(first: Errors, second: Errors) -> _Difference:
    """CHOICE 8: by how much the second error is higher, relative to the first."""
    estimate = relative_difference(second, first)
    if estimate is None:
        raise NotRunError("an error of 0 has no relative difference")
    scale = 1 / float(first.values.mean()) ** 2
    spread = spread_of_values(second.values - first.values).scaled(scale)
    return _Difference(estimate, None, spread, first.n, len(first.wrong), "images", times=scale)


def _error_difference(first: Errors, second: Errors) -> _Difference:
    """The difference of the error rates; with McNemar's exact test for one seed."""
    seeds = min(len(first.values), len(second.values))
    better = second.values[:seeds] - first.values[:seeds]
    estimate = nested(better)
    exact = mcnemar_exact(int((better < 0).sum()), int((better > 0).sum())) if seeds == 1 else None
    return _Difference(estimate, exact, spread_of_values(better), first.n, seeds, "images")


def _share_difference(first: Shares, second: Shares) -> _Difference:
    """By how much the first share is higher: over the same resamples of images, or over the same splits."""
    seeds = min(len(first.values), len(second.values))
    better = first.values[:seeds] - second.values[:seeds]
    if first.resampled.size:
        resamples = first.resampled[:seeds] - second.resampled[:seeds]
        estimate, unit = of_resamples(better[:, 0], resamples, first.groups), "images"
    else:
        resamples = np.empty((seeds, 0))
        estimate, unit = of_splits(better, first.n), "splits"
    return _Difference(estimate, None, spread_of_shares(better, resamples), first.n, seeds, unit)
