"""Comparisons of two cells in pairs of images, and of the speeds of two trainings: what claims are judged by. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vggrepro.paper.claims import CellPlace, Claim
from vggrepro.scores.outcomes import Errors, Outcome, Outcomes, Shares
from vggrepro.scores.statistics import Estimate, mcnemar_exact, nested, of_resamples, of_splits
from vggrepro.settings.models import Settings
from vggrepro.tables.lineage import FinishedTraining


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
        first, second = (_outcome(p, claim.quantity, read(p.table, p.of)) for p in (place, against))
        if first.images != second.images or type(first) is not type(second):
            raise ValueError(
                f"claim {claim.id}: {place.label} and {against.label} are of different images: make the tables anew"
            )
        difference = _difference(first, second)
        estimate = _points(difference.estimate)
        step = Step(
            cell=place.label,
            against=against.label,
            at=(place.cell(claim.quantity, settings.table), against.cell(claim.quantity, settings.table)),
            gain=estimate.mean,
            interval=estimate.interval(),
            n=difference.n,
            seeds=difference.seeds,
        )
        comparisons.append(TestedStep(step, estimate, difference.unit, difference.exact))
    return comparisons


def _outcome(place: CellPlace, quantity: str, outcomes: Outcomes) -> Outcome:
    for entry in outcomes.entries:
        if entry.quantity == quantity and place.matches(entry.row):
            return entry.outcome
    raise NotRunError(f"{place.label} was not measured")


def _difference(first: Outcome, second: Outcome) -> _Difference:
    if isinstance(first, Errors) and isinstance(second, Errors):
        return _error_difference(first, second)
    assert isinstance(first, Shares)
    assert isinstance(second, Shares)
    return _share_difference(first, second)


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


def compare_speeds(claim: Claim, trainings: Sequence[FinishedTraining]) -> list[TestedStep]:
    """Images per second of each net on several GPUs against one of the same kind, epoch by epoch.

    Raises NotRunError where no net was trained on both.
    """
    assert isinstance(claim.of, int)
    comparisons = []
    for (net, device, _), rates in sorted(_log_rates(trainings).items()):
        one, many = rates.get(1, []), rates.get(claim.of, [])
        if min(len(one), len(many)) > 1:
            names = f"{net} on {claim.of} x {device}", f"{net} on one"
            comparisons.append(_speed_comparison(names, many, one))
    if not comparisons:
        raise NotRunError(
            f"no net was trained on one GPU and on {claim.of} of the same kind, in one go and for two epochs each"
        )
    return comparisons


def _log_rates(trainings: Sequence[FinishedTraining]) -> dict[tuple[str, str, str], dict[int, list[float]]]:
    """Logarithms of images per second, epoch by epoch: by net, device and settings of the net, then by number of GPUs."""
    rates: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for training in trainings:
        attempts = training.about["attempts"]
        # the metrics do not say which attempt an epoch was part of
        if len(attempts) == 1 and attempts[0]["device"] != "CPU" and not training.run.localises:
            key = training.run.net, attempts[0]["device"], str(training.about["settings"]["model"])
            epochs = rates.setdefault(key, {}).setdefault(attempts[0]["processes"], [])
            epochs += [math.log(line["images_per_s"]) for line in training.metrics]
    return rates


def _speed_comparison(names: tuple[str, str], many: Sequence[float], one: Sequence[float]) -> TestedStep:
    drawn = tuple((float(np.var(rate, ddof=1)) / len(rate), len(rate) - 1) for rate in (many, one))
    estimate = Estimate(float(np.mean(many) - np.mean(one)), 0.0, drawn)
    low, high = (math.exp(bound) for bound in estimate.interval())
    step = Step(
        *names,
        at=("trainings", "trainings"),
        gain=math.exp(estimate.mean),
        interval=(low, high),
        n=len(one) + len(many),
        seeds=1,
    )
    return TestedStep(step, estimate, "epochs")
