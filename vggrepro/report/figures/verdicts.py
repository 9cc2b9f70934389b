"""Verdicts at a glance: the difference of every cell from the published number, and the gain behind every claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vggrepro.judging.decisions import Decision, JudgedClaim
from vggrepro.judging.ledger import Ledger
from vggrepro.paper.claims import RATIOS
from vggrepro.paper.tables import published_table, table_label
from vggrepro.report.claims import parts_of
from vggrepro.report.figures.drawing import INK, Figure, finished_figure, plot_style
from vggrepro.tables.cells import Cell, Table, Verdict

LOOKS: dict[Verdict, dict[str, Any]] = {
    "agrees": {"color": "#0072B2", "marker": "o"},
    "differs": {"color": "#D55E00", "marker": "X", "markersize": 6},
    "inconclusive": {"color": "#E69F00", "marker": "D", "markerfacecolor": "none"},
    "other settings": {"color": "#009E73", "marker": "^", "markerfacecolor": "none"},
    "other data": {"color": INK, "marker": "s", "markerfacecolor": "none", "alpha": 0.6},
}
"""Verdicts differ in the shape and filling of their markers too."""

LINE = 0.155
"""Inches between two cells."""

LONGEST = 30
"""Most characters of a row's key."""


AnyLine = TypeVar("AnyLine")


@dataclass(frozen=True)
class _Line:
    """A line of the figure: a cell, or the heading above a table's cells."""

    label: str
    cell: Cell | None = None


def draw_deltas(tables: Sequence[Table], folder: Path) -> Figure | None:
    """A forest plot of every cell's difference from the published number; None if no cell has one."""
    from matplotlib import pyplot as plt

    groups = [lines for table in tables if len(lines := _lines(table)) > 1]
    if not groups:
        return None
    columns = _halves(groups)
    longest = max(map(len, columns))
    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(1, len(columns), figsize=(9, longest * LINE + 1.2), sharex=True, squeeze=False)
        for axis, lines in zip(axes[0], columns, strict=True):
            _forest(axis, lines)
            axis.set_ylim(longest - 0.4, -0.6)
        _legend(figure, axes[0], LOOKS)
        counts = Counter(line.cell.verdict for lines in columns for line in lines if line.cell)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in LOOKS if counts[verdict])
        caption = (
            "Ours minus the published number, in points, with its 95% interval, which includes the rounding of the printed "
            "number. If a cell can be compared with the paper's, a grey band shows the tolerance and the mark its verdict. "
            f"{sum(counts.values())} cells: {summary}."
        )
        return finished_figure(figure, "deltas", "Every difference from the paper", caption, folder)


def _lines(table: Table) -> list[_Line]:
    """A table's heading, and its cells that have a difference."""
    quantities = [column.quantity for column in published_table(table.number).columns]
    lines = [_Line(table_label(table.number))]
    for row in table.rows:
        keys = "/".join(map(_short, filter(None, row.keys)))
        for quantity, cell in zip(quantities, row.cells, strict=False):
            if cell.delta is not None and cell.delta_interval is not None:
                lines.append(_Line(f"{keys}, {quantity}", cell))
    return lines


def _short(key: str) -> str:
    """A key that fits beside the plot: a long fusion becomes its number of systems."""
    if len(key) <= LONGEST:
        return key
    return f"{key.count(' + ') + 1} systems" if " + " in key else key[: LONGEST - 1] + "\u2026"


def _halves(groups: Sequence[list[AnyLine]]) -> list[list[AnyLine]]:
    """Two columns of whole groups (a table, a section) of about equal length; one column if there is one group."""
    cuts = range(1, len(groups))
    if not cuts:
        return [list(groups[0])]
    cut = min(cuts, key=lambda k: max(sum(map(len, groups[:k])), sum(map(len, groups[k:]))))
    return [[line for group in part for line in group] for part in (groups[:cut], groups[cut:])]


def _forest(axis: Any, lines: Sequence[_Line]) -> None:  # noqa: ANN401
    for verdict, look in LOOKS.items():
        points = [(y, line.cell) for y, line in enumerate(lines) if line.cell and line.cell.verdict == verdict]
        if points:
            _points(axis, points, verdict, look)
    bands = [(y, line.cell.tolerance) for y, line in enumerate(lines) if line.cell and line.cell.tolerance]
    for y, tolerance in bands:
        axis.barh(y, 2 * tolerance, left=-tolerance, height=1, color=INK, alpha=0.15, linewidth=0)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_xlabel("ours minus published (points)")
    axis.set_yticks(range(len(lines)), [line.label for line in lines], fontsize=6.5)
    for line, label in zip(lines, axis.get_yticklabels(), strict=True):
        label.set_fontweight("normal" if line.cell else "bold")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _legend(figure: Any, axes: Iterable[Any], looks: Iterable[str]) -> None:  # noqa: ANN401
    """A legend of the marks in some panels, each once, in the order of `looks`."""
    drawn = {name: line for axis in axes for line, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = [name for name in looks if name in drawn]
    figure.legend([drawn[name] for name in names], names, loc="outside upper center", ncols=len(names), fontsize=8)


def _points(axis: Any, points: Iterable[tuple[int, Cell]], verdict: Verdict, style: dict[str, Any]) -> None:  # noqa: ANN401
    x, y, below, above = [], [], [], []
    for place, cell in points:
        assert cell.delta is not None, "cells without a difference are left out"
        assert cell.delta_interval is not None, "and those without an interval"
        low, high = cell.delta_interval
        x.append(cell.delta)
        y.append(place)
        below.append(cell.delta - low)
        above.append(high - cell.delta)
    style = {"markersize": 4, "elinewidth": 0.9, "linestyle": "none", "label": verdict} | style
    axis.errorbar(x, y, xerr=[below, above], **style)


DECIDED: dict[Decision, dict[str, Any]] = {
    "supported": LOOKS["agrees"],
    "smaller than claimed": {"color": "#E69F00", "marker": "v", "markersize": 5},
    "refuted": LOOKS["differs"],
    "undecided": LOOKS["inconclusive"],
}


def draw_claims(ledger: Ledger, folder: Path) -> Figure | None:
    """The gain behind every claim that was tested on images, by section; None if none was tested."""
    from matplotlib import pyplot as plt

    compared = [judged for judged in ledger.claims if judged.steps and judged.test not in RATIOS]
    if not compared:
        return None
    groups: list[list[str | JudgedClaim]] = [[heading, *claims] for heading, claims in parts_of(compared)]
    columns = _halves(groups)
    longest = max(map(len, columns))
    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(1, len(columns), figsize=(9, 1.3 + 0.19 * longest), squeeze=False)
        for axis, lines in zip(axes[0], columns, strict=True):
            _claims_panel(axis, lines)
            axis.set_ylim(longest - 0.4, -0.6)
        _legend(figure, axes[0], DECIDED)
        caption = (
            "The difference that decides each claim, with its 95% interval; other comparisons of the same claim are thin. "
            "Beyond 2 points the axis is logarithmic. Grey bands: the claimed difference plus or minus the margin, for claims "
            "of equality. Grey ticks: the size that is claimed, the margin that a gain is smaller than claimed below, or the "
            "loss that is no longer none. Claims that were not run, or are not about images, are left out."
        )
        return finished_figure(figure, "claims-forest", "Every claim's gain", caption, folder)


def _claims_panel(axis: Any, lines: Sequence[str | JudgedClaim]) -> None:  # noqa: ANN401
    """Headings and claims, a line each, from the top."""
    # a gain over others' systems is ten times that of a test scale
    axis.set_xscale("symlog", linthresh=2, linscale=1.2)
    for y, line in enumerate(lines):
        if isinstance(line, JudgedClaim):
            _claim(axis, y, line)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set(xlabel="gain (points), positive for the claim's side")
    low, high = axis.get_xlim()
    ticks = [tick for tick in (-50, -10, -4, -2, -1, 0, 1, 2, 4, 10, 50) if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick}" for tick in ticks], fontsize=7)
    axis.minorticks_off()
    axis.set_yticks(range(len(lines)), [line if isinstance(line, str) else line.id for line in lines], fontsize=7)
    for line, label in zip(lines, axis.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _claim(axis: Any, y: int, judged: JudgedClaim) -> None:  # noqa: ANN401
    if judged.test == "equivalence":
        axis.barh(y, 2 * judged.margin, left=judged.by - judged.margin, height=0.9, color=INK, alpha=0.15, linewidth=0)
    elif claimed := judged.by or judged.margin:
        edge = -claimed if judged.test == "non-inferiority" else claimed
        axis.plot([edge], [y], "|", color=INK, alpha=0.6, markersize=12)
    for k, step in enumerate(judged.steps):
        style = (
            DECIDED[judged.verdict] | {"label": judged.verdict} if k == judged.weakest else {"color": INK, "alpha": 0.5}
        )
        (low, high), gain = step.interval, step.gain
        bar = [[gain - low], [high - gain]]
        size = (
            {"markersize": 5, "elinewidth": 1.4}
            if k == judged.weakest
            else {"markersize": 3, "elinewidth": 0.5, "marker": "."}
        )
        # side by side, so that none hides another
        aside = 0.6 * (k - (len(judged.steps) - 1) / 2) / len(judged.steps)
        axis.errorbar([gain], [y + aside], xerr=bar, **({"linestyle": "none"} | size | style))
