"""Variants beside the rows that they vary: audited by their records, and compared image by image. No torch.

A family apart: Holm's correction is made over the differences of a table's variants, and the paper's cells and claims are what
they are without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vggrepro.judging.comparisons import paired_gain
from vggrepro.judging.decisions import ALPHA
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import PublishedTable, Row
from vggrepro.scores.outcomes import Outcome, Outcomes
from vggrepro.scores.statistics import Estimate, holm
from vggrepro.scores.trainings import (
    TrainingSpread,
    differing,
    measured_spread,
    trainings_of,
    with_trainings,
)
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Difference, Table
from vggrepro.tables.measurement import Measurement


def judge_variants(table: Table, published: PublishedTable, measurement: Measurement, settings: Settings) -> Table:
    """The table with the difference of every variant from the row that it varies, in each column, and a verdict."""
    outcomes = measurement.outcomes
    pairs = {
        (i, j): (own, usual)
        for i, row in enumerate(published.rows)
        for j, column in enumerate(published.columns)
        if row.varies is not None
        and (own := _outcome(outcomes, row, column.quantity))
        and (usual := _outcome(outcomes, published.rows[row.varies], column.quantity))
        and column.split not in ("withheld", "claims")
    }
    tested = {
        (i, j): _tested(table, settings, *pair, measurement.spreads[published.columns[j].quantity])
        for (i, j), pair in pairs.items()
    }
    # one at a time, Holm's correction asks no more than this of the first
    tail = ALPHA / (2 * max(len(tested), 1))
    adjusted = dict(zip(tested, holm([each.p for each in tested.values()]).tolist(), strict=True))
    rows = tuple(
        replace(
            row,
            differences=tuple(
                _difference(tested[place], adjusted[place], pairs[place][0].n, tail, errors=not table.higher_is_better)
                if (place := (i, j)) in tested
                else None
                for j in range(len(published.columns))
            ),
        )
        for i, row in enumerate(table.variants, start=len(table.rows))
    )
    return replace(table, variants=rows)


def _outcome(outcomes: Outcomes, row: Row, quantity: str) -> Outcome | None:
    """What a row made of every image in a quantity."""
    return next((e.outcome for e in outcomes.entries if e.quantity == quantity and dict(e.row) == row.keys), None)


@dataclass(frozen=True)
class _Tested:
    gain: Estimate
    """By how many points the variant is better."""
    seeds: int
    p: float
    """Two-sided, of no difference."""


def _tested(table: Table, settings: Settings, own: Outcome, usual: Outcome, pooled: TrainingSpread) -> _Tested:
    gain = paired_gain(own, usual, higher_is_better=table.higher_is_better)
    times = differing(*(_trainings(settings, each) for each in (own, usual)))
    # the same weights, tested otherwise, differ by nothing that training does
    spread, share = (pooled, times) if times else (measured_spread([gain.spread]), 1.0)
    estimate = with_trainings(gain.estimate, spread, share).scaled(100)
    exact = None if times else gain.exact
    return _Tested(estimate, gain.seeds, estimate.differs() if exact is None else exact)


def _trainings(settings: Settings, outcome: Outcome) -> Mapping[str, float]:
    """The trainings that an outcome is from: a variant that is only tested otherwise has that of the run that it varies."""
    shares = trainings_of(outcome)
    return {settings.trained_as(Run.parse(run.rpartition("/")[2])).name: share for run, share in shares.items()}


def _difference(tested: _Tested, p_holm: float, n: int, tail: float, *, errors: bool) -> Difference:
    gain = tested.gain
    above = gain.scaled(-1.0) if errors else gain
    return Difference(
        value=above.mean + 0.0,
        interval=above.interval(),
        n=n,
        seeds=tested.seeds,
        p=tested.p,
        p_holm=p_holm,
        minimum_detectable_difference=gain.detectable(tail),
        verdict="inconclusive" if p_holm >= ALPHA else "better" if gain.mean > 0 else "worse",
    )
