"""The paper's argument in pictures: error against depth (Table 3) and against scale (Tables 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggrepro import catalogue
from vggrepro.cells import Table
from vggrepro.figures.drawing import STYLES, Drawn, finish, settings

DEPTHS = {net: int(layers) for net, layers in catalogue.table("1").rows[0].keys.items() if net in STYLES} | {"B-5x5": 8}
"""Weight layers, from Table 1; the shallow net of section 4.1 has five convolutions."""

ON_THE_LINE = ("A", "B", "D", "E")
"""Nets of the paper's argument about depth; A-LRN has the depth of A and C that of D: they stand beside the line."""


def error_against_depth(table: Table, folder: Path) -> Drawn:
    """Table 3 as the paper argues with it: top-1 error against the number of weight layers, ours and the published.

    Rows without a measured or a published number are left out of the panel that lacks it.
    """
    from matplotlib import pyplot as plt

    styles = {"256": ("#0072B2", "o", "-"), "384": ("#E69F00", "s", "--"), "[256;512]": ("#009E73", "^", ":")}
    rows = [(row.keys[0], row.keys[1], row.cells[0]) for row in table.rows if row.keys[0] in DEPTHS]
    with plt.rc_context(settings()):
        figure, (ours, paper) = plt.subplots(1, 2, figsize=(9, 3.4))
        for S, style in styles.items():
            cells = [(net, cell) for net, scale, cell in rows if scale == S]
            measured = [(net, cell.value, cell.interval) for net, cell in cells if cell.value is not None]
            printed = [(net, float(cell.published), None) for net, cell in cells if cell.published != "-"]
            _depths(ours, measured, style, f"S = {S}")
            _depths(paper, printed, style, f"S = {S}")
        for axis, title in ((ours, "here (95% intervals)"), (paper, "published, ILSVRC-2012")):
            axis.set(title=title, xlabel="weight layers", ylabel="top-1 validation error (%)", xticks=[11, 13, 16, 19])
            axis.legend(fontsize=8)
        caption = (
            "Top-1 error of Table 3 against depth: A, B, D and E on the lines; A-LRN and C, of the same depth as A and D, "
            "as open marks. The two panels have different scales."
        )
        return finish(figure, "error-against-depth", "Error against depth", caption, folder)


def _depths(
    axis: Any,  # noqa: ANN401
    points: Sequence[tuple[str, float, tuple[float, float] | None]],
    style: tuple[str, str, str],
    label: str,
) -> None:
    """One training scale in one panel: (net, error, interval) each."""
    colour, marker, dash = style
    line = [(DEPTHS[net], error, bounds) for net, error, bounds in points if net in ON_THE_LINE]
    if line:
        bars = [(error - low, high - error) for _, error, bounds in line for low, high in [bounds or (error, error)]]
        x, y = [depth for depth, _, _ in line], [error for _, error, _ in line]
        axis.errorbar(x, y, yerr=list(zip(*bars, strict=True)), fmt=marker + dash, color=colour, capsize=3, label=label)
    for net, error, _ in points:
        if net not in ON_THE_LINE:
            axis.plot([DEPTHS[net]], [error], marker, color=colour, fillstyle="none")
            axis.annotate(net, (DEPTHS[net], error), xytext=(6, 4), textcoords="offset points", fontsize=8)
