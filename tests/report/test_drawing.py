"""Figures are written whole or not at all."""

from __future__ import annotations

import resource

import pytest
from matplotlib.figure import Figure

from vggrepro.report.figures.drawing import finished_figure


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
