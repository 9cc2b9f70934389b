"""The error decomposition: its section of the report, and the waterfall figure."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from vggrepro.diagnosis.decomposition import Decomposition, MeasuredStep, read_decomposition
from vggrepro.report.figures.drawing import BLUE, FIGURE_WIDTH, INK, VERMILLION, Figure, finished_figure, plot_style
from vggrepro.scores.ranks import TOP
from vggrepro.tables.numbers import printed_interval, printed_number

FALLS, RISES = BLUE, VERMILLION
DRAWN_QUANTITY = "top-1"
"""The error that is drawn; the section's tables list both."""


def decomposition_section(folder: Path, figures: Path) -> dict[str, Any]:
    """The section's content as strings, from the files that `why` wrote into `folder`; writes its PDF into `figures`."""
    decomposition = read_decomposition(folder)
    return {
        "run": decomposition.run,
        "images": f"{decomposition.images:,}",
        "data": decomposition.data,
        "quantities": list(TOP),
        "parts": [
            {"heading": "step", "lines": [_shown(line) for line in decomposition.steps]},
            {
                "heading": f"mistake, made on “{decomposition.base}”",
                "lines": [_shown(line) for line in decomposition.mistakes],
            },
        ],
        "missing": decomposition.missing,
        "figure": draw_waterfall(decomposition, figures),
    }


def _shown(line: MeasuredStep) -> dict[str, Any]:
    cells = []
    for quantity, error in line.errors.items():
        change = line.changes.get(quantity)
        cells.append(
            {
                "error": printed_number(error),
                "interval": printed_interval(line.intervals[quantity]),
                "change": printed_number(change.points, signed=True) if change else "",
                "change_interval": printed_interval(change.interval, signed=True) if change else "",
                "mended": f"{change.mended:,}" if change else "",
                "broken": f"{change.broken:,}" if change else "",
                "paper": line.published.get(quantity, ""),
            }
        )
    return {"name": line.name, "says": line.says, "cells": cells, "where": line.where, "source": line.source}


def draw_waterfall(decomposition: Decomposition, folder: Path) -> Figure:
    """The top-1 error step by step, and below it the effect of mistakes on the plain centre crop."""
    from matplotlib import pyplot as plt

    rows = len(decomposition.steps), len(decomposition.mistakes)
    with plt.rc_context(plot_style()):
        figure, (steps, wrong) = plt.subplots(
            2, 1, figsize=(FIGURE_WIDTH, 0.44 * sum(rows) + 1.8), height_ratios=[rows[0], max(rows[1], 1)]
        )
        errors = [line.errors[DRAWN_QUANTITY] for line in decomposition.steps]
        steps.set_xlim(*_limits(errors))
        _panel(steps, decomposition.steps, [errors[0], *errors[:-1]])
        base = next(line.errors[DRAWN_QUANTITY] for line in decomposition.steps if line.name == decomposition.base)
        _panel(wrong, decomposition.mistakes, [base] * rows[1])
        wrong.axvline(base, color=INK, linewidth=0.8, linestyle=":")
        wrong.set_title(f"mistakes, each made on “{decomposition.base}” (dotted)", loc="left", fontsize=9)
        wrong.set_xlabel(f"{DRAWN_QUANTITY} error (%)")
        title = f"{decomposition.run}: {DRAWN_QUANTITY} error, and its change with a paired 95% interval"
        steps.set_title(title, loc="left", fontsize=9)
        caption = (
            f"{DRAWN_QUANTITY.capitalize()} error of {decomposition.run} on {decomposition.images:,} images. A bar leads from "
            "the error of the line above to its own: plain if the error falls, hatched if it rises. Whiskers: the paired 95% "
            "interval of the change. Diamonds: the published error, if it lies in the panel. An arrow at the right: the "
            "error lies outside the panel. The two panels have different scales."
        )
        return finished_figure(figure, "why", "From a centre crop to the paper's protocol", caption, folder)


def _limits(errors: list[float]) -> tuple[float, float]:
    """The panel's range: of all steps but the first; the first is included if the others stay distinguishable."""
    low, high = min(errors[1:]), max(errors[1:])
    span = max(high - low, 1.0)
    high = errors[0] if high < errors[0] <= high + 2 * span else high
    return low - 0.3 * span, high + 0.3 * span


def _panel(axis: Any, lines: list[MeasuredStep], before: list[float]) -> None:  # noqa: ANN401
    """A bar per line, from the previous error to its own, with the numbers at the right."""
    beside = axis.get_yaxis_transform()
    for row, (line, start) in enumerate(zip(lines, before, strict=True)):
        error, change = line.errors[DRAWN_QUANTITY], line.changes.get(DRAWN_QUANTITY)
        rises = error > start
        colour, hatch = (RISES, "////") if rises else (FALLS, "")
        axis.barh(row, error - start, left=start, height=0.55, color=colour, hatch=hatch, edgecolor="white")
        axis.plot([error, error], [row - 0.4, row + 0.4], color=INK, linewidth=2)
        axis.text(1.03, row, printed_number(error), transform=beside, va="center", fontsize=9, weight="bold")
        if change:
            ends = [start + bound for bound in change.interval]
            axis.errorbar(error, row, xerr=[[error - ends[0]], [ends[1] - error]], color=INK, capsize=3, linewidth=1)
            label = f"{printed_number(change.points, signed=True)} ({printed_interval(change.interval, signed=True)})"
            axis.text(1.14, row, label, transform=beside, va="center", fontsize=8.5)
        if DRAWN_QUANTITY in line.published:
            axis.plot(float(line.published[DRAWN_QUANTITY]), row, "D", color=INK, fillstyle="none", markersize=5)
        if error > axis.get_xlim()[1]:
            axis.plot(1, row, ">", color=INK, transform=beside, clip_on=False, markersize=6)
    names = [textwrap.fill(line.name, 24) for line in lines]
    axis.set(yticks=range(len(lines)), yticklabels=names, ylim=(len(lines) - 0.4, -0.6))
    axis.grid(visible=False, axis="y")
