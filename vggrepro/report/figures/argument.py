"""The paper's argument in pictures: error against depth (Table 3) and against scale (Tables 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vggrepro.paper.tables import Published, published_table
from vggrepro.report.figures.drawing import (
    BLUE,
    FIGURE_WIDTH,
    INK,
    SMALLEST,
    STYLES,
    VERMILLION,
    Figure,
    Style,
    finished_figure,
    plot_style,
    style_of_net,
)
from vggrepro.scores.outcomes import Errors, Outcomes
from vggrepro.scores.trainings import spreads_by_quantity
from vggrepro.tables import cells
from vggrepro.tables.cells import Cell, CellInterval, Table

DEPTHS = {net: int(layers.text) for net, layers in published_table("1").rows[0].cells.items() if net in STYLES} | {
    "B-5x5": 8
}
"""Weight layers, from Table 1; the shallow net of section 4.1 has five convolutions."""

ON_THE_LINE = ("A", "B", "D", "E")
"""Nets of the paper's argument about depth; A-LRN has the depth of A and C that of D: they stand beside the line."""


def draw_error_against_depth(table: Table, folder: Path) -> Figure:
    """Top-1 error of Table 3 against the number of weight layers, measured and published on one axis: a panel per scale.

    A row without a measured or a published number is missing from that line.
    """
    from matplotlib import pyplot as plt

    rows = [(row.keys[0], row.keys[1], row.cells[0]) for row in table.rows if row.keys[0] in DEPTHS]
    scales = list(dict.fromkeys(S for _, S, _ in rows))
    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(1, max(1, len(scales)), figsize=(FIGURE_WIDTH, 3.2), sharey=True, squeeze=False)
        for axis, S in zip(axes[0], scales, strict=False):
            cells = [(net, cell) for net, scale, cell in rows if scale == S]
            _depths(
                axis,
                [(n, float(c.published), None) for n, c in cells if c.published != "-"],
                PUBLISHED_STYLE,
                "published",
            )
            _depths(axis, [(n, c.value, c.interval) for n, c in cells if c.value is not None], HERE, "here, 95%")
            axis.set(title=f"S = {S}", xlabel="weight layers", xticks=[11, 13, 16, 19], xlim=(10, 20.5))
        axes[0][0].set_ylabel("top-1 validation error (%)")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
        caption = (
            "Top-1 error of Table 3 against depth, here and as published of ILSVRC-2012: A, B, D and E on the lines; A-LRN "
            "and C, of the same depth as A and D, beside them."
        )
        return finished_figure(figure, "error-against-depth", "Error against depth", caption, folder)


HERE: Style = (BLUE, "o", "-")
PUBLISHED_STYLE: Style = (VERMILLION, "D", "--")


def _depths(
    axis: Any,  # noqa: ANN401
    points: Sequence[tuple[str, float, tuple[float, float] | None]],
    style: Style,
    label: str,
) -> None:
    """A line in one panel: (net, error, interval) each."""
    colour, marker, dash = style
    line = [(DEPTHS[net], error, bounds) for net, error, bounds in points if net in ON_THE_LINE]
    if line:
        bars = [(error - low, high - error) for _, error, bounds in line for low, high in [bounds or (error, error)]]
        x, y = [depth for depth, _, _ in line], [error for _, error, _ in line]
        look = {"capsize": 2, "markersize": 4, "markerfacecolor": "none" if style == PUBLISHED_STYLE else colour}
        axis.errorbar(x, y, yerr=list(zip(*bars, strict=True)), fmt=marker + dash, color=colour, label=label, **look)
    for net, error, _ in points:
        if net not in ON_THE_LINE:
            axis.plot([DEPTHS[net]], [error], marker, color=colour, fillstyle="none", markersize=4)
            axis.annotate(net, (DEPTHS[net], error), xytext=(5, -3), textcoords="offset points", fontsize=SMALLEST)


def draw_error_against_scale(table4: Outcomes, folder: Path) -> Figure:
    """Top-1 error of Tables 3 and 4: at each test scale, and averaged over all of them. A panel per training scale of Table 4.

    `table4` holds the outcomes of Table 4, those of each single scale included. Of the single scales the paper prints only
    Q = S, and for scale jitter the middle one. Where rows of one S differ in their Q, the panel shows those of the first.
    """
    from matplotlib import pyplot as plt

    averaged = [row.keys for row in published_table("4").rows if "," in row.keys["Q"]]
    scales: dict[str, list[str]] = {}
    for keys in averaged:
        scales.setdefault(keys["S"], keys["Q"].split(","))
    ours: dict[tuple[str, str, str], Point] = {}
    spreads = spreads_by_quantity([(entry.quantity, entry.outcome) for entry in table4.entries])
    for entry in table4.entries:
        if isinstance(entry.outcome, Errors) and entry.quantity == "top-1":
            cell = cells.error_cell(Cell("measured", "-"), Published("-", None), entry.outcome, spreads["top-1"])
            ours[_place(entry.row)] = (float(cell.value or 0), cell.interval)
    published_rows = [row for table in ("3", "4") for row in published_table(table).rows]
    printed: dict[tuple[str, str, str], Point] = {
        _place(row.keys): (value, None) for row in published_rows if (value := row.cells["top1_val"].value) is not None
    }
    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(2, len(scales), figsize=(FIGURE_WIDTH, 5.2), sharex="col", sharey="row")
        for column, (S, Qs) in enumerate(scales.items()):
            for axis, errors in zip(axes[:, column], (ours, printed), strict=True):
                nets = list(dict.fromkeys(keys["net"] for keys in averaged if keys["S"] == S))
                for i, net in enumerate(nets):
                    points = [(x, Q) for x, Q in enumerate((*Qs, ",".join(Qs))) if (net, S, Q) in errors]
                    # side by side, so that no interval hides another
                    aside = 0.08 * (i - (len(nets) - 1) / 2)
                    alone = [(x + aside, errors[net, S, Q]) for x, Q in points if x < len(Qs)]
                    together = [(x + aside, errors[net, S, Q]) for x, Q in points if x == len(Qs)]
                    _scales(axis, net, alone, together)
                every = "all three" if len(Qs) == 3 else "all"
                axis.set(xticks=range(len(Qs) + 1), xticklabels=[*Qs, every], xlim=(-0.3, len(Qs) + 0.3))
                axis.axvspan(len(Qs) - 0.5, len(Qs) + 0.3, color=INK, alpha=0.05)
            axes[0][column].set_title(f"S = {S}")
            axes[1][column].set_xlabel("test scale Q")
        axes[0][0].set_ylabel("here: top-1 error (%)")
        axes[1][0].set_ylabel("published: top-1 error (%)")
        handles = {
            name: line for axis in axes.flat for line, name in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
        caption = (
            "Top-1 error at one test scale Q (Table 3, and here at each scale of Table 4), and with the posteriors of the "
            "scales averaged (shaded; Table 4). Upper row: measured here, with 95% intervals; lower row: published. The "
            "axes have different scales."
        )
        return finished_figure(figure, "error-against-scale", "Error against scale", caption, folder)


Point = tuple[float, CellInterval | None]
"""An error and its interval, where it has one."""


def _place(keys: Mapping[str, str]) -> tuple[str, str, str]:
    return keys["net"], keys["S"], keys["Q"]


def _scales(
    axis: Any,  # noqa: ANN401
    net: str,
    alone: Sequence[tuple[float, Point]],
    together: Sequence[tuple[float, Point]],
) -> None:
    """A net in one panel: its error at each scale, joined by a line, and at their average."""
    colour, marker, dash = style_of_net(net)
    points = [*alone, *together]
    x, y = [x for x, _ in points], [error for _, (error, _) in points]
    bars = [(error - low, high - error) for _, (error, bounds) in points for low, high in [bounds or (error, error)]]
    axis.plot(x[: len(alone)], y[: len(alone)], dash, color=colour, linewidth=1.2)
    if points:
        look = {"color": colour, "markersize": 6, "capsize": 2, "elinewidth": 0.8}
        axis.errorbar(x, y, yerr=list(zip(*bars, strict=True)), fmt=marker, label=net, **look)
