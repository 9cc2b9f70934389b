"""What a forecast of claims assumes of disagreement and spread: from finished runs, else from the tolerances. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np

from vggrepro.planning.power import OF_VALIDATION, USUAL_ERROR, Assumptions
from vggrepro.scores.outcomes import Errors, read_outcomes
from vggrepro.scores.trainings import pooled_spread, trainings_of

COMPARED_QUANTITY = "top-1"
"""By which nets are compared: of the errors that are printed it has the most images that are wrong."""


def assumptions_of(results: Path, seeds: int, images: int) -> Assumptions:
    """What is taken to be true of a run with so many seeds on so many validation images.

    Disagreement and spread are those of the outcomes among the results, where there are some that can be read, else those of
    the tolerances. A spread is of the quantity that it was measured in, and of no other.
    """
    try:
        by_quantity = _outcomes(results)
    except ValueError as error:
        return Assumptions(seeds, {}, images, source=f"tables/tolerances.yaml, because of {error}")
    outcomes = by_quantity[COMPARED_QUANTITY]
    between = _disagreements(outcomes, same=False)
    within = _disagreements(outcomes, same=True)
    if not between or not within:
        return Assumptions(seeds, {}, images)
    return Assumptions(
        seeds,
        {},
        images,
        between=max(median(between), median(within)),
        within=median(within),
        training={
            quantity: _spread(repeated, quantity)
            for quantity, repeated in by_quantity.items()
            if repeated and len(repeated[0].wrong) > 1
        },
        source=f"{results} ({len(outcomes)} systems, {len(outcomes[0].wrong)} seeds, {outcomes[0].n:,} images)",
    )


def _outcomes(results: Path) -> dict[str, list[Errors]]:
    """The outcomes of systems of one net, each once, by the quantities that are measured on the validation images."""
    by_sources: dict[str, dict[tuple[str, ...], Errors]] = {quantity: {} for quantity in OF_VALIDATION}
    for file in sorted((results / "tables").glob("*.npz")):
        for entry in read_outcomes(file).entries:
            outcome = entry.outcome
            if entry.quantity in by_sources and isinstance(outcome, Errors) and len(trainings_of(outcome)) == 1:
                by_sources[entry.quantity].setdefault(tuple(sorted(outcome.sources)), outcome)
    return {quantity: list(outcomes.values()) for quantity, outcomes in by_sources.items()}


def _spread(repeated: Sequence[Errors], quantity: str) -> float:
    """Standard deviation between trainings of one net, in points, of outcomes of several seeds."""
    return 100 * math.sqrt(pooled_spread(((each, trainings_of(each)) for each in repeated), quantity).variance)


def _disagreements(outcomes: Sequence[Errors], *, same: bool) -> list[float]:
    """The share of images on which two systems disagree, of the same net or of two, as it would be at the usual error."""
    shares = []
    for first, second in combinations(outcomes, 2):
        alike = trainings_of(first) == trainings_of(second)
        error = float(np.mean([first.wrong.mean(), second.wrong.mean()]))
        if first.images == second.images and alike is same and 0 < error < 1:
            usual = USUAL_ERROR * (1 - USUAL_ERROR) / (error * (1 - error))
            shares.append(float(np.mean(first.wrong[0] != second.wrong[0])) * usual)
    return shares
