"""The first screen of the report: chance, health and the largest difference, from made-up outcomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vggrepro.paper.tables import published_table
from vggrepro.report import summary
from vggrepro.scores.outcomes import Errors, OutcomeEntry, Outcomes, write_outcomes
from vggrepro.tables.cells import Cell, Table, TableRow

LABELS = np.repeat(np.arange(10), 20)
ROWS = published_table("3").rows


def made_table(tmp_path, wrong: dict[int, np.ndarray]) -> Table:
    """Table 3 whose rows are never wrong but for some, with its outcomes in `table03.npz`."""
    rows, entries = [], []
    for r, row in enumerate(ROWS):
        errors = wrong.get(r, np.zeros(len(LABELS), bool))
        value = 100 * errors.mean()
        cell = Cell(
            "measured", "25.5", value=value, interval=(value - 5, value + 5), delta=value - 25.5, verdict="other data"
        )
        rows.append(TableRow((row.keys["net"], row.keys["S"], row.keys["Q"]), (cell,), 1))
        entries.append(OutcomeEntry(row.keys, "top-1", Errors(errors[None], "0", ())))
    write_outcomes(tmp_path / "table03.npz", Outcomes("3", (0,), tuple(entries)))
    return Table("3", "table03", "", "4.1", "", ("", "", ""), ("top-1",), tuple(rows), (), ())


def test_chance_follows_from_the_classes_and_says_how_many_images_each_has():
    text = summary._chance(np.repeat(np.arange(4), 5))
    assert text == "4 classes, 5 validation images each. A guess is wrong in 75.0% in top-1 and 0.0% in top-5."
    assert "1 to 3 validation images" in summary._chance(np.array([0, 1, 1, 1]))


def test_a_net_near_chance_and_a_class_that_is_never_right_are_told(tmp_path):
    guesses = np.arange(len(LABELS)) % 10 != 0
    blind = LABELS == 7
    ill = summary._ill_nets(tmp_path / "table03.json", made_table(tmp_path, {2: guesses, 5: blind}), LABELS)
    near, never = (finding["text"] for finding in ill)
    assert near == "B/256 is near chance: 90.0% of its answers are wrong."
    assert never == "C/[256;512] never gets 1 of 10 classes right."
    assert [finding["href"] for finding in ill] == ["table03-3-1", "table03-6-1"]
    assert summary._ill_nets(tmp_path / "table03.json", made_table(tmp_path, {}), LABELS) == []


def test_many_ill_nets_take_a_line_that_leads_to_the_worst(tmp_path):
    tenth = np.arange(len(LABELS)) % 10 != 0
    made = made_table(tmp_path, {2: tenth, 3: np.ones(len(LABELS), bool), 5: tenth})
    near, never = summary._ill_nets(tmp_path / "table03.json", made, LABELS)
    assert near["href"] == never["href"] == "table03-4-1"
    assert near["text"].endswith("Also near chance: B/256, C/[256;512].")
    assert never["text"].startswith("C/256 never gets 10 of 10 classes right.")


def test_a_run_that_began_and_did_not_end_is_unfinished(tmp_path):
    for name in ("A_256_s0", "B_256_s0"):
        (tmp_path / "state" / name).mkdir(parents=True)
    (tmp_path / "runs/A_256_s0").mkdir(parents=True)
    (tmp_path / "runs/A_256_s0/run.json").touch()
    assert summary._unfinished_runs(tmp_path) == ["B_256_s0"]


@pytest.mark.parametrize("comparable", [True, False])
def test_the_largest_difference_is_one_that_can_be_compared_if_there_is_any(comparable):
    far = Cell("measured", "10.0", value=60.0, delta=50.0, verdict="other data")
    near = Cell("measured", "10.0", value=11.0, delta=1.0, verdict="agrees" if comparable else "other data")
    rows = (TableRow(("A",), (far,), 1), TableRow(("B",), (near,), 1))
    table = Table("3", "table03", "", "4.1", "", ("net",), ("top-1",), rows, (), ())
    largest = summary._largest_difference([table])
    assert largest["text"] == (
        "Table 3, B, top-1: +1.0 points" if comparable else "Table 3, A, top-1: +50.0 points (other data)"
    )


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ((), "No cell of the paper's tables was measured here"),
        (("agrees", "inconclusive"), ""),
        (("agrees", "other data", "other settings"), "1 of 3 measured cells compare like with like"),
        (("other data",), "0 of 1 measured cells"),
    ],
)
def test_the_first_sentence_is_of_the_cells_and_not_of_the_settings_alone(tmp_path, verdicts, says):
    table = made_table(tmp_path, {})
    named = iter(verdicts)
    table = table.with_cells(lambda i, j, cell: replace(cell, verdict=next(named, "")))
    assert summary.cells_warning([table]).startswith(says)
    assert bool(summary.cells_warning([table])) == bool(says)
