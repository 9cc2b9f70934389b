"""The style of all figures, and how they are written. Lines differ in marker and dash too, for print and the colour-blind."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import matplotlib
import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from numpy.typing import NDArray
from PIL import Image

from vggrepro.core.files import atomic_file, checked
from vggrepro.paper.runs import Run

matplotlib.use("Agg")

Style = tuple[str, str, str]
"""Colour, marker and dash."""

BLUE, VERMILLION, GREEN, AMBER, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#B57A00", "#2E8FC7", "#AA5A9E"
"""Okabe and Ito's palette, which colour-blind readers can distinguish, as dark and as light as a contrast of 3:1 asks on the
light and on the dark page. Black is the colour of text."""

FIGURE_WIDTH = 6.7
"""Inches of every figure: the width of a text on A4, so that a point of a label is a point on paper."""
SMALLEST = 8
"""Points of the smallest label."""
HIGHEST = 9.6
"""Inches that fit on a page of A4, with a caption."""

STYLES: dict[str, Style] = {
    "A": (AMBER, "o", "-"),
    "A-LRN": (AMBER, "s", "--"),
    "B": (SKY, "^", "-"),
    "B-5x5": (SKY, "v", "--"),
    "C": (GREEN, "D", ":"),
    "D": (BLUE, "P", "-"),
    "D-fc": (BLUE, "x", "--"),
    "D-PCR/256": (AMBER, "o", "-"),
    "D-PCR/384": (VERMILLION, "s", "-"),
    "D-PCR-fc": (GREEN, "x", "--"),
    "D-SCR-fc": (SKY, "v", ":"),
    "E": (VERMILLION, "X", "-."),
}

CURVES: tuple[Style, ...] = (
    (BLUE, "o", "-"),
    (AMBER, "s", "--"),
    (GREEN, "^", ":"),
    (VERMILLION, "D", "-."),
    (SKY, "v", "-"),
)
"""For lines that are not nets."""

OTHER_MARKERS = "<>hp*d8"
"""Of nets that are not the paper's."""

INK = "#010203"
"""Stands for the page's text colour, so that the same SVG serves light and dark."""
BACKGROUND = "#fdfdfc"
"""Stands for the page's background."""


@dataclass(frozen=True)
class Figure:
    """A figure for the report."""

    name: str
    title: str
    caption: str
    svg: str


def style_of(run: Run) -> tuple[str, Style]:
    """The name of a run in legends, and its colour, marker and dash."""
    name = run.label if run.label in STYLES else run.label.split("/")[0]
    colour = STYLES.get(run.net, style_of_net(name))[0]
    return name, STYLES.get(name, (colour, *style_of_net(name)[1:]))


def style_of_net(name: str) -> Style:
    """Colour, marker and dash of a net; one that somebody added has a marker that the paper's do not have."""
    number = crc32(name.encode())
    colour, _, dash = CURVES[number % len(CURVES)]
    return STYLES.get(name, (colour, OTHER_MARKERS[number // len(CURVES) % len(OTHER_MARKERS)], dash))


def plot_style() -> dict[str, Any]:
    """Settings of every figure, for matplotlib's `rc_context`."""
    return {
        "text.parse_math": False,  # a dollar in a name is a dollar
        "svg.fonttype": "none",
        "svg.hashsalt": "vggrepro",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 8.5,
        "xtick.labelsize": SMALLEST,
        "ytick.labelsize": SMALLEST,
        "legend.fontsize": SMALLEST,
        "figure.dpi": 72,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.2,
        "grid.color": INK,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }


LABEL_PLACES = (
    (6, 4, "left"),
    (6, -11, "left"),
    (-6, 4, "right"),
    (-6, -11, "right"),
    (0, 14, "center"),
    (0, -21, "center"),
)
"""Where a label may stand beside its mark: points to the right and up, and its alignment."""


def label_marks(axis: Any, labels: Sequence[tuple[float, float, str]]) -> None:  # noqa: ANN401
    """Write (x, y, text) beside marks: at the first place without a mark or another text, else the last; bars may cross it."""
    from matplotlib.transforms import Bbox

    figure = axis.figure
    figure.draw_without_rendering()
    marks = [axis.transData.transform((x, y)) for x, y, _ in labels]
    covered = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    for x, y, text in labels:
        label = axis.annotate(text, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=SMALLEST)
        for right, up, alignment in LABEL_PLACES:
            label.set(position=(right, up), horizontalalignment=alignment)
            if not any(label.get_window_extent().overlaps(other) for other in covered):
                break
        covered.append(label.get_window_extent())


def finished_figure(figure: Any, name: str, title: str, caption: str, folder: Path) -> Figure:  # noqa: ANN401
    """Write `<name>.pdf` into the folder, and return the SVG as a piece of a page."""
    # one layout for both files, because `savefig` would lay out and draw twice, half of a figure's time
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    pdf = io.BytesIO()  # matplotlib hides the error of a full disk behind one of its own
    FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
    with atomic_file(folder / f"{name}.pdf") as temporary:
        temporary.write_bytes(pdf.getvalue())
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    matplotlib.pyplot.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(BACKGROUND, "var(--paper)")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # ids that nothing refers to are a tenth of the bytes, and a picture that appears twice would have its id twice
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"data:image/png;base64,([^\"]+)", _as_jpeg, svg)
    # a hundredth of a point is enough of a coordinate, and no comment and no indentation is shown: half of the bytes
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    # ids have to be unique within the page, not only within a figure
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return Figure(name, title, caption, svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1))


def read_picture(path: Path) -> NDArray[np.floating]:
    """The pixels [H, W, 3] of a PNG of ours, 0 to 1; a ValueError where it is damaged."""
    from matplotlib.image import imread

    with checked(path):
        return np.asarray(imread(path))


def _as_jpeg(picture: re.Match[str]) -> str:
    """A photograph as JPEG, which takes a tenth of the bytes of PNG."""
    data = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(picture[1]))).convert("RGB").save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
