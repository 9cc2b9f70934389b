"""Images that one system gets right and another gets wrong, with pictures."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from vggrepro.diagnosis import flips
from vggrepro.diagnosis.flips import FLIPS_SHOWN, Flip, FlipsComparison
from vggrepro.report.figures.drawing import FIGURE_WIDTH, Figure, finished_figure, plot_style, read_picture
from vggrepro.tables.numbers import printed_interval, printed_number


def draw_flips(folder: Path, figures: Path) -> Figure:
    """Two rows of pictures with their true class and the wrong answer, from the files that `flips` wrote into `folder`."""
    from matplotlib import pyplot as plt

    comparison = flips.read_flips(folder)
    first, second = comparison.names
    kinds = {
        "mended": (f"{first} wrong, {second} right: {comparison.mended:,} images", 0),
        "broken": (f"{first} right, {second} wrong: {comparison.broken:,} images", 1),
    }
    with plt.rc_context(plot_style() | {"axes.grid": False}):
        figure = plt.figure(figsize=(FIGURE_WIDTH, 5.4))
        for part, (kind, (title, wrong)) in zip(figure.subfigures(2, 1), kinds.items(), strict=True):
            part.suptitle(title, fontsize=10, x=0.01, ha="left")
            axes = part.subplots(1, FLIPS_SHOWN)
            for axis in axes:
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            for axis, flip in zip(axes, comparison.shown[kind], strict=False):
                _picture(axis, flip, wrong, comparison.names, folder)
        return finished_figure(figure, "flips", "Images on which two systems differ", _caption(comparison), figures)


def _picture(axis: Any, flip: Flip, wrong: int, names: tuple[str, str], folder: Path) -> None:  # noqa: ANN401
    """The picture, its true class above it and the wrong answer below."""
    axis.imshow(read_picture(folder / flip.picture))
    axis.set_title(_lines(flip.true), fontsize=8)
    axis.set_xlabel(_lines(f"{names[wrong]}: {flip.answers[wrong]}"), fontsize=8, style="italic")


def _lines(text: str) -> str:
    """At most three short lines, because some names of WordNet are long."""
    return textwrap.fill(textwrap.shorten(text, 66, placeholder=" ..."), 24)


def _caption(comparison: FlipsComparison) -> str:
    first, second = comparison.names
    change = printed_number(comparison.points, signed=True)
    interval = printed_interval(comparison.interval, signed=True)
    return (
        f"Top-1 answers of {first} and {second} ({comparison.protocol}) on {comparison.images:,} images: both are right on "
        f"{comparison.both_right:,}, both wrong on {comparison.both_wrong:,}; from the first to the second the error changes "
        f"by {change} points (95%, paired, of the choice of images and of these two nets as they were trained: {interval}). "
        "Above each picture is its class, below it the wrong answer. The pictures are spread evenly over all such images."
    )
