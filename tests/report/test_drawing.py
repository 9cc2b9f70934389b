"""Figures are written whole or not at all, and their labels do not cover each other."""

from __future__ import annotations

import resource
from itertools import combinations

import pytest
from matplotlib.figure import Figure

from vggrepro.report.figures.drawing import finished_figure, label_marks


def test_a_disk_without_room_is_one_error_that_names_the_figure_and_leaves_nothing(tmp_path):
    figure = Figure(layout="constrained")
    figure.subplots().plot([1, 2])
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, allowed[1]))
    try:
        with pytest.raises(OSError, match=r"x\.pdf"):
            finished_figure(figure, "x", "a title", "a caption", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_marks_that_lie_close_to_each_other_cover_neither_marks_nor_labels():
    figure = Figure(layout="constrained", figsize=(6, 4))
    axis = figure.subplots()
    marks = [(0.0, 0.0, "B, 256"), (0.0, 0.2, "C, 256"), (0.01, 0.1, "D, 256"), (1.0, 3.0, "E, 256")]
    axis.plot(*zip(*[mark[:2] for mark in marks], strict=True), "o")
    axis.margins(x=0.3)
    label_marks(axis, marks)
    boxes = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == [text for *_, text in marks]
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not [1 for box in boxes for x, y, _ in marks if box.contains(*axis.transData.transform((x, y)))]
