"""Verdicts of cells: as laws, and how often they are right."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggrepro.judging import verdicts
from vggrepro.paper.tables import Published, published_table, table_evaluations, table_numbers
from vggrepro.scores.statistics import wilson
from vggrepro.scores.stores import write_scores
from vggrepro.settings.loading import load_settings
from vggrepro.tables import build as tables
from vggrepro.tables import render
from vggrepro.tables.cells import Cell, measured_cell

PRINTED = Published.parse("27.0")


def cell_of(errors: int, n: int = 50_000) -> Cell:
    share = errors / n
    return measured_cell(Cell("not run", "27.0"), PRINTED, (), share, partial(wilson, errors, n), n, np.array([share]))


def verdict_of(errors: int, n: int = 50_000, quantity: str = "top-1") -> str:
    return verdicts.judge(cell_of(errors, n), quantity).verdict


@pytest.mark.parametrize(
    ("errors", "n", "verdict"),
    [
        (13_500, 50_000, "agrees"),
        (13_600, 50_000, "agrees"),
        (13_650, 50_000, "cannot be told"),
        (13_780, 50_000, "cannot be told"),  # 0.56 points, and surely not 0: within the tolerance all the same
        (13_850, 50_000, "differs"),
        (13_100, 50_000, "differs"),
        (135, 500, "cannot be told"),  # exactly as printed, on too few images to say so
        (175, 500, "differs"),
        (275_800, 1_000_000, "cannot be told"),
        (2_750_000, 10_000_000, "agrees"),  # surely not 0, surely within the tolerance
    ],
)
def test_what_is_said_of_a_cell(errors, n, verdict):
    assert verdict_of(errors, n) == verdict


def test_agreement_is_more_than_no_difference():
    """On few images nothing differs, and nothing agrees either."""
    assert {verdict_of(k, 200) for k in range(48, 60)} == {"cannot be told"}


@given(st.integers(200, 340), st.integers(0, 14))
def test_more_images_with_the_same_share_of_errors_change_no_verdict_that_was_told(per_mille, doubled):
    before, after = (verdict_of(per_mille * 2**k, 1000 * 2**k) for k in (doubled, doubled + 1))
    assert before in ("cannot be told", after)


@given(st.integers(12_000, 15_000))
def test_a_verdict_is_the_same_on_both_sides(errors):
    """The published number may lie as far above as below, with the same interval."""
    cell = cell_of(errors)
    (low, high), narrow = cell.delta_interval, cell.delta_narrow
    mirrored = replace(cell, delta=-cell.delta, delta_interval=(-high, -low), delta_narrow=(-narrow[1], -narrow[0]))
    one, other = (verdicts.judge(c, "top-1") for c in (cell, mirrored))
    assert (one.verdict, one.tellable) == (other.verdict, other.tellable)


def test_a_difference_that_could_have_been_told_is_found_four_times_in_five():
    rng, n = np.random.default_rng(0), 50_000
    told = verdicts.judge(cell_of(13_500), "top-1").tellable
    counts = rng.binomial(n, 0.27 + told / 100, (1000, 1))
    found = np.mean([verdict_of(int(k)) == "differs" for k in counts[:, 0]])
    assert found == pytest.approx(0.80, abs=0.04)


def test_a_reproduction_that_is_right_agrees_four_times_in_five_and_never_differs():
    """Of nets that disagree with the paper's on 14% of its images, each alone on half of them."""
    rng = np.random.default_rng(0)
    deltas = 2 * rng.binomial(7000, 0.5, 1000) - 7000
    found = [verdict_of(13_500 + int(delta)) for delta in deltas]
    assert found.count("agrees") / 1000 == pytest.approx(0.8, abs=0.04)
    assert found.count("differs") == 0


def test_cells_that_cannot_be_compared_say_why():
    said = verdicts.judge(cell_of(40_000), "top-1", "other data")
    assert (said.verdict, said.tolerance, said.tellable) == ("other data", None, None)
    assert verdicts.judge(Cell("withheld", "7.3"), "top-5").verdict == ""


def test_a_quantity_without_a_tolerance_is_named():
    with pytest.raises(ValueError, match=r"tolerances.yaml: no tolerance for top-3"):
        verdicts.judge(cell_of(13_500), "top-3")


# Tolerances


def test_every_quantity_of_the_paper_has_a_tolerance():
    quantities = {
        column.quantity
        for number in table_numbers("scores", "boxes", "svms")
        for column in published_table(number).columns
    }
    assert quantities <= set(verdicts.read_tolerances())


def test_tolerances_follow_from_what_others_measured():
    """The spreads in the file, from the numbers in its comments."""
    pairs = {"top-1": [0.270, 0.092, 0.028, 0.034], "top-5": [0.242, 0.214, 0.108, 0.076]}
    nets = {
        "top-1": [[28.5, 28.732, 28.5], [28.7, 28.744, 28.9]],
        "top-5": [[9.9, 9.950, 10.2], [9.9, 10.012, 10.2]],
    }
    for quantity, error_rate in (("top-1", 0.27), ("top-5", 0.08)):
        training = (np.square(pairs[quantity]).sum() / 8) ** 0.5
        implementation = (sum(np.var(net) * 3 for net in nets[quantity]) / 4) ** 0.5
        sampling = 100 * (error_rate * (1 - error_rate) / 50_000) ** 0.5
        derived = verdicts.derive(sampling=sampling, training=training, implementation=implementation)
        assert verdicts.read_tolerances()[quantity] == derived == 0.6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top-1: {tolerance: 1.0, from: {sampling: 0.2, training: 0.1, implementation: 0.1}}", "come to 0.6"),
        ("top-1: {tolerance: 0.6}", "expected quantities, each with tolerance and from"),
        ("top-1: {tolerance: 0.6, from: {sampling: 0.2, luck: 0.1}}", "luck"),
        ("- 1", "expected quantities"),
        ("a: [", "expected quantities"),
    ],
)
def test_tolerances_that_do_not_follow_are_refused(tmp_path, text, message):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"t.yaml: .*{message}"):
        verdicts.read_tolerances(tmp_path / "t.yaml")


# In tables


def test_only_the_papers_images_under_the_papers_settings_speak_of_the_paper(tmp_path, monkeypatch):
    """Table 3's A on made-up posteriors that are called ILSVRC's."""
    e, n = table_evaluations("3")[0], 1000
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, n)
    posteriors = np.full((n, 4), 0.1, np.float32)
    right = rng.random(n) > 0.296
    posteriors[np.arange(n), np.where(right, labels, (labels + 1) % 4)] = 0.7
    made = {"data set": "ILSVRC-2012", "data": "", "run": e.run.name, "protocol": e.protocol, "Q": e.Q}
    write_scores(tmp_path / e.path, posteriors, labels, [str(i) for i in range(n)], made)

    def said(**given) -> tuple[list[str], tables.Table]:
        table = tables.make_table("3", load_settings(given), tmp_path)
        return [cell.verdict for cell in table.rows[0].cells], table

    assert said()[0] == ["other data", "other data"]
    monkeypatch.setattr(tables, "ILSVRC_IMAGES", ("ILSVRC-2012", n, 4))
    assert said(model={"width": 8})[0] == ["other settings", "other settings"]
    cells, table = said()
    assert cells == ["cannot be told", "differs"]
    assert {cell.verdict for row in table.rows[1:] for cell in row.cells} == {""}
    assert any("tolerances.yaml" in note for note in table.notes)
    for text in (render.table_html(table), render.table_markdown(table), render.table_latex(table)):
        assert "? cannot be told" in text
    assert "\u2260 differs" in render.table_markdown(table)
    assert "would be found with 80% power" in render.table_html(table)
