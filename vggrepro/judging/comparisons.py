"""Comparisons of two cells, image by image, or of a cell with a number that the paper quotes. No torch.

The quoted number is taken as a constant: nobody knows which images that system got wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vggrepro.paper.claims import CellPlace, Claim
from vggrepro.scores.outcomes import Errors, Outcome, Outcomes, Shares
from vggrepro.scores.statistics import Estimate, mcnemar_exact, nested, of_resamples, of_splits
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import estimated_share, relative_difference


@dataclass(frozen=True)
class Step:
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
    needed: str = ""
    """What would decide it, if the truth were as estimated."""


@dataclass(frozen=True)
class TestedStep:
    """A step with the estimate that it was tested by."""

    step: Step
    estimate: Estimate
    """Of the gain in points; of speed, of the logarithm of the ratio."""
    unit: str
    """What the gain is a mean over: images, splits, epochs."""
    exact: float | None = None
    """Two-sided p-value of no difference by an exact test, where there is one."""


@dataclass(frozen=True)
class _Difference:
    """By how much the first of two outcomes is better."""

    estimate: Estimate
    """From 0 to 1."""
    exact: float | None
    """Two-sided p-value of no difference by McNemar's exact test, for one seed."""
    n: int
    """Images."""
    seeds: int
    unit: str


OutcomesReader = Callable[[str, str], Outcomes]
"""The outcomes of a table by its number and the name of the results that they are from; empty for those that are judged."""


class NotRunError(Exception):
    """A claim needs something that was not run."""


def compare_cells(settings: Settings, claim: Claim, read: OutcomesReader) -> list[TestedStep]:
    """Every pair of a claim, compared.

    Raises NotRunError where an outcome is missing, and ValueError for outcomes of different images.
    """
    comparisons = []
    for place, against in claim.compared():
        first = _outcome(place, claim, settings, read)
        if against.row(settings.table).ours:
            second, label = _outcome(against, claim, settings, read), against.label
            if first.images != second.images or type(first) is not type(second):
                raise ValueError(
                    f"claim {claim.id}: {place.label} and {label} are of different images: make the tables anew"
                )
            difference = _difference(first, second, relative=claim.relative)
        else:
            printed = against.printed(claim.quantity, settings.table)
            assert printed.value is not None, "the loader checks it"
            difference, label = (
                _from_constant(first, printed.value / 100),
                f"{against.label}, printed {printed.printed}",
            )
        estimate = _points(difference.estimate)
        step = Step(
            cell=place.label,
            against=label,
            at=(place.cell(claim.quantity, settings.table), against.cell(claim.quantity, settings.table)),
            gain=estimate.mean,
            interval=estimate.interval(),
            n=difference.n,
            seeds=difference.seeds,
        )
        comparisons.append(TestedStep(step, estimate, difference.unit, difference.exact))
    return comparisons


def _outcome(place: CellPlace, claim: Claim, settings: Settings, read: OutcomesReader) -> Outcome:
    if place.table not in settings.table_numbers():
        raise NotRunError(f"{place.label}: the paper prints no such table; it is made with unprinted=[{place.table}]")
    for entry in read(place.table, place.of).entries:
        if entry.quantity == claim.quantity and place.matches(entry.row):
            return entry.outcome
    raise NotRunError(f"{place.label} was not measured")


def _from_constant(outcome: Outcome, constant: float) -> _Difference:
    """By how much an outcome is better than a number from 0 to 1; its variance is the outcome's alone."""
    if isinstance(outcome, Errors):
        return _Difference(nested(constant - outcome.values), None, outcome.n, len(outcome.wrong), "images")
    estimate = estimated_share(outcome)
    unit = "images" if outcome.resampled.size else "splits"
    less = replace(estimate, mean=estimate.mean - constant)
    return _Difference(less, None, outcome.n, len(outcome.values), unit)


def _difference(first: Outcome, second: Outcome, *, relative: bool) -> _Difference:
    if isinstance(first, Errors) and isinstance(second, Errors):
        return _relative_difference(first, second) if relative else _error_difference(first, second)
    assert isinstance(first, Shares)
    assert isinstance(second, Shares)
    return _share_difference(first, second)


def _relative_difference(first: Errors, second: Errors) -> _Difference:
    """CHOICE 8: by how much the second error is higher, relative to the first."""
    estimate = relative_difference(second, first)
    if estimate is None:
        raise NotRunError("an error of 0 has no relative difference")
    return _Difference(estimate, None, first.n, min(len(first.wrong), len(second.wrong)), "images")


def _error_difference(first: Errors, second: Errors) -> _Difference:
    """Of the error rates: McNemar's exact test for one seed, the nested variance of images and seeds for several."""
    seeds = min(len(first.values), len(second.values))
    better = second.values[:seeds] - first.values[:seeds]
    estimate = nested(better)
    exact = mcnemar_exact(int((better < 0).sum()), int((better > 0).sum())) if seeds == 1 else None
    return _Difference(estimate, exact, first.n, seeds, "images")


def _share_difference(first: Shares, second: Shares) -> _Difference:
    """Of mean precisions or recalls: over the same resamples of images, or over the same splits."""
    seeds = min(len(first.values), len(second.values))
    better = first.values[:seeds] - second.values[:seeds]
    if first.resampled.size:
        resamples = first.resampled[:seeds] - second.resampled[:seeds]
        estimate, unit = of_resamples(better[:, 0], resamples, first.groups), "images"
    else:
        estimate, unit = of_splits(better, first.n), "splits"
    return _Difference(estimate, None, first.n, seeds, unit)


def _points(estimate: Estimate) -> Estimate:
    """The same in points of per cent."""
    drawn = tuple((1e4 * variance, df) for variance, df in estimate.drawn)
    return Estimate(100 * estimate.mean, 1e4 * estimate.images, drawn, 1e4 * estimate.shared)
