"""Learning curves, and what the trainings cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggrepro.paper.runs import SCALES, printed_scale
from vggrepro.report.figures.drawing import Figure, finished_figure, plot_style, style_of
from vggrepro.tables.lineage import FinishedTraining

MARKERS = 8
"""Marks on a learning curve: one at every epoch would hide the line."""


def draw_learning_curves(trainings: Sequence[FinishedTraining], folder: Path) -> Figure:
    """Validation error after each epoch: a panel per training scale and one for boxes; ticks mark learning-rate drops."""
    from matplotlib import pyplot as plt

    panels = {f"S = {printed_scale(S)}": [t for t in trainings if t.run.S == S and not t.run.localises] for S in SCALES}
    panels |= {"boxes": [t for t in trainings if t.run.localises]}
    panels = {title: runs for title, runs in panels.items() if runs}
    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(1, len(panels), figsize=(9, 3.6), sharey=True, squeeze=False)
        for axis, (title, runs) in zip(axes[0], panels.items(), strict=True):
            axis.set(title=title, xlabel="epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            for training in runs:
                _curve(axis, training)
            axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        axes[0][0].set_ylabel("error, centre crop (%)")
        axes[0][0].set_ylim(bottom=0)
        caption = (
            "Validation error after each epoch on the centre crop, which steers the learning rate: top-1, and for boxes that "
            "of the true class's box. A vertical tick: the learning rate dropped after this epoch. Later scales are "
            "initialised from earlier ones, box nets from the classification net of their scale. Fainter lines: further seeds."
        )
        return finished_figure(figure, "learning-curves", "Learning curves", caption, folder)


def _curve(axis: Any, training: FinishedTraining) -> None:  # noqa: ANN401
    name, (colour, marker, dash) = style_of(training.run)
    y = {row["epoch"]: 100 * training.steering(row) for row in training.metrics}
    first = training.run.seed == 0
    style = {"color": colour, "alpha": 1 if first else 0.5, "linewidth": 1.4, "linestyle": dash}
    every = max(1, len(y) // MARKERS)
    axis.plot(*zip(*y.items(), strict=True), **style, marker=marker, markersize=4, markevery=every, label=name * first)
    dropped = [epoch for epoch in training.about["drops"] if epoch in y]
    axis.plot(dropped, [y[epoch] for epoch in dropped], "|", color=colour, markersize=14, markeredgewidth=1.8)


UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def draw_cost(trainings: Sequence[FinishedTraining], folder: Path) -> Figure:
    """Processor time of every training: a bar per net and scale, divided by seed and attempt."""
    from matplotlib import pyplot as plt

    bars: dict[str, list[tuple[float, bool]]] = {}
    for t in trainings:
        pieces = [(attempt["seconds"] * attempt["processes"], k > 0) for k, attempt in enumerate(t.about["attempts"])]
        bars.setdefault(t.run.label, []).extend(pieces)
    longest = max(sum(seconds for seconds, _ in pieces) for pieces in bars.values())
    unit, length = next((u for u in UNITS if longest >= 2 * u[1]), UNITS[-1])
    kinds = {"GPU" if attempt["device"] != "CPU" else "CPU" for t in trainings for attempt in t.about["attempts"]}
    with plt.rc_context(plot_style() | {"hatch.linewidth": 0.8}):
        figure, axis = plt.subplots(figsize=(9, 0.8 + 0.24 * len(bars)))
        for y, pieces in enumerate(bars.values()):
            left = 0.0
            for seconds, resumed in pieces:
                style: dict[str, Any] = {"color": "#E69F00", "hatch": "////"} if resumed else {"color": "#0072B2"}
                axis.barh(y, seconds / length, left=left, height=0.7, edgecolor="white", linewidth=0.8, **style)
                left += seconds / length
            axis.annotate(f"{left:,.1f}", (left, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        axis.set(xlabel=f"{' and '.join(sorted(kinds))} {unit}", yticks=range(len(bars)), yticklabels=list(bars))
        axis.margins(x=0.08, y=0.02)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        caption = (
            "Time of all processors (GPUs, or processes on CPUs) of a training, over all its attempts. An interrupted attempt "
            "counts until its last checkpoint. Blue: first attempts; hatched: attempts resumed from a checkpoint. Several "
            "seeds stand one after the other."
        )
        return finished_figure(figure, "training-cost", "What the training runs cost", caption, folder)
