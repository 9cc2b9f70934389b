"""Tables 11 and 12 from the results of SVMs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from sklearn.metrics import recall_score

from tests.made_tables import judged_table, table_with_outcomes
from tests.oracles import average_precision as oracle
from vggrepro.data import transfer_standin
from vggrepro.paper.tables import needed_runs, table_numbers
from vggrepro.scores import outcomes
from vggrepro.settings.loading import load_settings
from vggrepro.tables import render


def test_tables_11_and_12_are_measured_from_the_stored_scores(svm_results):
    settings = load_settings({"smoke": True})
    eleven, twelve = (judged_table(n, settings, svm_results / "transfer") for n in ("11", "12"))
    ours = [row for row in eleven.rows if row.keys[0].startswith("VGG")]
    assert [[cell.status for cell in row.cells] for row in ours] == [
        ["measured", "validation", "measured", "measured"]
    ] * 3
    both = ours[-1]
    folder = svm_results / "transfer" / "caltech101" / "D_256-512_s0+E_256-512_s0"
    recalls = []
    for k in range(3):
        scores, targets = (np.load(folder / str(k) / f"{name}.npy") for name in ("scores", "targets"))
        recalls.append(recall_score(targets.argmax(1), scores.argmax(1), average="macro"))
    cell = both.cells[2]
    assert (cell.value, cell.spread) == (
        pytest.approx(100 * np.mean(recalls)),
        pytest.approx(100 * np.std(recalls, ddof=1)),
    )
    assert (cell.splits, cell.n, cell.delta) == (3, 30, pytest.approx(cell.value - 92.7))
    assert both.cells[1].delta is None
    folder = svm_results / "transfer" / "voc2007" / "D_256-512_s0+E_256-512_s0" / "0"
    scores, targets = np.load(folder / "scores.npy"), np.load(folder / "targets.npy")
    slow = [
        oracle.eleven_points(s[t != 0].tolist(), (t[t != 0] > 0).tolist())
        for s, t in zip(scores.T, targets.T, strict=True)
    ]
    assert both.cells[0].value == pytest.approx(100 * np.mean(slow))
    assert both.cells[0].n == transfer_standin.VOC_PART_SIZES["test"]
    assert [row.cells[0].status for row in twelve.rows] == ["quoted"] * 3 + ["validation"] * 2
    assert all(low <= cell.value <= high for row in ours for cell in row.cells for low, high in [cell.interval])
    assert "on val" in render.table_html(eleven)
    assert "over 3 splits" in render.table_markdown(eleven)


def test_bold_is_the_highest(svm_results):
    table = judged_table("11", load_settings({"smoke": True}), svm_results / "transfer")
    for column in range(4):
        cells = [row.cells[column] for row in table.rows if row.cells[column].value is not None]
        if len({cell.value for cell in cells}) > 1:
            assert {cell.value for cell in cells if cell.best} == {max(cell.value for cell in cells)}


def test_outcomes_of_transfer_are_what_cells_are_made_of(svm_results, tmp_path):
    for number in table_numbers("svms"):
        table, made = table_with_outcomes(number, load_settings({"smoke": True}), svm_results / "transfer")
        outcomes.write_outcomes(tmp_path / "t.npz", made)
        found = outcomes.read_outcomes(tmp_path / "t.npz").entries
        cells = {
            (row.keys[0], column): c for row in table.rows for column, c in zip(table.columns, row.cells, strict=True)
        }
        values = [100 * entry.outcome.values.mean() for entry in found]
        assert sorted(values) == pytest.approx(sorted(c.value for c in cells.values() if c.value is not None))
        assert values
        assert all(e.outcome.resampled.shape[1] == (0 if "caltech" in e.quantity else 200) for e in found)


@pytest.mark.parametrize("table", ["voc-scales", "caltech-scales"])
def test_features_combined_otherwise_have_tables_when_asked_for(svm_results, table):
    settings = load_settings({"smoke": True, "unprinted": [table]})
    shown, made = table_with_outcomes(table, settings, svm_results / "transfer")
    cells = [cell for row in shown.rows for cell in row.cells]
    assert {(cell.status, cell.delta) for cell in cells} == {("measured", None)}
    for entry in made.entries:
        net = entry.row["systems"][0]
        assert entry.outcome.sources == (f"{entry.quantity}-{entry.row['combined']}/{net}_256-512_s0",)
    printed = table_with_outcomes("11", settings, svm_results / "transfer")[1].entries
    images = {entry.quantity: entry.outcome.images for entry in printed}
    assert all(entry.outcome.images == images[entry.quantity] for entry in made.entries), "so that pairs can be formed"


def test_a_set_that_was_not_given_is_not_run(svm_results, tmp_path):
    shutil.copytree(svm_results / "transfer" / "caltech101", tmp_path / "caltech101")
    table = judged_table("11", load_settings({"smoke": True}), tmp_path)
    assert [cell.status for cell in table.rows[-1].cells] == ["not run", "not run", "measured", "not run"]
    empty = judged_table("12", load_settings({"smoke": True}), tmp_path)
    assert "give the folders of its data sets, such as voc2012=PATH" in empty.notes[0]


def test_results_of_a_set_that_is_no_longer_given_are_not_shown(svm_results):
    """They lie where an earlier call left them, made with who knows which weights."""
    table = judged_table(
        "11", load_settings({"smoke": True, "transfer": {"stand_in": False}}), svm_results / "transfer"
    )
    assert {cell.status for row in table.rows if row.keys[0].startswith("VGG") for cell in row.cells} == {"not run"}


def test_a_set_of_other_classes_says_so_and_a_drawn_one_too(svm_results):
    drawn = judged_table("11", load_settings({"smoke": True}), svm_results / "transfer").notes
    assert any("drawn by the program stand for voc2007, voc2012, caltech101, caltech256" in note for note in drawn)
    given = judged_table("11", load_settings({"smoke": True, "voc2007": "x"}), svm_results / "transfer").notes
    assert any("voc2007 has 4 classes here and 20 in the paper: the delta compares different data" in n for n in given)


def test_results_of_another_task_or_of_other_nets_are_refused(svm_results, tmp_path):
    for source, target in (
        ("voc2007/D_256-512_s0", "voc2007/E_256-512_s0"),
        ("voc2012/D_256-512_s0", "voc2007/D_256-512_s0"),
    ):
        folder = tmp_path / target.replace("/", "_")
        shutil.copytree(svm_results / "transfer" / source, folder / target)
        for name in ("D_256-512_s0", "D_256-512_s0+E_256-512_s0"):
            if not (folder / "voc2007" / name).exists():
                shutil.copytree(svm_results / "transfer" / "voc2007" / name, folder / "voc2007" / name)
        with pytest.raises(ValueError, match=r"holds voc20\d\d with D_256-512_s0: classify again"):
            judged_table("11", load_settings({"smoke": True}), folder)


def test_runs_of_transfer_are_those_of_the_jittered_nets():
    assert {run.name for run in needed_runs(("11", "12"))} == {
        "A_256_s0", *(f"{n}_{S}_s0" for n in "DE" for S in ("256", "384", "256-512")),
    }  # fmt: skip
