"""Verdicts of cells: as laws, and how often they are right."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_tables import judged_table
from vggrepro.judging.verdicts import judge_cell, judge_table, toleranced_quantity
from vggrepro.paper.tables import Published, published_table, table_evaluations, table_numbers
from vggrepro.paper.tolerances import allowed_difference, derived_tolerance, read_tolerances, tolerance_of
from vggrepro.scores.statistics import Estimate, one_seed_interval
from vggrepro.scores.stores import write_scores
from vggrepro.scores.trainings import pooled_spread, with_trainings
from vggrepro.settings.loading import load_settings
from vggrepro.tables import notes, render
from vggrepro.tables.build import build_table
from vggrepro.tables.cells import AuditFinding, Cell, measured_cell
from vggrepro.tables.measurement import Inputs

PRINTED = Published.parse("27.0")


def cell_of(errors: int, n: int = 50_000, *, trained: bool = False) -> Cell:
    """A cell by the choice of images alone or, if `trained`, by that of one seed too."""
    share, estimate = errors / n, Estimate(errors / n, 0.0)
    if trained:
        estimate = with_trainings(estimate, pooled_spread([], "top-1"), 1)
    interval = partial(one_seed_interval, errors, n, estimate)
    return measured_cell(Cell("not run", "27.0"), PRINTED, (), share, interval, n, np.array([share]))


def verdict_of(errors: int, n: int = 50_000, quantity: str = "top-1") -> str:
    return judge_cell(cell_of(errors, n), quantity).verdict


@pytest.mark.parametrize(
    ("errors", "n", "verdict"),
    [
        (13_500, 50_000, "agrees"),
        (13_600, 50_000, "agrees"),
        (13_650, 50_000, "inconclusive"),
        (13_780, 50_000, "inconclusive"),  # 0.56 points: the interval excludes 0, but that is within the tolerance
        (13_850, 50_000, "differs"),
        (13_100, 50_000, "differs"),
        (135, 500, "inconclusive"),  # exactly as printed, on too few images to show agreement
        (175, 500, "differs"),
        (275_800, 1_000_000, "inconclusive"),
        (2_750_000, 10_000_000, "agrees"),  # the interval excludes 0 and lies within the tolerance
        (2_759_500, 10_000_000, "inconclusive"),
        (27_590_000, 100_000_000, "agrees"),  # the rounding of 27.0 is no reason not to tell
    ],
)
def test_errors_near_the_printed_ones_agree_and_far_ones_differ(errors, n, verdict):
    assert verdict_of(errors, n) == verdict


def test_agreement_is_more_than_no_difference():
    """On few images nothing differs, and nothing agrees either."""
    assert {verdict_of(k, 200) for k in range(48, 60)} == {"inconclusive"}


@given(st.integers(200, 340), st.integers(0, 14))
def test_more_images_with_the_same_share_of_errors_keep_a_conclusive_verdict(per_mille, doubled):
    before, after = (verdict_of(per_mille * 2**k, 1000 * 2**k) for k in (doubled, doubled + 1))
    assert before in ("inconclusive", after)


@given(st.integers(12_000, 15_000))
def test_a_verdict_is_the_same_on_both_sides(errors):
    """The published number may lie as far above as below, with the same interval."""
    cell = cell_of(errors)
    (low, high), narrow = cell.delta_interval, cell.delta_narrow
    mirrored = replace(cell, delta=-cell.delta, delta_interval=(-high, -low), delta_narrow=(-narrow[1], -narrow[0]))
    one, other = (judge_cell(c, "top-1") for c in (cell, mirrored))
    assert one.verdict == other.verdict
    assert one.minimum_detectable_difference == other.minimum_detectable_difference


@pytest.mark.parametrize(
    ("quantity", "error", "agree", "differ"), [("top-1", 27.0, 0.54, 0.03), ("top-5", 8.0, 0.64, 0.04)]
)
def test_how_often_a_right_reproduction_agrees_with_one_seed(quantity, error, agree, differ):
    """As tables/tolerances.yaml says: its difference is of images (errors correlate by 0.64), implementations, trainings."""
    known, rng = tolerance_of(quantity).sources, np.random.default_rng(0)
    images = 2 * known.sampling**2 * (1 - 0.64)
    spread = (images + 2 * known.implementation**2 + 2 * known.training**2) ** 0.5
    estimate = Estimate(0.0, known.sampling**2, trainings=(known.training**2, known.df))
    verdicts = Counter()
    for delta in rng.normal(0, spread, 4000):
        (low, high), narrow = ((delta - half, delta + half) for half in map(estimate.half, (0.95, 0.90)))
        cell = Cell(
            "measured",
            f"{error:.1f}",
            value=error + delta,
            interval=(error + low, error + high),
            delta=delta,
            delta_interval=(low - 0.05, high + 0.05),
            delta_narrow=narrow,
        )
        verdicts[judge_cell(cell, quantity).verdict] += 1
    assert verdicts["agrees"] / 4000 == pytest.approx(agree, abs=0.02)
    assert verdicts["differs"] / 4000 == pytest.approx(differ, abs=0.01)


def test_the_minimum_detectable_difference_is_detected_four_times_in_five():
    rng, n = np.random.default_rng(0), 50_000
    difference = judge_cell(cell_of(13_500), "top-1").minimum_detectable_difference
    counts = rng.binomial(n, 0.27 + difference / 100, 1000)
    assert np.mean([verdict_of(int(k)) == "differs" for k in counts]) == pytest.approx(0.80, abs=0.04)


def test_a_reproduction_that_is_right_agrees_four_times_in_five_and_never_differs():
    """Of nets that disagree with the paper's on 14% of its images, each alone on half of them."""
    rng = np.random.default_rng(0)
    deltas = 2 * rng.binomial(7000, 0.5, 1000) - 7000
    counted = [judge_cell(cell_of(13_500 + int(delta), trained=True), "top-1").verdict for delta in deltas]
    assert counted.count("agrees") / 1000 == pytest.approx(0.8, abs=0.04)
    assert counted.count("differs") == 0


def test_a_cell_that_cannot_be_compared_says_why():
    cell = judge_cell(cell_of(40_000), "top-1", "other data")
    assert (cell.verdict, cell.tolerance, cell.minimum_detectable_difference) == ("other data", None, None)
    assert judge_cell(Cell("withheld", "7.3"), "top-5").verdict == ""


@pytest.mark.parametrize(("delta", "verdict"), [(0.4, "agrees"), (-0.5, "agrees"), (0.6, "differs")])
def test_a_counted_value_agrees_if_it_rounds_to_the_printed_one(delta, verdict):
    assert judge_cell(Cell("measured", "133", value=133 + delta, delta=delta), "parameters").verdict == verdict


def test_a_quantity_without_a_tolerance_is_named():
    with pytest.raises(ValueError, match=r"tolerances.yaml: no tolerance for top-3"):
        judge_cell(cell_of(13_500), "top-3")


# Tolerances


def test_every_quantity_of_the_paper_has_a_tolerance():
    quantities = {
        column.quantity
        for number in table_numbers("scores", "boxes", "svms")
        for column in published_table(number).columns
        if column.split != "claims"
    }
    assert quantities <= set(read_tolerances())


def toleranced() -> list[tuple[str, Published]]:
    """The quantity and the printed number of every cell that is judged by a tolerance, read in points and relatively."""
    settings, cells = load_settings({}), []
    for number in table_numbers("scores", "boxes", "svms"):
        table = settings.table(number)
        for row, column in product([row for row in table.rows if row.ours], table.columns):
            if (printed := row.cells[column.name]).value is not None:
                cells += [
                    (toleranced_quantity(row, column.quantity, higher), printed) for higher in ("points", "relative")
                ]
    return list(dict.fromkeys(cells))


@pytest.mark.parametrize(("quantity", "printed"), toleranced())
@pytest.mark.parametrize("off", [-1.01, -0.99, -0.5, 0.0, 0.5, 0.99, 1.01])
def test_images_and_seeds_enough_decide_every_cell_of_the_paper(quantity, printed, off):
    """`off` is in tolerances: agreement can be reached, and no truth but the edge itself stays inconclusive."""
    value = printed.value + off * allowed_difference(quantity, printed.text)
    cell = measured_cell(
        Cell("not run", printed.text), printed, (), value / 100, lambda _: (value / 100,) * 2, 1, np.array([value])
    )
    assert judge_cell(cell, quantity).verdict == ("agrees" if abs(off) < 1 else "differs")


def test_a_number_without_decimals_allows_for_its_rounding():
    """`7%`: half a point more than the tolerance, as every other cell allows for half of its last digit."""
    tolerance = read_tolerances()["difference in points"].tolerance
    assert allowed_difference("difference in points", "7") == pytest.approx(tolerance + 0.5)
    assert allowed_difference("top-1", "27.0") == pytest.approx(read_tolerances()["top-1"].tolerance + 0.05)


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
        entry = read_tolerances()[quantity]
        spreads = {"sampling": sampling, "training": training, "implementation": implementation}
        assert entry.sources.model_dump() == pytest.approx({**spreads, "df": len(pairs[quantity])}, abs=5e-4)
        assert entry.tolerance == derived_tolerance(entry.sources) == 0.55


def test_a_tolerance_holds_what_a_right_reproduction_is_off_19_times_in_20():
    """Drawn: the paper's images, training and implementation, and another implementation; the rest is in our interval."""
    rng, sources = np.random.default_rng(0), read_tolerances()["top-1"].sources
    sampled, trained, *implemented = rng.normal(size=(4, 100_000))
    off = sources.sampling * sampled + sources.training * trained
    off += sources.implementation * (implemented[0] - implemented[1])
    assert np.mean(np.abs(off) <= derived_tolerance(sources)) == pytest.approx(0.95, abs=0.004)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top-1: {tolerance: 1.0, from: {sampling: 0.2, training: 0.1, df: 4, implementation: 0.1}}", "come to 0.52"),
        ("top-1: {tolerance: 0.6}", "from is missing"),
        ("top-1: {tolerance: 0.6, from: {sampling: 0.2, luck: 0.1}}", "luck"),
        ("top-1: {tolerance: 0.6, from: {sampling: -1, training: 0.1, df: 4, implementation: 0.1}}", "sampling"),
        ("- 1", "expected quantities"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_tolerances_that_do_not_follow_are_refused(tmp_path, text, message):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"t.yaml: .*{message}"):
        read_tolerances(tmp_path / "t.yaml")


# In tables

N, CLASSES = 1000, 4


@pytest.fixture
def papers_folder(tmp_path, monkeypatch):
    """Table 3's A on made-up posteriors that are called ILSVRC's."""
    evaluation, rng = table_evaluations("3")[0], np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, N)
    posteriors = np.full((N, CLASSES), 0.1, np.float32)
    right = rng.random(N) > 0.296
    posteriors[np.arange(N), np.where(right, labels, (labels + 1) % CLASSES)] = 0.7
    key = {"run": evaluation.run.name, "protocol": evaluation.protocol, "Q": evaluation.Q}
    metadata = {"data set": "ILSVRC-2012", "data": ""} | key
    write_scores(tmp_path / evaluation.path, posteriors, labels, [str(i) for i in range(N)], metadata)
    monkeypatch.setattr(notes, "ILSVRC_IMAGES", ("ILSVRC-2012", N, CLASSES))
    return tmp_path


def test_a_table_is_judged_on_the_papers_images_alone(papers_folder, monkeypatch):
    table = judged_table("3", load_settings({}), papers_folder)
    assert [cell.verdict for cell in table.rows[0].cells] == ["inconclusive", "differs"]
    assert {cell.verdict for row in table.rows[1:] for cell in row.cells} == {""}
    monkeypatch.setattr(notes, "ILSVRC_IMAGES", ("ILSVRC-2012", 50_000, CLASSES))
    other = judged_table("3", load_settings({}), papers_folder)
    assert [cell.verdict for cell in other.rows[0].cells] == ["other data", "other data"]
    assert not any("tolerances.yaml" in note for note in other.notes)


def test_a_departure_from_the_paper_bars_the_comparison_of_its_cells_and_a_choice_does_not(papers_folder):
    settings = load_settings({})
    published = settings.table("3")
    table, _ = build_table(published, settings, Inputs(papers_folder))
    given = {"rule": "batch", "section": "3.1", "says": "", "choice": None, "did": "", "expected": "", "about": ()}
    departure = AuditFinding(**given, kind="paper", differs=True, cells=("table03-1-1",))
    choice = AuditFinding(**given, kind="choice", differs=True, cells=("table03-1-1", "table03-1-2"))
    first, second = judge_table(replace(table, findings=(departure, choice)), published, settings.higher).rows[0].cells
    assert (first.verdict, second.verdict) == ("other settings", "differs")


def test_verdicts_and_what_they_mean_show_in_every_format(papers_folder):
    table = judged_table("3", load_settings({}), papers_folder)
    assert any("tolerances.yaml" in note for note in table.notes)
    for text in (render.table_html(table), render.table_markdown(table), render.table_latex(table)):
        assert "? inconclusive" in text
    assert "\u2260 differs" in render.table_markdown(table)
    assert "would be found with 80% power" in render.table_html(table)
