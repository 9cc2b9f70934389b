"""Figures draw what was measured, in SVG and PDF, and stay readable without colour."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from vggrepro.core.plan_record import PredictedAndMeasured
from vggrepro.judging.comparisons import ClaimComparison
from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import Ledger
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import published_table
from vggrepro.report.figures import argument, trainings, verdicts
from vggrepro.report.figures.drawing import CURVES, HIGHEST, STYLES
from vggrepro.report.figures.predicted import draw_predicted_cost
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes
from vggrepro.tables.cells import Cell, Table, TableRow, Verdict
from vggrepro.tables.lineage import FinishedTraining


def training(name: str, attempts: list[tuple[float, int]], drops: tuple[int, ...] = (2,)) -> FinishedTraining:
    """A run of four epochs with attempts of so many seconds on so many processes."""
    about = {
        "drops": list(drops),
        "attempts": [{"seconds": s, "processes": p, "device": "CPU", "joules": None} for s, p in attempts],
    }
    return FinishedTraining(
        Run.parse(name), about, [{"epoch": e, "val_top1": 0.9 / e, "loss": 1.0} for e in range(1, 5)]
    )


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_nets_differ_without_their_colour():
    boxes = {name for name in STYLES if "CR" in name}
    for panel in ([STYLES[name] for name in boxes], [STYLES[name] for name in STYLES.keys() - boxes], CURVES):
        styles = [(marker, dash) for _, marker, dash in panel]
        assert len(set(styles)) == len(styles)


def test_the_cost_of_a_run_is_that_of_all_its_attempts_processes_and_seeds(tmp_path):
    runs = [training("D_256_s0", [(3, 1), (4, 2)]), training("D_256_s1", [(5, 1)]), training("E_256_s0", [(2, 1)])]
    drawn = trainings.draw_cost(runs, tmp_path)
    assert {"D/256", "16.0", "E/256", "2.0", "CPU seconds"} <= set(texts(drawn.svg))
    assert (tmp_path / "training-cost.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("seconds", "unit", "shown"), [(50, "seconds", "50.0"), (7000, "minutes", "116.7"), (9e4, "hours", "25.0")]
)
def test_the_unit_of_cost_follows_the_longest_training(tmp_path, seconds, unit, shown):
    drawn = trainings.draw_cost([training("A_256_s0", [(seconds, 1)])], tmp_path)
    assert {f"CPU {unit}", shown} <= set(texts(drawn.svg))


def test_the_same_trainings_give_the_same_figure(tmp_path):
    runs = [training("A_256_s0", [(1, 1)]), training("D_384_s0", [(1, 1)], drops=())]
    (first,), (second,) = (trainings.draw_learning_curves(runs, tmp_path / name) for name in "ab")
    assert first == second
    assert (tmp_path / "a/learning-curves.pdf").read_bytes() == (tmp_path / "b/learning-curves.pdf").read_bytes()
    assert {"S = 256", "S = 384"} <= set(texts(first.svg))
    assert "S = [256;512]" not in texts(first.svg)


def test_learning_curves_have_a_panel_per_training_scale_single_ones_first(tmp_path):
    names = ("C_256-512_s0", "C_300_s0", "C_256-384_s0", "C_1000_s0", "C_256_s0")
    (drawn,) = trainings.draw_learning_curves([training(name, [(1, 1)]) for name in names], tmp_path)
    panels = [text for text in texts(drawn.svg) if text.startswith("S = ")]
    assert panels == ["S = 256", "S = 300", "S = 1000", "S = [256;384]", "S = [256;512]"]


def test_an_added_net_has_its_curve(tmp_path, monkeypatch):
    monkeypatch.setattr("vggrepro.paper.runs.NETS", ("Wide",))
    (drawn,) = trainings.draw_learning_curves([training("Wide_256_s0", [(1, 1)])], tmp_path)
    assert "Wide" in texts(drawn.svg)


def test_curves_of_boxes_stand_apart_from_those_of_classes(tmp_path):
    boxes = training("D_256_pcr_s0", [(1, 1)])
    boxes.metrics[:] = [
        {"epoch": e, "val_localisation": 0.6 / e, "train_localisation": 0.5 / e, "learning_rate": 10.0**-e}
        for e in range(1, 5)
    ]
    drawn = trainings.draw_learning_curves([training("A_256_s0", [(1, 1)]), boxes], tmp_path)
    assert [figure.name for figure in drawn] == ["learning-curves", "learning-curves-boxes"]
    assert {"validation error (%)", "training error (%)", "learning rate"} <= set(texts(drawn[1].svg))
    assert "A" not in texts(drawn[1].svg)
    assert "0.001" in texts(drawn[1].svg)


def test_what_a_net_cost_includes_the_nets_it_was_initialised_from(tmp_path):
    """D was trained for 100 s, starting from A's 50 s."""
    runs = [training("A_256_s0", [(50, 1)]), training("D_256_s0", [(100, 1)])]
    runs[1].about["parent"] = {"run": "A_256_s0"}
    printed = published_table("3")
    rows = tuple(
        TableRow((row.keys["net"], row.keys["S"], row.keys["Q"]), (cell(1.0, "agrees"),), 1) for row in printed.rows
    )
    seconds = trainings._seconds_with_parents(runs[1], {t.run.name: t for t in runs})
    assert seconds == 150
    valued = tuple(replace(row, cells=(replace(row.cells[0], value=30.0, interval=(28.0, 32.0)),)) for row in rows)
    drawn = trainings.draw_error_against_cost(replace(table(), rows=valued), printed.rows, runs, tmp_path)
    assert drawn is not None
    assert {"A, 256", "D, 256"} <= set(texts(drawn.svg))
    assert not any(text.startswith("E,") for text in texts(drawn.svg))
    assert trainings.draw_error_against_cost(replace(table(), rows=valued), printed.rows, [], tmp_path) is None


def test_published_and_measured_errors_against_depth_share_an_axis(tmp_path):
    keys = [("A", "256", "256"), ("B", "256", "256"), ("D", "384", "384")]
    rows = tuple(
        TableRow(k, (Cell("measured", "29.6", value=31.0, interval=(30.0, 32.0)), Cell("not run", "-")), 1)
        for k in keys
    )
    drawn = argument.draw_error_against_depth(replace(table(), rows=rows), tmp_path)
    assert {"here, 95%", "published", "S = 256", "S = 384"} <= set(texts(drawn.svg))
    assert texts(drawn.svg).count("top-1 validation error (%)") == 1


def test_scales_alone_and_their_average_stand_beside_the_published(tmp_path):
    wrong = np.arange(20) < np.array([8, 4, 6, 2])[:, None]
    scales = ("224", "256", "288", "224,256,288")
    entries = [
        OutcomeEntry({"net": "B", "S": "256", "Q": Q, "protocol": "dense"}, "top-1", Errors(w[None], "", ()))
        for Q, w in zip(scales, wrong, strict=True)
    ]
    drawn = argument.draw_error_against_scale(Outcomes("4", (0,), tuple(entries)), tmp_path)
    assert {"B", "C", "D", "E", "224", "all three", "S = [256;512]"} <= set(texts(drawn.svg))
    nothing = argument.draw_error_against_scale(Outcomes("4", (0,)), tmp_path)
    # four points with bars, and the line through three of them
    assert drawn.svg.count("<use ") - nothing.svg.count("<use ") >= 4 * 3


@pytest.mark.parametrize("Q", ["256,300", "256,300,340,384"])
def test_a_users_row_of_table_4_has_a_panel_of_its_scale_with_its_own_test_scales(tmp_path, monkeypatch, Q):
    printed = published_table("4")
    row = replace(printed.rows[0], keys={"net": "E-fc", "S": "300", "Q": Q, "protocol": "dense"})
    changed = {"3": published_table("3"), "4": replace(printed, rows=(*printed.rows, row))}
    monkeypatch.setattr(argument, "published_table", changed.__getitem__)
    drawn = argument.draw_error_against_scale(Outcomes("4", (0,)), tmp_path)
    assert {"S = [256;512]", "S = 300", *Q.split(","), "all", "all three"} <= set(texts(drawn.svg))


def cell(delta: float, verdict: Verdict) -> Cell:
    return Cell(
        "measured", "27.0", delta=delta, delta_interval=(delta - 0.5, delta + 0.5), verdict=verdict, tolerance=0.6
    )


def table(*cells: Cell) -> Table:
    """Table 3 with some cells in its first column."""
    rows = tuple(TableRow(("D", "256", str(256 + k)), (c, Cell("not run", "8.8")), 1) for k, c in enumerate(cells))
    return Table("3", "table03", "", "4.1", "", ("net", "train S", "test Q"), ("top-1", "top-5"), rows, (), ())


def test_every_cell_with_a_delta_is_in_the_forest_and_no_other(tmp_path):
    (drawn,) = verdicts.draw_deltas(
        [table(cell(0.1, "agrees"), cell(3.0, "differs"), Cell("not run", "27.0"))], tmp_path
    )
    labels = [text for text in texts(drawn.svg) if "top-" in text]
    assert labels == ["D/256/256, top-1", "D/256/257, top-1"]
    assert {"Table 3", "agrees", "differs"} <= set(texts(drawn.svg))
    assert "2 cells: 1 agrees, 1 differs." in drawn.caption
    assert verdicts.draw_deltas([table(Cell("not run", "27.0"))], tmp_path) == []


def test_tables_are_not_torn_apart_by_the_pages_of_the_forest(tmp_path):
    long, short = table(*[cell(0.1, "agrees")] * 30), table(cell(0.1, "agrees"))
    pages = verdicts._pages([verdicts._lines(t) for t in (short, long, long, short)])
    assert [[len(group) for group in page] for page in pages] == [[2, 31], [31, 2]]
    assert len(verdicts.draw_deltas([short, long, long, short], tmp_path)) == 2


def test_verdicts_differ_without_their_colour():
    for looks in (verdicts.LOOKS, verdicts.DECIDED):
        shapes = {(look["marker"], look.get("markerfacecolor")) for look in looks.values()}
        assert len(shapes) == len(looks)


def test_claims_that_were_compared_are_in_their_forest(tmp_path):
    step = ClaimComparison(
        "Table 3: D", "Table 3: A", ("table03-1-1", "table03-2-1"), 1.0, (0.5, 1.5), 100, 1, 0.01, 1.0
    )
    lasting = JudgedClaim(
        "depth", "4.1", "it helps", "superiority", "top-1", 0, 0.3, "", "supported", steps=(step, step)
    )
    missing = JudgedClaim("crops", "4.3", "they help", "superiority", "top-1", 0, 0.3, "")
    (drawn,) = verdicts.draw_claims(Ledger(True, 1, "", "", (lasting, missing)), tmp_path)
    assert {"it helps (top-1)", "supported"} <= set(texts(drawn.svg))
    assert {"depth", "they help (top-1)", "refuted", "undecided"} & set(texts(drawn.svg)) == set()
    assert verdicts.draw_claims(Ledger(True, 0, "", "", (missing,)), tmp_path) == []


def test_no_figure_of_claims_is_longer_than_a_page_and_none_ends_with_a_heading(tmp_path):
    step = ClaimComparison(
        "Table 3: D", "Table 3: A", ("table03-1-1", "table03-2-1"), 1.0, (0.5, 1.5), 100, 1, 0.01, 1.0
    )
    said = JudgedClaim("a", "4.1", "some words " * 9, "superiority", "top-1", 0, 0.3, "", "supported", steps=(step,))
    claims = tuple(replace(said, id=f"{k}", section=f"4.{1 + k // 25}") for k in range(60))
    drawn = verdicts.draw_claims(Ledger(True, 1, "", "", claims), tmp_path)
    heights = [float(re.search(r'viewBox="0 0 [0-9.]+ ([0-9.]+)"', figure.svg)[1]) / 72 for figure in drawn]
    assert max(heights) <= HIGHEST + 0.3
    assert sum("Section" in text for figure in drawn for text in texts(figure.svg)) == 3
    for figure in drawn:
        labels = [text for text in texts(figure.svg) if text.startswith(("Section", "some"))]
        assert not labels[-1].startswith("Section")


def test_predicted_stands_beside_measured_cost_where_steps_were_predicted(tmp_path):
    predicted = {"device": "", "seconds": 60.0, "low": 30.0, "high": 90.0, "model": 60.0, "measured": 0}
    outcomes = [
        PredictedAndMeasured({"name": "a", "rule": rule}, predicted, seconds)
        for rule, seconds in (("train", 80.0), ("evaluate", 200.0), ("table", 45.0))
    ]
    drawn = draw_predicted_cost(outcomes, tmp_path)
    assert {"training", "evaluation", "other steps", "predicted (minutes)"} <= set(texts(drawn.svg))
    assert "3 steps" in drawn.caption
    assert "holds 2 of them" in drawn.caption
    assert draw_predicted_cost([], tmp_path) is None
