"""Cells: a measured number with its interval beside the published one, and the table that they stand in. No torch, no markup.

A `Table` is plain data that passes from stage to stage: `build` fills the cells, `judging` adds findings, footnotes and
verdicts, `render` prints it. A cell without a number of ours says why; it is never blank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vggrepro.paper.references import on_path, place_on_path, plain_quantity
from vggrepro.paper.systems import evaluations_of, with_seed
from vggrepro.paper.tables import Column, Published, PublishedTable, Row, cell_id
from vggrepro.paper.tolerances import rounding
from vggrepro.scores.outcomes import Errors, Shares, SystemOutcomes, estimated_share, relative_difference
from vggrepro.scores.statistics import nested, one_seed_interval, share
from vggrepro.scores.trainings import TrainingSpread, differing, trainings_of, with_trainings

Status = Literal[
    "measured", "validation", "withheld", "claim", "quoted", "not reported", "not run", "spanned", "undefined"
]
CellInterval = tuple[float, float]

Verdict = Literal["", "agrees", "differs", "inconclusive", "other data", "other settings"]
"""Of cells. Nothing is shown of an inconclusive one, where a claim would be undecided (`judging/decisions.py`)."""

MARKS: dict[Status, str] = {
    "validation": "on val",
    "withheld": "labels withheld",
    "claim": "see claims",
    "quoted": "quoted",
    "not reported": "not reported",
    "not run": "not run",
    "undefined": "not defined",
}
"""What is printed in a cell that has no number of ours."""

ALL_CELLS = "all cells"
"""The mark of a footnote that holds for every measured cell of a table: it is printed once, below the table."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the published value, and ours beside it. Errors, precisions and recalls are in per cent."""

    status: Status
    published: str
    """As printed, without marks for bold around its first number; `-` where the paper has a dash."""
    published_bold: bool = False
    span: int = 1
    """Columns that the published value covers."""
    text: str = ""
    """Ours, in Table 1, whose cells are layers."""
    value: float | None = None
    interval: CellInterval | None = None
    """95%; None where the value is counted, not estimated."""
    delta: float | None = None
    """Ours less the published value."""
    delta_interval: CellInterval | None = None
    """95%, the rounding of the printed number included."""
    delta_narrow: CellInterval | None = None
    """90%, of the difference from the number as printed: the two agree where it lies within the tolerance."""
    verdict: Verdict = ""
    """What the delta says of the published number; empty until the cell is judged, and where there is no delta."""
    tolerance: float | None = None
    """The largest delta that counts as agreement, rounding included; None where it cannot be compared with the paper's."""
    minimum_detectable_difference: float | None = None
    """The smallest true difference that would be found to differ with 80% power."""
    n: int = 0
    """Images."""
    seeds: int = 0
    spread: float | None = None
    """Standard deviation over seeds, or over splits where there are several."""
    splits: int = 0
    """Random splits that the value is a mean over, where there are several."""
    best: bool = False
    sources: tuple[str, ...] = ()
    """The evaluations that were averaged, for the first seed, or the results of SVMs."""
    footnotes: tuple[str, ...] = ()
    """Marks of the departures from the paper, by the records of what made the value."""


@dataclass(frozen=True)
class TableRow:
    """A row: its keys as printed and its cells, a cell per column."""

    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    group: int
    """Rows in the group that starts here; 0 for a row that continues one."""


@dataclass(frozen=True)
class AuditFinding:
    """What was done otherwise than in the paper, or where the paper is unspecified, and all the cells that depend on it."""

    rule: str
    """Its id in `tables/protocol.yaml`."""
    section: str
    says: str
    """The paper, in our words."""
    kind: Literal["paper", "choice"]
    """Whether another value departs from the paper, or is another choice where the paper is unspecified."""
    choice: int | None
    """Number in the list of choices."""
    did: str
    """What was done, in words."""
    expected: str
    """By the paper; of a choice, the default."""
    differs: bool
    """A choice is listed where it is the default, too."""
    about: tuple[str, ...]
    """Runs, evaluations, results."""
    cells: tuple[str, ...] = ()
    """Ids of the cells; none before the table is audited."""

    @property
    def deviates(self) -> bool:
        """Whether it departs from the paper, so that numbers cannot be compared."""
        return self.differs and self.kind == "paper"


@dataclass(frozen=True)
class Difference:
    """By how much a variant is above the row that it varies, image by image, in points."""

    value: float
    interval: CellInterval
    """95%."""
    n: int
    """Images."""
    seeds: int
    p: float
    """Two-sided p-value of no difference."""
    p_holm: float
    """After Holm's correction over all differences of variants in the table."""
    minimum_detectable_difference: float
    """The smallest true difference that would be found with 80% power, were it the only one of the table's variants."""
    verdict: Literal["better", "worse", "inconclusive"]


@dataclass(frozen=True)
class ChangedKey:
    """A setting in which a variant differs."""

    key: str
    own: str
    usual: str
    """Of the run that it varies."""


@dataclass(frozen=True)
class VariantRow:
    """A row of the user's own beside the row that it varies; it is not of the paper."""

    name: str
    """As the user calls the variant; of a sweep, with the value."""
    keys: tuple[str, ...]
    """As printed; the first has the name in brackets."""
    varies: int
    """The row that it varies, from 0."""
    changes: tuple[ChangedKey, ...]
    cells: tuple[Cell, ...]
    differences: tuple[Difference | None, ...]
    """By column; None until they are judged, and where the variant or the row that it varies has no number."""
    sweep: str = ""
    """The name of the sweep that it is a point of."""
    key: str = ""
    """Of the setting that is swept."""


@dataclass(frozen=True)
class Table:
    """A table of the paper, measured anew."""

    number: str
    name: str
    title: str
    section: str
    caption: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[tuple[str, str], ...]
    """Marks and texts: the paper's own, then those of the audit."""
    notes: tuple[str, ...]
    """What has to be known to read the deltas."""
    kind: Literal["errors", "layers", "parameters"] = "errors"
    """How cells are printed."""
    higher_is_better: bool = False
    """Whether cells are precisions and recalls, not errors."""
    other_data: tuple[str, ...] = ()
    """Quantities that were measured on other images than the published numbers."""
    above: tuple[tuple[str, int], ...] = ()
    """Headings over key columns, each with the number of columns that it covers; none where no column has one."""
    findings: tuple[AuditFinding, ...] = ()
    """What the audit found: departures from the paper, and choices where it is unspecified."""
    variants: tuple[VariantRow, ...] = ()
    """Rows of the user's own, apart from those of the paper."""

    @property
    def all_rows(self) -> tuple[TableRow | VariantRow, ...]:
        """Its rows and those of variants, numbered as those of `Settings.table`."""
        return (*self.rows, *self.variants)

    def anchor(self, row: int, column: int) -> str:
        """The id of a cell, by its row and column from 0."""
        return cell_id(self.name, row, column)

    def with_cells(self, change: Callable[[int, int, Cell], Cell]) -> Table:
        """The table with every cell of the paper's rows changed, by its row and column from 0; those of variants stay."""
        rows = (
            replace(row, cells=tuple(change(i, j, cell) for j, cell in enumerate(row.cells)))
            for i, row in enumerate(self.rows)
        )
        return replace(self, rows=tuple(rows))


def published_cell(row: Row, name: str) -> Cell:
    """The published part of a cell, with the number of columns that it covers; its status is `not run`."""
    names = list(row.cells)
    span = 1
    for right in names[names.index(name) + 1 :]:
        if not row.cells[right].spanned:
            break
        span += 1
    return Cell("not run", row.cells[name].text, row.cells[name].bold, span)


def quoted_cell(cell: Cell, printed: Published, split: str) -> Cell:
    """A cell of another paper's row, or a number in a sentence of the paper, which a claim judges."""
    status: Status = "not reported" if printed.value is None else "claim" if split == "claims" else "quoted"
    return replace(cell, status="spanned" if printed.spanned else status)


def system_cell(
    row: Row, column: Column, outcomes: SystemOutcomes, higher: str, spreads: Mapping[str, TrainingSpread]
) -> Cell:
    """A row's cell in a column, by the outcomes of systems; `higher` says how a printed difference is read (CHOICE 8)."""
    printed, cell = row.cells[column.name], published_cell(row, column.name)
    if row.system is None:
        return quoted_cell(cell, printed, column.split)
    if column.split == "withheld":
        return replace(cell, status="withheld")
    if row.system not in outcomes or (row.minus and row.minus not in outcomes):
        return cell  # not run
    if column.quantity not in outcomes[row.system]:
        # what lists of labels leave out, and not what a reference was not measured on
        return cell if plain_quantity(column.quantity) in outcomes[row.system] else replace(cell, status="not reported")
    ours, spread = outcomes[row.system][column.quantity], spreads[column.quantity]
    if isinstance(ours, Shares):
        return share_cell(cell, printed, ours, "test", spread)
    less = outcomes[row.minus][column.quantity] if row.minus else None
    if isinstance(less, Errors):
        return difference_cell(cell, printed, ours, less, higher=higher, spread=spread)
    return error_cell(cell, printed, ours, spread)


def error_cell(cell: Cell, printed: Published, outcome: Errors, spread: TrainingSpread) -> Cell:
    """An error rate with its interval, by images (Wilson's, for one seed) and by the `spread` of trainings."""
    errors = outcome.values
    per_seed, n = errors.mean(1), errors.shape[1]
    estimate = with_trainings(nested(errors), spread, differing(trainings_of(outcome)))
    one_seed = partial(one_seed_interval, float(errors.sum()), n, estimate)
    interval = estimate.interval if len(errors) > 1 else one_seed
    return measured_cell(cell, printed, outcome.sources, float(per_seed.mean()), interval, n, per_seed)


def difference_cell(
    cell: Cell, printed: Published, first: Errors, second: Errors, *, higher: str, spread: TrainingSpread
) -> Cell:
    """How much higher the error of `first` is than that of `second`: images are paired, so errors of both cancel out.

    CHOICE 8: in points, or relative to the error of the second.
    """
    relative = higher == "relative"
    estimate = relative_difference(first, second) if relative else nested(first.values - second.values)
    if estimate is None:
        return replace(cell, status="undefined")
    draws = first.values.mean(1) - second.values.mean(1)
    scale = 1 / second.values.mean() if relative else 1.0
    times = scale**2 * differing(trainings_of(first), trainings_of(second))
    interval = with_trainings(estimate, spread, times).interval
    return measured_cell(cell, printed, first.sources, estimate.mean, interval, first.n, draws * scale)


def share_cell(cell: Cell, printed: Published, outcome: Shares, part: str, spread: TrainingSpread) -> Cell:
    """A mean precision or recall with its interval, by images or splits and trainings, on a `part` of the data set.

    On another part than `test` no delta is taken: the published number is of the test images.
    """
    seeds, splits = outcome.values.shape
    estimate = with_trainings(estimated_share(outcome), spread, differing(trainings_of(outcome)))
    spread_over = outcome.values.mean(0) if splits > 1 else outcome.values[:, 0]
    measured = measured_cell(
        cell,
        printed,
        outcome.sources,
        estimate.mean,
        lambda level: share(estimate.interval(level)),
        outcome.n,
        spread_over,
    )
    measured = replace(measured, seeds=seeds, splits=splits if splits > 1 else 0)
    if part == "test":
        return measured
    return replace(measured, status="validation", delta=None, delta_interval=None, delta_narrow=None)


def measured_cell(
    cell: Cell,
    printed: Published,
    sources: tuple[str, ...],
    value: float,
    interval: Callable[[float], CellInterval],
    n: int,
    draws: NDArray[np.float64],
) -> Cell:
    """The cell with a measured `value` from 0 to 1 and its `interval` at a level; in the cell they are in per cent.

    `draws` are the values of the seeds, or of the splits, whose spread the cell shows.
    """
    wide, narrow = ((100 * low, 100 * high) for low, high in (interval(0.95), interval(0.90)))
    if printed.value is not None:
        paper, half = printed.value, rounding(cell.published)
        cell = replace(
            cell,
            delta=100 * value - paper,
            delta_interval=(wide[0] - paper - half, wide[1] - paper + half),
            delta_narrow=(narrow[0] - paper, narrow[1] - paper),
        )
    return replace(
        cell,
        status="measured",
        value=100 * value,
        interval=wide,
        n=n,
        seeds=len(draws),
        spread=100 * float(draws.std(ddof=1)) if len(draws) > 1 else None,
        sources=sources,
    )


@dataclass(frozen=True)
class CellSource:
    """A result that a cell was made from."""

    path: str
    """Below the folder of results, as in `lineage.StoredResult`."""
    weight: Fraction | None
    """Its share of the average; None where nothing is averaged: boxes are pooled, SVMs are one result."""
    less: bool = False
    """Whether it belongs to the system that is subtracted."""

    @property
    def below(self) -> str:
        """Its path below the folder of its kind, such as `D_256_s0/dense/256` of scores."""
        return self.path.partition("/")[2]


def table_sources(
    table: Table, published: PublishedTable, seeds: Sequence[int]
) -> dict[tuple[int, int], tuple[CellSource, ...]]:
    """What every measured cell came from, for every seed, by its row and column from 0.

    Which evaluations a row averages, and with which weights, follows from its key columns.
    """
    results, averages, sources = published.kind.results, published.kind.averages, {}
    for i, (printed, row) in enumerate(zip(published.rows, table.all_rows, strict=False)):
        averaged = [
            (member.path, weight / len(seeds) if averages else None, less)
            for system, less in ((printed.system or (), False), (printed.minus or (), True))
            for seed in seeds
            for member, weight in with_seed(system, seed)
        ]
        for j, cell in enumerate(row.cells):
            if not cell.sources:
                continue
            if evaluations_of(printed.system or ()):
                at = place_on_path(cell.sources[0])
                made_from = [(f"{results}/{on_path(path, at)}", share, less) for path, share, less in averaged]
            else:
                # of SVMs, or of imported systems alone
                folder = results if printed.members else "scores"
                made_from = [(f"{folder}/{name}", None, False) for name in cell.sources]
            sources[i, j] = tuple(CellSource(*each) for each in made_from)
    return sources
