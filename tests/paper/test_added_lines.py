"""A line that is added to a CSV adds its runs and evaluations, and a malformed one is named."""

import pytest

from tests.paper.conftest import clear_caches
from tests.paper.printed import EVALUATIONS, PARENTS, names, paths, stores
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import (
    best_classification,
    best_localisation,
    localisation_systems,
    needed_runs,
    published_table,
    scales_of,
    table_evaluations,
)


@pytest.fixture
def append(published):
    """A function that adds a line to a copy of a CSV, which is then read."""

    def add(name, line):
        with (published / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        clear_caches()

    return add


def test_an_added_line_adds_its_run_its_ancestors_and_its_evaluation(append):
    append("table03.csv", "B,[256;512],384,dense,-,-")
    assert set(names(needed_runs())) - set(PARENTS) == {"B_384_s0", "B_256-512_s0"}
    assert set(paths(table_evaluations("3"))) - stores(EVALUATIONS["3"]) == {"B_256-512_s0/dense/384"}


def test_an_added_line_may_name_any_training_scale_or_range_of_scales(append):
    """A range begins with S = 384 of its net, which B lacks, too."""
    append("table03.csv", "B,300,300,dense,-,-")
    append("table03.csv", "B,[256;384],320,dense,-,-")
    added = [name for name in names(needed_runs()) if name not in PARENTS]
    assert added == ["B_300_s0", "B_384_s0", "B_256-384_s0"]
    assert set(paths(table_evaluations("3"))) - stores(EVALUATIONS["3"]) == stores(
        "B_300/dense/300 B_256-384/dense/320"
    )


def test_an_added_line_adds_a_scale_to_a_known_run(append):
    append("table04.csv", 'A,256,"224,320",dense,-,-')
    assert set(names(needed_runs())) == set(PARENTS)
    assert scales_of(Run("A", "256"), "dense") == (224, 256, 320)


def test_an_added_line_adds_an_ensemble(append):
    append("table06.csv", 'ours,"C/[256;512]/256,384 + E-fc/[256;512]/384",multi-crop,-,-,-')
    added = set(paths(table_evaluations("6"))) - stores(EVALUATIONS["6"])
    assert added == stores("C_256-512/multi-crop/256,384 E_256-512_fc/multi-crop/384")
    assert set(names(needed_runs())) - set(PARENTS) == {"E_256-512_fc_s0"}


def test_a_difference_needs_both_sides(append):
    append("text.csv", "C against D,4.1,C/256/256,D/256/256,centre-crop,-,-,-,-")
    added = set(paths(table_evaluations("text"))) - stores(EVALUATIONS["text"])
    assert added == stores("C_256/centre-crop/256 D_256/centre-crop/256")


def test_an_added_line_adds_a_net_that_predicts_boxes(append):
    append("table09.csv", "E: 384,384,E/384/384,dense,SCR,fc,-,-")
    assert set(names(needed_runs())) - set(PARENTS) == {"E_384_scr_fc_s0"}
    assert set(paths(table_evaluations("9"))) - stores(EVALUATIONS["9"]) == {"E_384_scr_fc_s0/dense/384"}


def test_a_line_of_another_method_adds_a_row_only(append):
    append("table07.csv", "Somebody (2015),,,20.1,-,4.9")
    assert published_table("7").rows[-1].system is None
    assert set(paths(table_evaluations("7"))) == stores(EVALUATIONS["7"])


@pytest.mark.parametrize(
    "line",
    [
        "F,256,256,dense,-,-",
        "A,200,256,dense,-,-",
        "A,[384;256],256,dense,-,-",
        "A,256-384,256,dense,-,-",
        "A,256,x,dense,-,-",
        "A,256,256,denes,-,-",
        "A,256,256,dense,,-",
        "A,256,256,dense,?,-",
    ]
    + ["A,256,256,dense,-", "A,256,256,dense,-,-,9", "A,256,256,,-,-"],
)
def test_a_malformed_line_is_named_in_the_error(append, line):
    append("table03.csv", line)
    with pytest.raises(ValueError, match=r"table03\.csv, line 14"):
        published_table("3")


def test_a_line_added_to_table_9_is_a_system_of_its_own(append):
    fused, best = best_localisation(), best_classification()
    append("table09.csv", "384,384,D/384/384,dense,SCR,fc,-,-")
    append("table06.csv", 'ours,"D/[256;512]/384 + E/[256;512]/384",multi-crop,-,-,-')
    assert (best_localisation(), best_classification()) == (fused, best)
    systems = localisation_systems()
    assert list(systems)[-2:] == [fused, "D/384/384 (SCR, fc)"]
    assert systems["D/384/384"] != systems["D/384/384 (SCR, fc)"]
