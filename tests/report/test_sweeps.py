"""Sweeps: a setting at several values, the paper's own among them, as a table and as a figure."""

from __future__ import annotations

import pytest

from tests.judging.test_variants import made, scores
from vggrepro.report.sweeps import draw_sweeps, sweeps_of, sweeps_section
from vggrepro.tables.cells import Table

__all__ = ["scores"]
DECAYS = {"decay": {"of": "C/256", "train": {"weight_decay": ["0.05", "5e-4", "0.002"]}}}


@pytest.fixture(scope="module")
def table(scores) -> Table:
    """Table 3 with a sweep of which one value was trained."""
    return made(scores, DECAYS)[0]


def test_a_sweep_has_every_value_in_order_and_the_papers_own_among_them(table):
    (sweep,) = sweeps_of([table])
    assert (sweep.key, sweep.row) == ("train.weight_decay", "C, 256, 256")
    assert [point.value for point in sweep.points] == ["0.0005", "0.002", "0.05"]
    assert sweep.points[0].cells == table.rows[sweep.varied].cells
    assert not sweep.points[0].differences


def test_its_table_has_the_difference_of_every_value_that_was_run(table):
    lines = sweeps_section([table])[0]["lines"]
    assert [line[0] for line in lines] == ["0.0005", "0.0005", "0.05", "0.05"]
    assert [line[5] for line in lines] == ["as in the row varied"] * 2 + ["worse"] * 2


def test_its_figure_is_error_against_the_setting(table, tmp_path):
    (figure,) = draw_sweeps([table], tmp_path)
    assert (tmp_path / f"{figure.name}.pdf").exists()
    assert "train.weight_decay" in figure.svg
    assert "top-1 val. error (%)" in figure.svg


def test_without_a_sweep_there_is_neither(scores, tmp_path):
    plain = made(scores, None)[0]
    assert sweeps_section([plain]) == draw_sweeps([plain], tmp_path) == []
