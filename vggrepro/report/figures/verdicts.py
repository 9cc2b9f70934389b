"""Verdicts at a glance: the difference of every cell from the published number, and the gain behind every claim."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggrepro.judging.decisions import Decision, JudgedClaim
from vggrepro.judging.ledger import Ledger
from vggrepro.paper.claims import RATIOS
from vggrepro.paper.tables import published_table, table_label
from vggrepro.report.claims import parts_of
from vggrepro.report.figures.drawing import (
    AMBER,
    BLUE,
    FIGURE_WIDTH,
    GREEN,
    HIGHEST,
    INK,
    VERMILLION,
    Figure,
    finished_figure,
    plot_style,
)
from vggrepro.tables.cells import Cell, Table, Verdict

LOOKS: dict[Verdict, dict[str, Any]] = {
    "agrees": {"color": BLUE, "marker": "o"},
    "differs": {"color": VERMILLION, "marker": "X", "markersize": 6},
    "inconclusive": {"color": AMBER, "marker": "D", "markerfacecolor": "none"},
    "other settings": {"color": GREEN, "marker": "^", "markerfacecolor": "none"},
    "other data": {"color": INK, "marker": "s", "markerfacecolor": "none"},
}
"""Verdicts differ in the shape and filling of their markers too."""

LINE = 0.155
"""Inches between two cells."""

CLAIM_LETTERS = 62
"""Most letters in a line of a claim's words."""

LONGEST = 40
"""Most characters of a row's key."""

MOST_LINES = int((HIGHEST - 1.4) / LINE)
"""Most lines of a figure, so that it fits on a page."""


@dataclass(frozen=True)
class _Line:
    """A line of the figure: a cell, or the heading above a table's cells."""

    label: str
    cell: Cell | None = None


def draw_deltas(tables: Sequence[Table], folder: Path) -> list[Figure]:
    """Forest plots of every cell's difference from the published number, as many as pages they take; none without one."""
    groups = [lines for table in tables if len(lines := _lines(table)) > 1]
    return [_deltas(part, number, folder) for number, part in enumerate(_pages(groups), start=1)]


def _pages(groups: Sequence[list[_Line]]) -> list[list[list[_Line]]]:
    """The groups in their order, as many as a page holds; a longer group has a page of its own."""
    pages: list[list[list[_Line]]] = []
    for group in groups:
        if pages and sum(map(len, pages[-1])) + len(group) <= MOST_LINES:
            pages[-1].append(group)
        else:
            pages.append([group])
    return pages


def _deltas(groups: Sequence[list[_Line]], number: int, folder: Path) -> Figure:
    from matplotlib import pyplot as plt

    lines = [line for group in groups for line in group]
    with plt.rc_context(plot_style()):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, len(lines) * LINE + 1.2))
        _forest(axis, lines)
        axis.set_ylim(len(lines) - 0.4, -0.6)
        _legend(figure, axis, LOOKS)
        counts = Counter(line.cell.verdict for line in lines if line.cell)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in LOOKS if counts[verdict])
        caption = (
            "Ours minus the published number, in points, with its 95% interval, which includes the rounding of the printed "
            "number. If a cell can be compared with the paper's, a grey band shows the tolerance and the mark its verdict. "
            f"{sum(counts.values())} cells: {summary}."
        )
        names = [group[0].label for group in groups]
        title = f"Every difference from the paper: {names[0]}{f' to {names[-1]}' if len(names) > 1 else ''}"
        return finished_figure(figure, f"deltas-{number}", title, caption, folder)


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


def _forest(axis: Any, lines: Sequence[_Line]) -> None:  # noqa: ANN401
    for verdict, look in LOOKS.items():
        points = [(y, line.cell) for y, line in enumerate(lines) if line.cell and line.cell.verdict == verdict]
        if points:
            _points(axis, points, verdict, look)
    bands = [(y, line.cell.tolerance) for y, line in enumerate(lines) if line.cell and line.cell.tolerance]
    for y, tolerance in bands:
        _band(axis, y, -tolerance, tolerance)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_xlabel("ours minus published (points)")
    axis.set_yticks(range(len(lines)), [line.label for line in lines])
    for line, label in zip(lines, axis.get_yticklabels(), strict=True):
        label.set_fontweight("normal" if line.cell else "bold")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _band(axis: Any, y: float, low: float, high: float, height: float = 1.0) -> None:  # noqa: ANN401
    """A range on a line of the figure: its grey is faint, its ends are not."""
    axis.barh(y, high - low, left=low, height=height, color=INK, alpha=0.15, linewidth=0)
    axis.vlines([low, high], y - height / 2, y + height / 2, color=INK, linewidth=0.5)


def _legend(figure: Any, axis: Any, looks: Iterable[str]) -> None:  # noqa: ANN401
    """A legend of the marks in a panel, each once, in the order of `looks`."""
    handles, labels = axis.get_legend_handles_labels()
    drawn = dict(zip(labels, handles, strict=True))
    names = [name for name in looks if name in drawn]
    figure.legend([drawn[name] for name in names], names, loc="outside upper center", ncols=len(names))


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
    "smaller than claimed": {"color": AMBER, "marker": "v", "markersize": 5},
    "refuted": LOOKS["differs"],
    "undecided": LOOKS["inconclusive"],
}


def draw_claims(ledger: Ledger, folder: Path) -> list[Figure]:
    """The gain behind every claim that was tested on images, by section, as many figures as pages; none if none was tested."""
    compared = [
        judged for judged in ledger.claims if judged.steps and judged.test not in RATIOS and not judged.reference
    ]
    lines = []
    for heading, claims in parts_of(compared):
        lines += [_ClaimLine(heading), *(_ClaimLine(_words(claim), claim) for claim in claims)]
    caption = f"The difference that decides each claim, with its 95% interval; {OF_CLAIMS}"
    return _claims_pages(lines, "claims-forest", "The gain behind each claim", caption, folder)


def draw_kept(ledger: Ledger, folder: Path) -> list[Figure]:
    """Which claims keep their verdict on other labels or images, as many figures as pages; none if none was judged again."""
    again: dict[str, list[JudgedClaim]] = {}
    for judged in ledger.claims:
        if judged.reference and judged.steps:
            again.setdefault(judged.same_as, []).append(judged)
    lines = []
    for judged in ledger.claims:
        others = again.get(judged.id, []) if judged.steps else []
        if others:
            own = _ClaimLine(f"validation images: {judged.verdict}", judged)
            lines += [_ClaimLine(_words(judged)), own, *(_ClaimLine(_kept(judged, each), each) for each in others)]
    caption = (
        "The difference that decides each claim on the validation images and their own labels, and on other labels or images, "
        f"each corrected among the claims that are judged on the same; {OF_CLAIMS}"
    )
    return _claims_pages(lines, "claims-kept", "Which claims keep their verdict", caption, folder)


OF_CLAIMS = (
    "other comparisons of the same claim are thin. Beyond 2 points the axis is logarithmic. Grey bands: the claimed "
    "difference plus or minus the margin, for claims of equality. Grey ticks: the size that is claimed, the margin that a "
    "gain is smaller than claimed below, or the loss that is no longer none. Claims that were not run, or are not about "
    "images, are left out."
)


@dataclass(frozen=True)
class _ClaimLine:
    """A line of a figure of claims: a heading, or a claim's gain."""

    words: str
    judged: JudgedClaim | None = None

    @property
    def height(self) -> float:
        """In inches."""
        return 0.045 + 0.125 * (1 + self.words.count("\n"))


def _words(judged: JudgedClaim) -> str:
    """A claim in words, with what it is judged on, in short lines."""
    return textwrap.fill(f"{judged.claim.rstrip('.')} ({judged.quantity})", CLAIM_LETTERS)


def _kept(judged: JudgedClaim, again: JudgedClaim) -> str:
    return f"{again.reference}: {again.verdict}{'' if again.verdict == judged.verdict else ', not kept'}"


def _claims_pages(lines: Sequence[_ClaimLine], name: str, title: str, caption: str, folder: Path) -> list[Figure]:
    pages: list[list[_ClaimLine]] = []
    for line in lines:
        room = HIGHEST - 1.5 - sum(each.height for each in pages[-1]) if pages else 0.0
        # a heading does not end a page
        if room < line.height + (0 if line.judged else LINE * 3):
            pages.append([])
        pages[-1].append(line)
    return [
        _claims_page(page, f"{name}-{number}", f"{title}, {number}", caption, folder)
        for number, page in enumerate(pages, start=1)
    ]


def _claims_page(lines: Sequence[_ClaimLine], name: str, title: str, caption: str, folder: Path) -> Figure:
    from matplotlib import pyplot as plt

    heights = [line.height for line in lines]
    middles = [sum(heights[:k]) + height / 2 for k, height in enumerate(heights)]
    with plt.rc_context(plot_style()):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 1.3 + sum(heights)))
        # a gain over others' systems is ten times that of a test scale
        axis.set_xscale("symlog", linthresh=2, linscale=1.2)
        for line, y, height in zip(lines, middles, heights, strict=True):
            if line.judged:
                _claim(axis, y, 0.8 * height, line.judged)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set(xlabel="gain (points), positive for the claim's side", ylim=(sum(heights), 0))
        low, high = axis.get_xlim()
        ticks = [tick for tick in (-50, -10, -4, -1, 0, 1, 4, 10, 50) if low <= tick <= high]
        axis.set_xticks(ticks, [f"{tick}" for tick in ticks])
        axis.minorticks_off()
        axis.set_yticks(middles, [line.words for line in lines])
        for line, label in zip(lines, axis.get_yticklabels(), strict=True):
            label.set(fontweight="normal" if line.judged else "bold", linespacing=1.0)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        _legend(figure, axis, DECIDED)
        return finished_figure(figure, name, title, caption, folder)


def _claim(axis: Any, y: float, height: float, judged: JudgedClaim) -> None:  # noqa: ANN401
    if judged.test == "equivalence":
        _band(axis, y, judged.by - judged.margin, judged.by + judged.margin, height=height)
    elif claimed := judged.by or judged.margin:
        edge = -claimed if judged.test == "non-inferiority" else claimed
        axis.plot([edge], [y], "|", color=INK, markersize=10)
    for k, step in enumerate(judged.steps):
        decides = k == judged.weakest
        style: dict[str, Any] = {"color": INK, "markersize": 3, "elinewidth": 0.4, "marker": "."}
        if decides:
            style = {"markersize": 5, "elinewidth": 1.4} | DECIDED[judged.verdict] | {"label": judged.verdict}
        low, high = step.interval
        # side by side, so that none hides another
        aside = height * (k - (len(judged.steps) - 1) / 2) / len(judged.steps)
        bar = [[step.gain - low], [high - step.gain]]
        axis.errorbar([step.gain], [y + aside], xerr=bar, linestyle="none", **style)
