"""What steps were predicted to take, against what they took: where `vggrepro plan` predicted them before they ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vggrepro.core.plan_record import PredictedAndMeasured
from vggrepro.report.figures.drawing import CURVES, FIGURE_WIDTH, INK, Figure, finished_figure, plot_style
from vggrepro.report.figures.trainings import axis_unit

MARKED_RULES = {"train": "training", "evaluate": "evaluation", "boxes": "boxes", "features": "features"}
"""Rules that have a mark of their own; the others share one."""


def draw_predicted_cost(outcomes: Sequence[PredictedAndMeasured], folder: Path) -> Figure | None:
    """Measured against predicted time of every step, with the predicted range; None where nothing was predicted before."""
    from matplotlib import pyplot as plt

    known = [each for each in outcomes if each.seconds > 0 and each.predicted["seconds"] > 0]
    if not known:
        return None
    unit, length = axis_unit(max(each.seconds for each in known))
    groups: dict[str, list[PredictedAndMeasured]] = {}
    for each in known:
        groups.setdefault(MARKED_RULES.get(each.step["rule"], "other steps"), []).append(each)
    with plt.rc_context(plot_style()):
        figure, axis = plt.subplots(figsize=(FIGURE_WIDTH, 4.4))
        for (name, steps), (colour, marker, _) in zip(groups.items(), CURVES, strict=False):
            x = [step.predicted["seconds"] / length for step in steps]
            y = [step.seconds / length for step in steps]
            low = [max(0.0, a - step.predicted["low"] / length) for a, step in zip(x, steps, strict=True)]
            high = [max(0.0, step.predicted["high"] / length - a) for a, step in zip(x, steps, strict=True)]
            look = {"markersize": 5, "elinewidth": 0.7}
            axis.errorbar(x, y, xerr=[low, high], fmt=marker, color=colour, label=name, **look)
        ends = [min(each.seconds for each in known) / length, max(each.seconds for each in known) / length]
        axis.plot(ends, ends, color=INK, linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlabel=f"predicted ({unit})", ylabel=f"measured ({unit})")
        for part in (axis.xaxis, axis.yaxis):
            part.set_major_formatter(lambda time, _: f"{time:g}")
            part.set_minor_formatter(lambda time, _: "")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=len(groups))
        within = sum(each.within for each in known)
        caption = (
            f"The time of {len(known)} steps that were predicted before they ran; bars: the predicted range, which holds "
            f"{within} of them. On the line a step took what was predicted, above it longer. A training counts all attempts."
        )
        return finished_figure(figure, "predicted-cost", "Predicted and measured cost", caption, folder)
