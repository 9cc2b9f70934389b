"""Verdicts at a glance: how far every cell is from the published number, and by how much every claim holds or fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggrepro.judging.ledger import Decision, Judged, Ledger
from vggrepro.paper import catalogue
from vggrepro.report.figures.drawing import INK, Figure, finish, settings
from vggrepro.tables.cells import Cell, Table, Verdict

LOOKS: dict[Verdict, dict[str, Any]] = {
    "agrees": {"color": "#0072B2", "marker": "o"},
    "differs": {"color": "#D55E00", "marker": "X", "markersize": 6},
    "cannot be told": {"color": "#E69F00", "marker": "D", "markerfacecolor": "none"},
    "other settings": {"color": "#009E73", "marker": "^", "markerfacecolor": "none"},
    "other data": {"color": INK, "marker": "s", "markerfacecolor": "none", "alpha": 0.6},
}
"""Verdicts differ by their marker's shape, and whether it is filled."""

LINE = 0.155
"""Inches between two cells."""

LONGEST = 30
"""Letters of a key that are shown."""


@dataclass(frozen=True)
class _Line:
    """A line of the figure: a cell, or the heading above a table's cells."""

    label: str
    cell: Cell | None = None


def deltas(tables: Sequence[Table], folder: Path) -> Figure | None:
    """A forest plot of every cell's difference from the published number; None where no cell has one."""
    from matplotlib import pyplot as plt

    groups = [lines for table in tables if len(lines := _lines(table)) > 1]
    if not groups:
        return None
    columns = _halves(groups)
    longest = max(map(len, columns))
    with plt.rc_context(settings()):
        figure, axes = plt.subplots(1, len(columns), figsize=(9, longest * LINE + 1.2), sharex=True, squeeze=False)
        for axis, lines in zip(axes[0], columns, strict=True):
            _forest(axis, lines)
            axis.set_ylim(longest - 0.4, -0.6)
        _legend(figure, axes[0], LOOKS)
        found = Counter(line.cell.verdict for lines in columns for line in lines if line.cell)
        counted = ", ".join(f"{found[verdict]} {verdict}" for verdict in LOOKS if found[verdict])
        caption = (
            "Ours less the published number, in points, with its 95% interval, which allows for the rounding of the printed "
            "number. Where a cell can be compared with the paper's, the grey band is the tolerance, and the mark the verdict. "
            f"{sum(found.values())} cells: {counted}."
        )
        return finish(figure, "deltas", "Every difference from the paper", caption, folder)


def _lines(table: Table) -> list[_Line]:
    """A table's heading, and its cells that have a difference."""
    quantities = [column.quantity for column in catalogue.published_table(table.number).columns]
    found = [_Line("numbers in the text" if table.number == "text" else f"Table {table.number}")]
    for row in table.rows:
        keys = "/".join(map(_short, filter(None, row.keys)))
        for quantity, cell in zip(quantities, row.cells, strict=False):
            if cell.delta is not None and cell.delta_interval is not None:
                found.append(_Line(f"{keys}, {quantity}", cell))
    return found


def _short(key: str) -> str:
    """A key that fits beside the plot: of a long fusion the number of its systems."""
    if len(key) <= LONGEST:
        return key
    return f"{key.count(' + ') + 1} systems" if " + " in key else key[: LONGEST - 1] + "\u2026"


def _halves(groups: Sequence[list[_Line]]) -> list[list[_Line]]:
    """Two columns of whole tables, as even as may be; one column where there is one table."""
    cuts = range(1, len(groups))
    if not cuts:
        return [list(groups[0])]
    cut = min(cuts, key=lambda k: max(sum(map(len, groups[:k])), sum(map(len, groups[k:]))))
    return [[line for group in part for line in group] for part in (groups[:cut], groups[cut:])]


def _forest(axis: Any, lines: Sequence[_Line]) -> None:  # noqa: ANN401
    for verdict, look in LOOKS.items():
        there = [(y, line.cell) for y, line in enumerate(lines) if line.cell and line.cell.verdict == verdict]
        if there:
            _points(axis, there, verdict, look)
    bands = [(y, line.cell.tolerance) for y, line in enumerate(lines) if line.cell and line.cell.tolerance]
    for y, tolerance in bands:
        axis.barh(y, 2 * tolerance, left=-tolerance, height=1, color=INK, alpha=0.15, linewidth=0)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_xlabel("ours less published (points)")
    axis.set_yticks(range(len(lines)), [line.label for line in lines], fontsize=6.5)
    for line, label in zip(lines, axis.get_yticklabels(), strict=True):
        label.set_fontweight("normal" if line.cell else "bold")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _legend(figure: Any, axes: Iterable[Any], looks: Iterable[str]) -> None:  # noqa: ANN401
    """What the marks of some panels mean, each once, in the order of `looks`."""
    drawn = {name: line for axis in axes for line, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = [name for name in looks if name in drawn]
    figure.legend([drawn[name] for name in names], names, loc="outside upper center", ncols=len(names), fontsize=8)


def _points(axis: Any, there: Iterable[tuple[int, Cell]], verdict: Verdict, look: dict[str, Any]) -> None:  # noqa: ANN401
    x, y, below, above = [], [], [], []
    for place, cell in there:
        assert cell.delta is not None, "cells without a difference are left out"
        assert cell.delta_interval is not None, "and those without an interval"
        low, high = cell.delta_interval
        x.append(cell.delta)
        y.append(place)
        below.append(cell.delta - low)
        above.append(high - cell.delta)
    look = {"markersize": 4, "elinewidth": 0.9, "linestyle": "none", "label": verdict} | look
    axis.errorbar(x, y, xerr=[below, above], **look)


DECIDED: dict[Decision, dict[str, Any]] = {
    "supported": LOOKS["agrees"],
    "refuted": LOOKS["differs"],
    "undecided": LOOKS["cannot be told"],
}


def claims(ledger: Ledger, folder: Path) -> Figure | None:
    """By how much every claim that was compared in pairs of images holds or fails; None where none was compared."""
    from matplotlib import pyplot as plt

    shown = [judged for judged in ledger.claims if judged.steps and judged.test != "speed"]
    if not shown:
        return None
    with plt.rc_context(settings()):
        figure, axis = plt.subplots(figsize=(9, 1.2 + 0.24 * len(shown)))
        for y, judged in enumerate(shown):
            _claim(axis, y, judged)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set(xlabel="gain (points), positive for the claim's side", ylim=(len(shown) - 0.4, -0.6))
        axis.set_yticks(range(len(shown)), [judged.id for judged in shown], fontsize=8)
        axis.grid(axis="y", visible=False)
        _legend(figure, [axis], DECIDED)
        caption = (
            "The difference that decides each claim, of paired images, with its 95% interval; other comparisons of the same "
            "claim are thin. Grey bands: what is claimed to be equal, or apart as printed, give or take the margin. Grey "
            "ticks: a gain that is shown to be smaller would be none. Claims that were not run, or are not about images, are "
            "left out."
        )
        return finish(figure, "claims-forest", "Every claim's gain", caption, folder)


def _claim(axis: Any, y: int, judged: Judged) -> None:  # noqa: ANN401
    if judged.test == "equivalence":
        axis.barh(y, 2 * judged.margin, left=judged.by - judged.margin, height=0.9, color=INK, alpha=0.15, linewidth=0)
    elif judged.margin:
        axis.plot([judged.margin], [y], "|", color=INK, alpha=0.6, markersize=12)
    for k, step in enumerate(judged.steps):
        look = (
            DECIDED[judged.verdict] | {"label": judged.verdict} if k == judged.weakest else {"color": INK, "alpha": 0.5}
        )
        (low, high), gain = step.interval, step.gain
        bar = [[gain - low], [high - gain]]
        size = (
            {"markersize": 5, "elinewidth": 1.4}
            if k == judged.weakest
            else {"markersize": 3, "elinewidth": 0.5, "marker": "."}
        )
        # beside each other, so that none hides another
        aside = 0.6 * (k - (len(judged.steps) - 1) / 2) / len(judged.steps)
        axis.errorbar([gain], [y + aside], xerr=bar, **({"linestyle": "none"} | size | look))
