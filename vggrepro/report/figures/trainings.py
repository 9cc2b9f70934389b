"""Learning curves, what the trainings cost, and what error that bought."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggrepro.paper.runs import printed_scale
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import Row
from vggrepro.report.figures.drawing import (
    AMBER,
    BLUE,
    FIGURE_WIDTH,
    SMALLEST,
    Figure,
    finished_figure,
    label_marks,
    plot_style,
    style_of,
    style_of_net,
)
from vggrepro.tables.cells import Cell, Table
from vggrepro.tables.lineage import FinishedTraining

MARKS_ON_A_CURVE = 8
"""Marks on a learning curve: one at every epoch would hide the line."""


def draw_learning_curves(trainings: Sequence[FinishedTraining], folder: Path) -> list[Figure]:
    """Errors of training and of validation after each epoch, and the learning rate: of classes, and of boxes."""
    boxes, classes = ([t for t in trainings if t.run.localises is kind] for kind in (True, False))
    by_scale: dict[str, list[FinishedTraining]] = {}
    for training in sorted(classes, key=lambda training: training.run.scale_order):
        by_scale.setdefault(f"S = {printed_scale(training.run.S)}", []).append(training)
    about = {
        "learning-curves": ("Learning curves of classification", by_scale, "top-1 error"),
        "learning-curves-boxes": ("Learning curves of boxes", {"boxes": boxes}, "error of the true class's box"),
    }
    return [
        _curves(name, title, {heading: runs for heading, runs in panels.items() if runs}, error, folder)
        for name, (title, panels, error) in about.items()
        if any(panels.values())
    ]


def _curves(name: str, title: str, panels: dict[str, list[FinishedTraining]], error: str, folder: Path) -> Figure:
    """A column per panel; rows: error of validation, of training, learning rate."""
    from matplotlib import pyplot as plt

    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(
            3,
            len(panels),
            figsize=(FIGURE_WIDTH, 6.6),
            sharey="row",
            sharex="col",
            squeeze=False,
            height_ratios=[3, 3, 1.6],
        )
        for column, (heading, runs) in zip(axes.T, panels.items(), strict=True):
            column[0].set_title(heading)
            column[2].set(xlabel="epoch", yscale="log")
            column[2].yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
            column[2].yaxis.set_minor_formatter(lambda rate, _: "")
            column[2].xaxis.get_major_locator().set_params(integer=True)
            for training in runs:
                _curve(column, training)
            handles, labels = column[0].get_legend_handles_labels()
            column[2].legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.5), ncols=2)
        for row, label in zip(axes, ("validation error (%)", "training error (%)", "learning rate"), strict=True):
            row[0].set_ylabel(label)
        caption = (
            f"The {error} after each epoch: on the validation images' centre crop, which steers the learning rate, and on the "
            "training crops, with dropout; below them the learning rate. A vertical tick: it dropped after this epoch. Later "
            "scales are initialised from earlier ones, box nets from the classification net of their scale. Thin lines: "
            "further seeds."
        )
        return finished_figure(figure, name, title, caption, folder)


def _curve(axes: Any, training: FinishedTraining) -> None:  # noqa: ANN401
    """A run in its column."""
    name, (colour, marker, dash) = style_of(training.run)
    epochs = [row["epoch"] for row in training.metrics]
    trained = "train_localisation" if training.run.localises else "train_top1"
    lines = (
        [100 * training.steering(row) for row in training.metrics],
        [100 * row.get(trained, math.nan) for row in training.metrics],
        [row.get("learning_rate", math.nan) for row in training.metrics],
    )
    first = training.run.seed == 0
    style = {"color": colour, "linewidth": 1.4 if first else 0.6, "linestyle": dash}
    every = max(1, len(epochs) // MARKS_ON_A_CURVE)
    for axis, y in zip(axes, lines, strict=True):
        axis.plot(epochs, y, **style, marker=marker, markersize=4, markevery=every, label=name * first)
    dropped = [(epoch, y) for epoch, y in zip(epochs, lines[0], strict=True) if epoch in training.about["drops"]]
    for epoch, error in dropped:
        axes[0].plot(epoch, error, "|", color=colour, markersize=14, markeredgewidth=1.8)


AXIS_UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def draw_cost(trainings: Sequence[FinishedTraining], folder: Path) -> Figure:
    """Processor time of every training: a bar per net and scale, divided by seed and attempt."""
    from matplotlib import pyplot as plt

    bars: dict[str, list[tuple[float, bool]]] = {}
    for t in trainings:
        pieces = [(attempt["seconds"] * attempt["processes"], k > 0) for k, attempt in enumerate(t.about["attempts"])]
        bars.setdefault(t.run.label, []).extend(pieces)
    longest = max(sum(seconds for seconds, _ in pieces) for pieces in bars.values())
    unit, length = axis_unit(longest)
    with plt.rc_context(plot_style() | {"hatch.linewidth": 0.8}):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 0.8 + 0.24 * len(bars)))
        for y, pieces in enumerate(bars.values()):
            left = 0.0
            for seconds, resumed in pieces:
                style: dict[str, Any] = {"color": AMBER, "hatch": "////"} if resumed else {"color": BLUE}
                axis.barh(y, seconds / length, left=left, height=0.7, edgecolor="white", linewidth=0.8, **style)
                left += seconds / length
            axis.annotate(
                f"{left:,.1f}", (left, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=SMALLEST
            )
        axis.set(xlabel=f"{_processors(trainings)} {unit}", yticks=range(len(bars)), yticklabels=list(bars))
        axis.margins(x=0.08, y=0.02)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        caption = (
            "Time of all processors (GPUs, or processes on CPUs) of a training, over all its attempts. An interrupted attempt "
            "counts until its last checkpoint. Blue: first attempts; hatched: attempts resumed from a checkpoint. Several "
            "seeds stand one after the other."
        )
        return finished_figure(figure, "training-cost", "What the training runs cost", caption, folder)


def draw_error_against_cost(
    table: Table, rows: Sequence[Row], trainings: Sequence[FinishedTraining], folder: Path
) -> Figure | None:
    """Top-1 error of Table 3 against the time its net was trained for; None where none was trained here.

    `rows` are the table's rows with their systems. The time is that of all processors, mean over seeds, with that of the
    trainings that a net was initialised from.
    """
    from matplotlib import pyplot as plt

    by_name = {t.run.name: t for t in trainings}
    points: list[tuple[float, Cell, str, str]] = []
    for row, printed in zip(table.rows, rows, strict=True):
        labels = {e.run.label for e in evaluations_of(printed.system or ())}
        runs = [t for t in trainings if t.run.label in labels]
        if runs and row.cells[0].value is not None:
            seconds = sum(_seconds_with_parents(t, by_name) for t in runs) / len(runs)
            points.append((seconds, row.cells[0], row.keys[0], row.keys[1]))
    if not points:
        return None
    unit, length = axis_unit(max(seconds for seconds, *_ in points))
    with plt.rc_context(plot_style()):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 3.8))
        for seconds, cell, net, _ in points:
            _bought(axis, seconds / length, cell, net)
        axis.set(xlabel=f"training, with that of the nets it was initialised from ({_processors(trainings)} {unit})")
        axis.set_ylabel("top-1 validation error (%)")
        axis.margins(x=0.14)
        label_marks(axis, [(seconds / length, cell.value or 0.0, f"{net}, {S}") for seconds, cell, net, S in points])
        caption = (
            "Top-1 error of Table 3, with its 95% interval, against the time of all processors that trained the net and those "
            "it was initialised from: beside each mark the net and its training scale."
        )
        return finished_figure(figure, "error-against-cost", "Error against cost", caption, folder)


def _bought(axis: Any, time: float, cell: Cell, net: str) -> None:  # noqa: ANN401
    """A net's error at its cost."""
    assert cell.value is not None, "rows without an error are left out"
    colour, marker, _ = style_of_net(net)
    low, high = cell.interval or (cell.value, cell.value)
    bars = [[cell.value - low], [high - cell.value]]
    axis.errorbar([time], [cell.value], yerr=bars, fmt=marker, color=colour, markersize=6, capsize=2, elinewidth=0.8)


def _seconds_with_parents(training: FinishedTraining, by_name: dict[str, FinishedTraining]) -> float:
    """The processor time of a training and of its ancestors, as far as they were trained here."""
    parent = by_name.get((training.about.get("parent") or {}).get("run", ""))
    return training.processor_seconds + (_seconds_with_parents(parent, by_name) if parent else 0.0)


def axis_unit(seconds: float) -> tuple[str, float]:
    """The unit for times of up to so many seconds, and its length in seconds."""
    return next((unit for unit in AXIS_UNITS if seconds >= 2 * unit[1]), AXIS_UNITS[-1])


def _processors(trainings: Sequence[FinishedTraining]) -> str:
    """`GPU`, `CPU`, or both."""
    kinds = {"GPU" if attempt["device"] != "CPU" else "CPU" for t in trainings for attempt in t.about["attempts"]}
    return " and ".join(sorted(kinds))
