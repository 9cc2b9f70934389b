"""Figures on merging boxes: sensitivity to its parameters, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggrepro.localisation.sensitivity import Example
from vggrepro.paper.tables import best_localisation
from vggrepro.report.figures.drawing import (
    CURVES,
    FIGURE_WIDTH,
    GREEN,
    INK,
    SKY,
    VERMILLION,
    Figure,
    finished_figure,
    plot_style,
    read_picture,
)
from vggrepro.settings.blocks import MergeSettings


def draw_sensitivity(points: list[dict[str, str]], default: MergeSettings, folder: Path) -> Figure:
    """The errors of Table 9 against the parameters of merging; `points` are the lines of `sensitivity.csv`."""
    from matplotlib import pyplot as plt

    kept = {"match": default.match, "average": default.average, "top_k": str(default.top_k or "all")}
    best = best_localisation()
    with plt.rc_context(plot_style()):
        figure, axes = plt.subplots(2, 2, figsize=(FIGURE_WIDTH, 6), sharey=True)
        titles = {"system": "nets", "average": "average", "match": "match score", "top_k": "locations a scale"}
        for axis, (name, title) in zip(axes.flat, titles.items(), strict=True):
            others = {key: value for key, value in kept.items() if key != name}
            if name != "system":
                others["system"] = best
            selected = [point for point in points if others.items() <= point.items()]
            for i, value in enumerate(dict.fromkeys(point[name] for point in selected)):
                line = [(float(p["threshold"]), float(p["error"])) for p in selected if p[name] == value]
                colour, marker, dash = CURVES[i % len(CURVES)]
                axis.plot(*zip(*line, strict=True), marker + dash, color=colour, markersize=3, label=value)
            axis.axvline(default.threshold, color=INK, linewidth=0.8, linestyle=":")
            axis.set(title=title, xlabel="threshold", xscale="log")
            axis.xaxis.set_major_formatter(lambda threshold, _: f"{threshold:g}")
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2)
        axes[0, 0].set_ylabel("localisation error (%)")
        caption = (
            "The error of Table 9 against the threshold at which merging stops (dotted: the setting): of its systems, and of "
            f"{best} with one parameter changed at a time. The paper prints none of them."
        )
        return finished_figure(figure, "merging", "What merging's parameters do", caption, folder)


def draw_boxes(examples: Sequence[Example], pictures: Path, folder: Path) -> Figure:
    """Images with true and predicted boxes, before and after merging; localised images above, others below."""
    from matplotlib import pyplot as plt

    groups = [[e for e in examples if e.localised is localised] for localised in (True, False)]
    groups = [group for group in groups if group]
    columns = max([len(group) for group in groups], default=1)
    with plt.rc_context(plot_style() | {"axes.grid": False}):
        figure, axes = plt.subplots(2 * len(groups), columns, figsize=(FIGURE_WIDTH, 3.6 * len(groups)), squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for g, group in enumerate(groups):
            for column, example in enumerate(group):
                before, after = axes[2 * g][column], axes[2 * g + 1][column]
                picture = read_picture(pictures / example.picture)
                for axis, predicted, moment in ((before, example.before, "before"), (after, example.after, "after")):
                    axis.imshow(picture, interpolation="none")  # the viewer scales the pixels
                    for box in predicted:
                        _rectangle(axis, box, SKY, "-", 0.8)
                    for box in example.true:
                        _rectangle(axis, box, GREEN, "--", 2)
                    axis.set_title(f"{'right' if example.localised else 'wrong'}, {moment}", fontsize=8)
                _rectangle(after, example.answer, VERMILLION, "-", 2)
        caption = (
            "Validation images whose class is among the five labels: the true boxes (green, dashed), those of the true class "
            "predicted at all locations, scales and nets of Table 9's fusion (blue; before), what merging left of them (blue; "
            "after), and the answer (orange). Above images that are localised, below some that are not."
        )
        return finished_figure(figure, "boxes", "Boxes before and after merging", caption, folder)


def _rectangle(axis: Any, box: Sequence[float], colour: str, dash: str, width: float) -> None:  # noqa: ANN401
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=colour, linestyle=dash, linewidth=width)
    axis.add_patch(frame)
