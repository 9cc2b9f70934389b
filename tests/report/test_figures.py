"""Figures draw what was measured, in SVG and PDF, and stay readable without colour."""

from __future__ import annotations

import re

import numpy as np
import pytest

from vggrepro.judging.comparisons import Step
from vggrepro.judging.decisions import JudgedClaim
from vggrepro.judging.ledger import Ledger
from vggrepro.paper.runs import Run
from vggrepro.report.figures import argument, trainings, verdicts
from vggrepro.report.figures.drawing import CURVES, STYLES
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
    first, second = (trainings.draw_learning_curves(runs, tmp_path / name) for name in "ab")
    assert first == second
    assert (tmp_path / "a/learning-curves.pdf").read_bytes() == (tmp_path / "b/learning-curves.pdf").read_bytes()
    assert {"S = 256", "S = 384"} <= set(texts(first.svg))
    assert "S = [256;512]" not in texts(first.svg)


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


def cell(delta: float, verdict: Verdict) -> Cell:
    return Cell(
        "measured", "27.0", delta=delta, delta_interval=(delta - 0.5, delta + 0.5), verdict=verdict, tolerance=0.6
    )


def table(*cells: Cell) -> Table:
    """Table 3 with some cells in its first column."""
    rows = tuple(TableRow(("D", "256", str(256 + k)), (c, Cell("not run", "8.8")), 1) for k, c in enumerate(cells))
    return Table("3", "table03", "", "4.1", "", ("net", "train S", "test Q"), ("top-1", "top-5"), rows, (), ())


def test_every_cell_with_a_delta_is_in_the_forest_and_no_other(tmp_path):
    drawn = verdicts.draw_deltas([table(cell(0.1, "agrees"), cell(3.0, "differs"), Cell("not run", "27.0"))], tmp_path)
    labels = [text for text in texts(drawn.svg) if "top-" in text]
    assert labels == ["D/256/256, top-1", "D/256/257, top-1"]
    assert {"Table 3", "agrees", "differs"} <= set(texts(drawn.svg))
    assert "2 cells: 1 agrees, 1 differs." in drawn.caption
    assert verdicts.draw_deltas([table(Cell("not run", "27.0"))], tmp_path) is None


def test_tables_are_not_torn_apart_by_the_columns_of_the_forest(tmp_path):
    long, short = table(*[cell(0.1, "agrees")] * 9), table(cell(0.1, "agrees"))
    halves = verdicts._halves([verdicts._lines(t) for t in (short, long, short)])
    assert sorted(map(len, halves)) == [2, 12]


def test_verdicts_differ_without_their_colour():
    for looks in (verdicts.LOOKS, verdicts.DECIDED):
        shapes = {(look["marker"], look.get("markerfacecolor")) for look in looks.values()}
        assert len(shapes) == len(looks)


def test_claims_that_were_compared_are_in_their_forest(tmp_path):
    step = Step("Table 3: D", "Table 3: A", ("table03-1-1", "table03-2-1"), 1.0, (0.5, 1.5), 100, 1, 0.01, 1.0)
    lasting = JudgedClaim(
        "depth", "4.1", "it helps", "superiority", "top-1", 0, 0.3, "", "supported", steps=(step, step)
    )
    missing = JudgedClaim("crops", "4.3", "they help", "superiority", "top-1", 0, 0.3, "")
    drawn = verdicts.draw_claims(Ledger(True, 1, "", "", (lasting, missing)), tmp_path)
    assert {"depth", "supported"} <= set(texts(drawn.svg))
    assert {"crops", "refuted", "undecided"} & set(texts(drawn.svg)) == set()
    assert verdicts.draw_claims(Ledger(True, 0, "", "", (missing,)), tmp_path) is None
