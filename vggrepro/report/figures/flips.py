"""Images that one system gets right and another wrong, with pictures."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from vggrepro.diagnosis import flips
from vggrepro.diagnosis.flips import FLIPS_SHOWN, Comparison, Flip
from vggrepro.report.figures.drawing import Figure, finish, settings
from vggrepro.tables.render import printed_interval, printed_number


def flipped(folder: Path, figures: Path) -> Figure:
    """Images of both kinds in two rows, from what `flips` wrote into `folder`: true class, and the answer that is wrong."""
    from matplotlib import pyplot as plt

    found = flips.read_flips(folder)
    first, second = found.names
    kinds = {
        "mended": (f"{first} wrong, {second} right: {found.mended:,} images", 0),
        "broken": (f"{first} right, {second} wrong: {found.broken:,} images", 1),
    }
    with plt.rc_context(settings() | {"axes.grid": False}):
        figure = plt.figure(figsize=(7.2, 5.6))
        for part, (kind, (title, wrong)) in zip(figure.subfigures(2, 1), kinds.items(), strict=True):
            part.suptitle(title, fontsize=10, x=0.01, ha="left")
            axes = part.subplots(1, FLIPS_SHOWN)
            for axis in axes:
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            for axis, flip in zip(axes, found.shown[kind], strict=False):
                _picture(axis, flip, wrong, found.names, folder)
        return finish(figure, "flips", "Images on which two systems differ", _caption(found), figures)


def _picture(axis: Any, flip: Flip, wrong: int, names: tuple[str, str], folder: Path) -> None:  # noqa: ANN401
    """The picture, its true class above it and the wrong answer below."""
    from matplotlib.image import imread

    axis.imshow(imread(folder / flip.picture))
    axis.set_title(_lines(flip.true), fontsize=8)
    axis.set_xlabel(_lines(f"{names[wrong]}: {flip.answers[wrong]}"), fontsize=8, style="italic")


def _lines(text: str) -> str:
    """At most three short lines; WordNet has long names for some things."""
    return textwrap.fill(textwrap.shorten(text, 66, placeholder=" ..."), 24)


def _caption(found: Comparison) -> str:
    return (
        f"Top-1 answers of {found.names[0]} and {found.names[1]} ({found.protocol}) on {found.images:,} images: both are "
        f"right on {found.both_right:,}, both wrong on {found.both_wrong:,}; from the first to the second the error changes "
        f"by {printed_number(found.points, signed=True)} points (95%, paired: {printed_interval(found.interval, signed=True)}). Above each "
        "picture is its class, below it the answer that is wrong. The pictures are spread evenly over all such images."
    )
