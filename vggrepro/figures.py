"""Figures: drawn once, as SVG for the page and as PDF for LaTeX. Readable in grey: lines differ in marker and dash too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

from vggrepro import catalogue
from vggrepro.catalogue import SCALES, Run, printed_scale
from vggrepro.config import Merge
from vggrepro.files import atomic_file
from vggrepro.study import Example
from vggrepro.tables import Table

matplotlib.use("Agg")

# Okabe and Ito's colours, told apart by the colour-blind; black is the text's colour.
STYLES = {
    "A": ("#E69F00", "o", "-"),
    "A-LRN": ("#E69F00", "s", "--"),
    "B": ("#56B4E9", "^", "-"),
    "B-5x5": ("#56B4E9", "v", "--"),
    "C": ("#009E73", "D", "-"),
    "D": ("#0072B2", "P", "-"),
    "D-fc": ("#0072B2", "x", "--"),
    "D-PCR/256": ("#E69F00", "o", "-"),
    "D-PCR/384": ("#D55E00", "s", "-"),
    "D-PCR-fc": ("#009E73", "x", "--"),
    "D-SCR-fc": ("#56B4E9", "v", ":"),
    "E": ("#D55E00", "X", "-"),
}
INK = "#010203"
"""Stands for the page's text colour, so that the same SVG serves light and dark."""

DEPTHS = {net: int(layers) for net, layers in catalogue.table("1").rows[0].keys.items() if net in STYLES} | {"B-5x5": 8}
"""Weight layers, from Table 1; the shallow net of section 4.1 has five convolutions."""


@dataclass(frozen=True)
class Drawn:
    """A figure for the report."""

    name: str
    title: str
    caption: str
    svg: str


def _settings() -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "vggrepro",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.2,
        "grid.color": INK,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }


def _finish(figure: Any, name: str, title: str, caption: str, folder: Path) -> Drawn:  # noqa: ANN401
    """Write the PDF, and return the SVG as a piece of a page."""
    with atomic_file(folder / f"{name}.pdf") as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    matplotlib.pyplot.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # a picture that is shown twice would have its id twice; nothing refers to it
    svg = re.sub(r' id="image[0-9a-f]+"', "", svg)
    # ids are unique within a page, not only within a figure
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return Drawn(name, title, caption, svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1))


def steering(row: dict[str, float]) -> float:
    """The validation error that steers the learning rate, from a line of metrics.csv: of classes or of boxes."""
    return row["val_localisation"] if "val_localisation" in row else row["val_top1"]


def learning_curves(runs: dict[Run, Path], folder: Path) -> Drawn:
    """Validation error after each epoch, a panel per training scale and one for boxes; `runs` gives each run's metrics.csv."""
    from matplotlib import pyplot as plt

    panels = {f"S = {printed_scale(S)}": [r for r in runs if r.S == S and not r.localises] for S in SCALES}
    panels = {title: found for title, found in (panels | {"boxes": [r for r in runs if r.localises]}).items() if found}
    with plt.rc_context(_settings()):
        figure, axes = plt.subplots(1, len(panels), figsize=(9, 3.2), sharey=True, squeeze=False)
        for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
            axis.set(title=title, xlabel="epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            for run in found:
                rows = metrics(runs[run])
                _line(axis, run, [r["epoch"] for r in rows], [100 * steering(r) for r in rows])
            axis.legend(fontsize=8, loc="upper right", ncols=2 if len(found) > 4 else 1)
        axes[0][0].set_ylabel("error, centre crop (%)")
        caption = (
            "Validation error after each epoch on the centre crop, which steers the learning rate: top-1, and for boxes that "
            "of the true class's box. Later scales go on from earlier ones, boxes from the classification net of their scale."
        )
        return _finish(figure, "learning-curves", "Learning curves", caption, folder)


def _line(axis: Any, run: Run, x: Sequence[float], y: Sequence[float]) -> None:  # noqa: ANN401
    name = run.label if run.label in STYLES else run.label.split("/")[0]
    colour, marker, dash = STYLES[name] if name in STYLES else (STYLES[run.net][0], "x", "--")
    label = name if run.seed == 0 else None
    axis.plot(
        x, y, dash, color=colour, marker=marker, markersize=4, linewidth=1.4, label=label, alpha=1 if label else 0.5
    )


def metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.csv."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


ON_THE_LINE = ("A", "B", "D", "E")
"""Nets of the paper's argument about depth; A-LRN has the depth of A and C that of D: they stand beside the line."""


def error_against_depth(table: Table, folder: Path) -> Drawn:
    """Table 3 as the paper argues with it: top-1 error against the number of weight layers, ours and the published.

    Rows without a measured or a published number are left out of the panel that lacks it.
    """
    from matplotlib import pyplot as plt

    styles = {"256": ("#0072B2", "o", "-"), "384": ("#E69F00", "s", "--"), "[256;512]": ("#009E73", "^", ":")}
    rows = [(row.keys[0], row.keys[1], row.cells[0]) for row in table.rows if row.keys[0] in DEPTHS]
    with plt.rc_context(_settings()):
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
        return _finish(figure, "error-against-depth", "Error against depth", caption, folder)


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


def sensitivity(points: list[dict[str, str]], default: Merge, folder: Path) -> Drawn:
    """How Table 9 moves with the parameters of merging; `points` are the lines of `study`'s sensitivity.csv."""
    from matplotlib import pyplot as plt

    kept = {"match": default.match, "average": default.average, "top_k": str(default.top_k or "all")}
    best = catalogue.best_localisation()
    with plt.rc_context(_settings()):
        figure, axes = plt.subplots(1, 4, figsize=(10, 3.2), sharey=True)
        titles = {"system": "nets", "average": "average", "match": "match score", "top_k": "locations a scale"}
        for axis, (name, title) in zip(axes, titles.items(), strict=True):
            others = {key: value for key, value in kept.items() if key != name}
            if name != "system":
                others["system"] = best
            shown = [point for point in points if others.items() <= point.items()]
            for i, value in enumerate(dict.fromkeys(point[name] for point in shown)):
                line = [(float(p["threshold"]), float(p["error"])) for p in shown if p[name] == value]
                colour, marker, dash = CURVES[i % len(CURVES)]
                axis.plot(*zip(*line, strict=True), marker + dash, color=colour, markersize=3, label=value)
            axis.axvline(default.threshold, color=INK, linewidth=0.8, linestyle=":")
            axis.set(title=title, xlabel="threshold", xscale="log")
            axis.legend(fontsize=6, loc="best")
        axes[0].set_ylabel("localisation error (%)")
        caption = (
            "The error of Table 9 against the threshold at which merging stops (dotted: the setting): of its systems, and of "
            f"{best} with one parameter changed at a time. The paper prints none of them."
        )
        return _finish(figure, "merging", "What merging's parameters do", caption, folder)


CURVES = (
    ("#0072B2", "o", "-"),
    ("#E69F00", "s", "--"),
    ("#009E73", "^", ":"),
    ("#D55E00", "D", "-."),
    ("#56B4E9", "v", "-"),
)


def boxes(examples: Sequence[Example], pictures: Path, folder: Path) -> Drawn:
    """Images with their true boxes and the predicted ones, before and after merging; localised ones above, others below."""
    from matplotlib import pyplot as plt
    from matplotlib.image import imread

    groups = [[e for e in examples if e.localised is localised] for localised in (True, False)]
    groups = [group for group in groups if group]
    columns = max([len(group) for group in groups], default=1)
    with plt.rc_context(_settings() | {"axes.grid": False}):
        figure, axes = plt.subplots(2 * len(groups), columns, figsize=(9, 4.6 * len(groups)), squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for g, group in enumerate(groups):
            for column, example in enumerate(group):
                before, after = axes[2 * g][column], axes[2 * g + 1][column]
                picture = imread(pictures / example.picture)
                for axis, found, what in ((before, example.before, "before"), (after, example.after, "after")):
                    axis.imshow(picture)
                    for box in found:
                        _rectangle(axis, box, "#56B4E9", "-", 0.8)
                    for box in example.true:
                        _rectangle(axis, box, "#009E73", "--", 2)
                    axis.set_title(f"{'right' if example.localised else 'wrong'}, {what}", fontsize=8)
                _rectangle(after, example.answer, "#D55E00", "-", 2)
        caption = (
            "Validation images whose class is among the five labels: the true boxes (green, dashed), those of the true class "
            "predicted at all locations, scales and nets of Table 9's fusion (blue; before), what merging left of them (blue; "
            "after), and the answer (orange). Above images that are localised, below some that are not."
        )
        return _finish(figure, "boxes", "Boxes before and after merging", caption, folder)


def _rectangle(axis: Any, box: Sequence[float], colour: str, dash: str, width: float) -> None:  # noqa: ANN401
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=colour, linestyle=dash, linewidth=width)
    axis.add_patch(frame)
