"""The experiment as a graph: trainings, coloured by their cost, and the tables made from them, coloured by verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vggrepro.paper.runs import Run
from vggrepro.paper.tables import table_label
from vggrepro.report.figures.drawing import (
    BACKGROUND,
    FIGURE_WIDTH,
    INK,
    PURPLE,
    SKY,
    SMALLEST,
    VERMILLION,
    Figure,
    finished_figure,
    plot_style,
)
from vggrepro.report.figures.trainings import axis_unit
from vggrepro.report.figures.verdicts import LOOKS
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage
from vggrepro.tables.cells import Table, Verdict
from vggrepro.tables.lineage import FinishedTraining, StoredResult

SHARES = (0.03, 0.1)
"""Of the cost of all trainings: below the first a training is cheap, above the second dear."""
COSTS = {SKY: "below 3% of all training", PURPLE: "3 to 10%", VERMILLION: "above 10%"}


def draw_dag(
    settings: Settings,
    tables: Sequence[Table],
    trainings: Sequence[FinishedTraining],
    results_by_path: Mapping[str, StoredResult],
    folder: Path,
) -> Figure:
    """Trainings from parents to children, and to the right each table with its cells by verdict."""
    from matplotlib import pyplot as plt

    seconds, parents = _by_label(trainings)
    generation = {label: _generation(label, parents) for label in seconds}
    places = _places(generation, parents)
    rows = max(len(tables), max((y for _, y in places.values()), default=0) + 1)
    with plt.rc_context(plot_style() | {"axes.grid": False}):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 1.3 + 0.34 * rows))
        table_at = {t.name: (TABLES_AT, (rows - 1) * k / max(1, len(tables) - 1)) for k, t in enumerate(tables)}
        _edges(axis, settings, tables, results_by_path, places, table_at)
        for label, parent in parents.items():
            if parent in places:
                _line(axis, places[parent], places[label], 0.9)
        for label, place in places.items():
            _training(axis, label, place, seconds[label], seconds)
        for table in tables:
            _table(axis, table, table_at[table.name])
        axis.set(xlim=(-0.4, TABLES_AT + 2.2), ylim=(rows - 0.4, -0.6))
        axis.set_axis_off()
        _legend(figure, tables)
        caption = (
            "Left: the training runs of each net and scale, all seeds together, from the net that initialised them; the time "
            "is that of all processors. Right: the tables, with their cells by verdict, empty where none has one. "
            "A line leads from a training to each table that needs it."
        )
        return finished_figure(figure, "dag", "What depends on what, what it cost, and what came out", caption, folder)


TABLES_AT = 4.6
"""Where the column of tables begins; a generation of trainings is one wide."""


def _by_label(trainings: Sequence[FinishedTraining]) -> tuple[dict[str, float], dict[str, str]]:
    """For each net and scale: the processor time over all seeds, and the net and scale that it was initialised from."""
    seconds: dict[str, float] = {}
    labels = {t.run.name: t.run.label for t in trainings}
    for t in trainings:
        seconds[t.run.label] = seconds.get(t.run.label, 0.0) + t.processor_seconds
    parents = {t.run.label: labels.get((t.about.get("parent") or {}).get("run", ""), "") for t in trainings}
    return seconds, parents


def _generation(label: str, parents: Mapping[str, str]) -> int:
    parent = parents.get(label, "")
    return 1 + _generation(parent, parents) if parent else 0


def _places(generation: Mapping[str, int], parents: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """A column per generation; a child begins no higher than its parent, and a chain stays on a line."""
    children: dict[str, list[str]] = {}
    for label in generation:
        children.setdefault(parents.get(label, ""), []).append(label)
    places: dict[str, tuple[float, float]] = {}
    row = 0

    def place(label: str) -> None:
        nonlocal row
        places[label] = (float(generation[label]), float(row))
        for k, child in enumerate(children.get(label, [])):
            row += bool(k)
            place(child)

    for root in children.get("", []):
        place(root)
        row += 1
    return places


def _edges(
    axis: Any,  # noqa: ANN401
    settings: Settings,
    tables: Sequence[Table],
    results_by_path: Mapping[str, StoredResult],
    places: Mapping[str, tuple[float, float]],
    table_at: Mapping[str, tuple[float, float]],
) -> None:
    for table in tables:
        paths = lineage.results_of_table(settings, table)
        runs = {run for path in paths if path in results_by_path for run in results_by_path[path].runs}
        for label in sorted({Run.parse(run).label for run in runs} & places.keys()):
            x, y = places[label]
            _line(axis, (x + 1, y), table_at[table.name], 0.3)


def _line(axis: Any, start: tuple[float, float], end: tuple[float, float], width: float) -> None:  # noqa: ANN401
    axis.plot(*zip(start, end, strict=True), color=INK, linewidth=width, zorder=1, alpha=1 if width > 0.5 else 0.45)


def _training(axis: Any, label: str, place: tuple[float, float], seconds: float, every: Mapping[str, float]) -> None:  # noqa: ANN401
    share = seconds / max(sum(every.values()), 1e-9)
    colour = list(COSTS)[sum(share >= limit for limit in SHARES)]
    unit, length = axis_unit(max(every.values()))
    axis.plot(*place, "o", color=colour, markersize=7, zorder=3)
    # above its edges, which lead to the right and down
    for text, up in ((label, 12), (f"{seconds / length:,.1f} {unit}", 4)):
        # on the background, because edges from other trainings pass behind
        background = {"facecolor": BACKGROUND, "edgecolor": "none", "pad": 0}
        axis.annotate(text, place, xytext=(7, up), textcoords="offset points", fontsize=SMALLEST, bbox=background)


def _table(axis: Any, table: Table, place: tuple[float, float]) -> None:  # noqa: ANN401
    """A bar of the table's cells by verdict, and its name."""
    x, y = place
    counts: Counter[Verdict] = Counter(cell.verdict for row in table.rows for cell in row.cells if cell.verdict)
    left, total = x, counts.total()
    for verdict in LOOKS:
        width = counts[verdict] / total if total else 0
        axis.barh(y, width, left=left, height=0.5, **_filling(verdict))
        left += width
    axis.barh(y, 1, left=x, height=0.5, facecolor="none", edgecolor=INK, linewidth=0.8)
    name = table_label(table.number) if table.number.isdigit() else "in the text"
    axis.annotate(name, (x + 1, y), xytext=(4, 0), textcoords="offset points", fontsize=SMALLEST, va="center")


HATCHES: dict[Verdict, str] = {"other data": "////", "other settings": "\\\\\\\\"}
"""Of cells that cannot be compared with the paper's."""


def _filling(verdict: Verdict) -> dict[str, Any]:
    colour, hatch = LOOKS[verdict]["color"], HATCHES.get(verdict)
    return {"facecolor": "none" if hatch else colour, "edgecolor": colour, "hatch": hatch}


def _legend(figure: Any, tables: Sequence[Table]) -> None:  # noqa: ANN401
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    there = {cell.verdict for table in tables for row in table.rows for cell in row.cells}
    marks: list[Any] = [
        Line2D([], [], color=colour, marker="o", linestyle="none", label=text) for colour, text in COSTS.items()
    ]
    marks += [Patch(label=verdict, **_filling(verdict)) for verdict in LOOKS if verdict in there]
    figure.legend(handles=marks, loc="outside upper center", ncols=4)
