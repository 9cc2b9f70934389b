"""Cells: a number that was measured here, with its interval, beside the published one. No torch, no markup.

A table is rows of them (`tables`, `transferred`); what stands in a cell without a number of ours is never a blank.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vggrepro.judging.footnotes import Noted
from vggrepro.paper.tables import Published, PublishedTable, Row, cell_id
from vggrepro.scores import statistics
from vggrepro.scores.outcomes import Errors
from vggrepro.settings.choices import departures
from vggrepro.settings.models import Settings

Status = Literal["measured", "validation", "withheld", "quoted", "not reported", "not run", "spanned", "undefined"]
CellInterval = tuple[float, float]

Verdict = Literal["", "agrees", "differs", "cannot be told", "other data", "other settings"]

MARKS: dict[Status, str] = {
    "validation": "on val",
    "withheld": "labels withheld",
    "quoted": "quoted",
    "not reported": "not reported",
    "not run": "not run",
    "undefined": "not defined",
}
"""What stands in a cell that has no number of ours: never a blank."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the published value, and ours beside it. Errors are in per cent."""

    status: Status
    published: str
    """As printed, without the marks for bold; `-` where the paper has a dash."""
    published_bold: bool = False
    span: int = 1
    """Columns that the published value covers."""
    text: str = ""
    """Of Table 1, whose cells are layers: ours."""
    value: float | None = None
    interval: CellInterval | None = None
    """95%."""
    delta: float | None = None
    """Ours less the published value."""
    delta_interval: CellInterval | None = None
    """95%, the rounding of the printed number included."""
    delta_narrow: CellInterval | None = None
    """90%, the same: within the tolerance where the two numbers agree."""
    verdict: Verdict = ""
    """What the delta says of the published number (`verdicts`); nothing in a cell without a delta."""
    tolerance: float | None = None
    """How far ours may be from the published number and agree with it, if this cell can be compared with the paper's."""
    tellable: float | None = None
    """The smallest true difference that would be found to differ with 80% power."""
    n: int = 0
    """Images."""
    seeds: int = 0
    spread: float | None = None
    """Standard deviation over seeds, or over splits where there are several."""
    splits: int = 0
    """Random splits that the value is a mean over, where there are several."""
    best: bool = False
    how: tuple[str, ...] = ()
    """The evaluations that were averaged."""
    footnotes: tuple[str, ...] = ()
    """Marks of what was done otherwise than in the paper, by the records of what made the value (`audited`)."""


@dataclass(frozen=True)
class TableRow:
    """A row: its keys as printed and its cells, a cell per column."""

    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    group: int
    """Rows in the group that starts here; 0 for a row that continues one."""


@dataclass(frozen=True)
class Table:
    """A table of the paper, re-made."""

    number: str
    name: str
    title: str
    section: str
    caption: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[tuple[str, str], ...]
    """Marks and texts."""
    notes: tuple[str, ...]
    """What has to be known to read the deltas."""
    kind: Literal["errors", "layers", "parameters"] = "errors"
    higher_is_better: bool = False
    """Whether cells are precisions and recalls, not errors."""
    findings: tuple[Noted, ...] = ()
    """What was done otherwise than the paper says, or where it is silent."""

    def anchor(self, row: int, column: int) -> str:
        """The id of a cell, by its row and column from 0."""
        return cell_id(self.name, row, column)


def published_cell(row: Row, name: str) -> Cell:
    """The published part of a cell, with the number of columns that it covers; nothing was run for it yet."""
    printed = row.cells[name]
    after = list(row.cells)[list(row.cells).index(name) + 1 :]
    span = 1
    while span <= len(after) and row.cells[after[span - 1]].spanned:
        span += 1
    return Cell("not run", printed.printed, printed.bold, span)


def quoted_cell(cell: Cell, printed: Published) -> Cell:
    """A cell of another paper's row."""
    status: Status = "quoted" if printed.value is not None else "not reported"
    return replace(cell, status="spanned" if printed.spanned else status)


def error_cell(cell: Cell, printed: Published, outcome: Errors) -> Cell:
    """An error rate with its interval."""
    errors = outcome.values
    per_seed, n = errors.mean(1), errors.shape[1]
    at = statistics.nested(errors).interval if len(errors) > 1 else partial(statistics.wilson, float(errors.sum()), n)
    return measured_cell(cell, printed, outcome.sources, float(per_seed.mean()), at, n, per_seed)


def difference(cell: Cell, printed: Published, a: Errors, b: Errors, higher: str) -> Cell:
    """How much higher the error of `a` is than that of `b`: images are paired, so that what both miss cancels out.

    CHOICE 8: in points, or relative to the error of `b`.
    """
    x, y = a.values, b.values
    if higher == "points":
        ratio, scale = 1.0, 1.0
    elif y.mean() == 0:
        return replace(cell, status="undefined")
    else:
        ratio, scale = x.mean() / y.mean(), 1 / y.mean()
    value = float((x.mean() - y.mean()) * scale)
    # x - ratio * y is each image's influence on the value, to first order
    influence = statistics.nested(x - ratio * y)

    def at(level: float) -> CellInterval:
        return value - scale * influence.half(level), value + scale * influence.half(level)

    return measured_cell(cell, printed, a.sources, value, at, x.shape[1], (x.mean(1) - y.mean(1)) * scale)


def measured_cell(
    cell: Cell,
    printed: Published,
    how: tuple[str, ...],
    value: float,
    at: Callable[[float], CellInterval],
    n: int,
    per_seed: NDArray[np.float64],
) -> Cell:
    """The cell with a measured value, and with its interval `at` a level; all of it in per cent."""
    wide, narrow = ((100 * low, 100 * high) for low, high in (at(0.95), at(0.90)))
    if printed.value is not None:
        paper, half = printed.value, rounding(printed.printed)
        cell = replace(
            cell,
            delta=100 * value - paper,
            delta_interval=(wide[0] - paper - half, wide[1] - paper + half),
            delta_narrow=(narrow[0] - paper - half, narrow[1] - paper + half),
        )
    return replace(
        cell,
        status="measured",
        value=100 * value,
        interval=wide,
        n=n,
        seeds=len(per_seed),
        spread=100 * float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None,
        how=how,
    )


def rounding(printed: str) -> float:
    """Half a unit of the last printed digit: `25.5` may be 25.45 to 25.55."""
    decimals = re.match(r"[0-9]*\.?([0-9]*)", printed)
    assert decimals is not None, "the pattern matches anything"
    return float(0.5 * 10.0 ** -len(decimals[1]))


def row_keys(published: PublishedTable, row: Row) -> tuple[str, ...]:
    """A row's keys as printed. In fusions a member is written as a system: net/train S/test Q."""
    return tuple(row.keys[name] for name in published.headings)


def groups(published: PublishedTable) -> list[int]:
    """For each row the size of the group that starts there, 0 within a group. A group shares its first key."""
    first = [next(iter(row.keys.values())) for row in published.rows]
    starts = [i for i, key in enumerate(first) if i == 0 or key != first[i - 1]]
    sizes = dict(zip(starts, np.diff([*starts, len(first)]).tolist(), strict=True))
    return [sizes.get(i, 0) for i in range(len(first))]


def not_trained_here(settings: Settings) -> str:
    """The note on nets that were released by others; nothing where there are none."""
    nets = [f"{net}/[256;512] ({Path(release.file).name})" for net, release in settings.released.items()]
    return (
        f"Not trained here, but taken as released: {', '.join(nets)}. What needs other nets is not run." if nets else ""
    )


def settings_differences(settings: Settings, but: tuple[str, ...]) -> list[str]:
    """The settings that are not the paper preset's, without those of some blocks and, for released nets, of training."""
    but = (*but, "train", "finetune") if settings.released else but
    return [key for key, _, _ in departures(settings) if key.split(".")[0] not in but]
