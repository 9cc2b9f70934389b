"""Errors of each class, and how far nets agree: from what `evidence` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vggrepro.diagnosis.evidence import Evidence
from vggrepro.report.figures.drawing import (
    BLUE,
    FIGURE_WIDTH,
    INK,
    SMALLEST,
    VERMILLION,
    Figure,
    finished_figure,
    plot_style,
)

NAMED_CLASSES = 40
"""Up to so many classes each has a line with its name; more are a curve."""
NAME_LETTERS = 44


def draw_class_errors(evidence: Evidence, folder: Path) -> Figure | None:
    """The error of every class, the hardest first: of the first and the last net of Table 3, within the range of all.

    None without nets.
    """
    from matplotlib import pyplot as plt

    if not evidence.nets:
        return None
    images = np.array(evidence.class_images)
    there = np.flatnonzero(images)
    errors = 100 * np.array([net.class_wrong for net in evidence.nets])[:, there] / images[there]
    order = np.argsort(-errors.mean(0), kind="stable")
    errors, classes = errors[:, order], [evidence.classes[there[k]][:NAME_LETTERS] for k in order]
    draw = _named if len(classes) <= NAMED_CLASSES else _curves
    with plt.rc_context(plot_style()):
        figure = draw(errors, classes, (evidence.nets[0].name, evidence.nets[-1].name))
        caption = (
            f"Top-1 error of each class, on the mean of {len(evidence.nets)} nets of Table 3 the hardest first; grey: from "
            f"the best to the worst net. {int(images[there].min()):,} to {int(images[there].max()):,} images a class."
        )
        return finished_figure(figure, "class-errors", "Error of each class", caption, folder)


def _named(errors: Any, classes: list[str], ends: tuple[str, str]) -> Any:  # noqa: ANN401
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 1.2 + 0.2 * len(classes)))
    y = np.arange(len(classes))
    axis.hlines(y, errors.min(0), errors.max(0), color=INK, linewidth=1.2)
    axis.plot(errors.mean(0), y, "|", color=INK, markersize=9, label="mean of all")
    axis.plot(errors[0], y, "o", color=BLUE, markersize=5, label=ends[0])
    axis.plot(errors[-1], y, "X", color=VERMILLION, markersize=6, label=ends[1])
    axis.set(xlabel="top-1 error (%)", xlim=(-2, 102))
    axis.set_yticks(y, classes)
    axis.invert_yaxis()
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _curves(errors: Any, classes: list[str], ends: tuple[str, str]) -> Any:  # noqa: ANN401
    """Classes from the hardest to the easiest; the ends are named."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 3.6))
    x = np.arange(1, len(classes) + 1)
    axis.fill_between(x, errors.min(0), errors.max(0), color=INK, alpha=0.15, linewidth=0)
    axis.plot(x, np.sort(errors[0])[::-1], color=BLUE, label=f"{ends[0]}, by its own order")
    axis.plot(x, np.sort(errors[-1])[::-1], "--", color=VERMILLION, label=f"{ends[1]}, by its own order")
    axis.plot(x, errors.mean(0), color=INK, linewidth=1, label="mean of all")
    axis.set(xlabel="classes, the hardest first", ylabel="top-1 error (%)", ylim=(0, 100), xlim=(1, len(classes)))
    hardest, easiest = "\n".join(classes[:4]), "\n".join(classes[-4:])
    place = {"textcoords": "axes fraction", "xycoords": "axes fraction", "fontsize": SMALLEST, "va": "top"}
    axis.annotate(f"hardest:\n{hardest}", (0, 0), xytext=(0.3, 0.98), **place)
    axis.annotate(f"easiest:\n{easiest}", (0, 0), xytext=(0.65, 0.98), **place)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def draw_agreement(evidence: Evidence, folder: Path) -> Figure | None:
    """A matrix: how many images each two nets of Table 3 answer alike. None for fewer than two nets."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    if len(evidence.nets) < 2:
        return None
    shares = 100 * np.array(evidence.agreement) / evidence.images
    names, low = [net.name for net in evidence.nets], shares.min()
    with plt.rc_context(plot_style() | {"axes.grid": False}):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 1.2 + 0.34 * len(names)))
        for row, line in enumerate(shares):
            for column, share in enumerate(line):
                depth = 0.3 * (share - low) / max(100 - low, 1e-9)
                axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=INK, alpha=depth, linewidth=0))
                axis.annotate(f"{share:.0f}", (column, row), ha="center", va="center", fontsize=SMALLEST)
        axis.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        axis.set_yticks(range(len(names)), names)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        caption = (
            f"Per cent of {evidence.images:,} images to which two nets (net, S, Q of Table 3) give the same top-1 answer, "
            "right or wrong. Nets that agree less gain more from an average."
        )
        return finished_figure(figure, "agreement", "How far the nets agree", caption, folder)
