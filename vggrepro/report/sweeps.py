"""Sweeps: the errors of a run at several values of one setting, as a table and a figure of their own. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggrepro.paper.tables import table_label
from vggrepro.report.figures.drawing import CURVES, Figure, finished_figure, plot_style
from vggrepro.tables.cells import Cell, Difference, Table, VariantRow
from vggrepro.tables.numbers import decimals_of_images, printed_interval, printed_number, printed_p


@dataclass(frozen=True)
class SweepPoint:
    """A row at one value of the setting; the paper's own has no differences."""

    value: str
    cells: tuple[Cell, ...]
    differences: tuple[Difference | None, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """A row of a table at several values of a setting, the value of the row that is varied among them."""

    name: str
    key: str
    table: Table
    varied: int
    points: tuple[SweepPoint, ...]
    """In the order of their values."""

    @property
    def row(self) -> str:
        """The row that is varied, as it is printed."""
        return ", ".join(filter(None, self.table.rows[self.varied].keys))

    @property
    def numbers(self) -> list[float] | None:
        """The values as numbers; None where one is none."""
        try:
            values = [float(point.value) for point in self.points]
        except ValueError:
            return None
        return values if all(map(math.isfinite, values)) else None


def sweeps_of(tables: Sequence[Table]) -> list[Sweep]:
    """Every sweep of every row that it varies, in the order of the tables."""
    sweeps = []
    for table in tables:
        groups: dict[tuple[str, str, int], list[VariantRow]] = {}
        for row in table.variants:
            if row.sweep:
                groups.setdefault((row.sweep, row.key, row.varies), []).append(row)
        for (name, key, varied), rows in groups.items():
            sweeps.append(Sweep(name, key, table, varied, tuple(_points(table, key, varied, rows))))
    return sweeps


def _points(table: Table, key: str, varied: int, rows: Sequence[VariantRow]) -> list[SweepPoint]:
    changes = [next(change for change in row.changes if change.key == key) for row in rows]
    own = [SweepPoint(change.own, row.cells, row.differences) for row, change in zip(rows, changes, strict=True)]
    points = [SweepPoint(changes[0].usual, table.rows[varied].cells), *own]
    return sorted(points, key=lambda point: _order(point.value))


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), ""
    except ValueError:
        return math.inf, value


def sweeps_section(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """What the page shows of every sweep, as strings: a table, a line for each value and column."""
    return [
        {
            "name": sweep.name,
            "anchor": f"sweep-{number}",
            "key": sweep.key,
            "about": f"{sweep.row}, {table_label(sweep.table.number)}",
            "lines": list(_lines(sweep)),
        }
        for number, sweep in enumerate(sweeps_of(tables), start=1)
    ]


def _lines(sweep: Sweep) -> Iterator[tuple[str, ...]]:
    """Value, column, error and interval, difference and interval, p, verdict, n."""
    for point in sweep.points:
        for j, (column, cell) in enumerate(zip(sweep.table.columns, point.cells, strict=True)):
            if cell.value is None:
                continue
            decimals = decimals_of_images(cell.n)
            here = f"{printed_number(cell.value, decimals=decimals)} ({printed_interval(cell.interval, decimals=decimals)})"
            difference = point.differences[j] if point.differences else None
            compared = ("", "", "as in the row varied")
            if difference:
                bounds = printed_interval(difference.interval, signed=True, decimals=decimals)
                above = printed_number(difference.value, signed=True, decimals=decimals)
                compared = (f"{above} ({bounds})", printed_p(difference.p_holm), difference.verdict)
            yield (point.value, column, here, *compared, f"{cell.n:,}")


def draw_sweeps(tables: Sequence[Table], folder: Path) -> list[Figure]:
    """Error against the setting, with 95% intervals: a figure for each sweep."""
    from matplotlib import pyplot as plt

    figures = []
    for number, sweep in enumerate(sweeps_of(tables), start=1):
        columns = [
            j
            for j in range(len(sweep.table.columns))
            if any(point.cells[j].value is not None for point in sweep.points)
        ]
        if not columns:
            continue
        with plt.rc_context(plot_style()):
            figure, axes = plt.subplots(1, len(columns), figsize=(4.5 * len(columns), 3.4), squeeze=False)
            for axis, j in zip(axes[0], columns, strict=True):
                _draw_column(axis, sweep, j)
            about = f"{sweep.row} ({table_label(sweep.table.number)})"
            caption = (
                f"{about} at several values of {sweep.key}, with 95% intervals; the open mark is the row itself. Not of the "
                "paper."
            )
            title = f"Sweep of {sweep.key}: {sweep.name}, {sweep.row}"
            figures.append(finished_figure(figure, f"sweep-{number}", title, caption, folder))
    return figures


def _draw_column(axis: Any, sweep: Sweep, column: int) -> None:  # noqa: ANN401
    numbers = sweep.numbers
    places = numbers or [float(i) for i in range(len(sweep.points))]
    colour, marker, dash = CURVES[0]
    cells = [(x, point, point.cells[column]) for x, point in zip(places, sweep.points, strict=True)]
    measured = [(x, point, cell.value, cell.interval) for x, point, cell in cells if cell.value is not None]
    axis.plot([x for x, *_ in measured], [value for _, _, value, _ in measured], dash, color=colour, linewidth=1.2)
    for x, point, value, bounds in measured:
        low, high = bounds or (value, value)
        look = {"color": colour, "markerfacecolor": colour if point.differences else "none", "capsize": 2}
        axis.errorbar([x], [value], yerr=[[value - low], [high - value]], fmt=marker, elinewidth=0.8, **look)
    if numbers and min(numbers) > 0 and max(numbers) / min(numbers) >= 10:
        axis.set_xscale("log")
    elif not numbers:
        axis.set_xticks(places, [point.value for point in sweep.points])
    axis.set(xlabel=sweep.key, ylabel=sweep.table.columns[column])
