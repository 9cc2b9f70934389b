"""Cells, rows, runs and evaluations of the published tables are those of the paper."""

import re
from functools import partial

import pytest

from tests.paper.printed import (
    EVALUATIONS,
    LAYERS,
    NETS_OF_TABLE_1,
    OURS,
    PARAMETERS,
    PARENTS,
    PRINTED,
    ROWS_OF_TABLE_1,
    STACKS,
    named,
    names,
    paths,
    stores,
)
from vggrepro.paper.runs import Run
from vggrepro.paper.tables import (
    Published,
    best_classification,
    needed_runs,
    published_table,
    scales_of,
    table_evaluations,
    table_numbers,
    unprinted_tables,
)


def test_the_tables_need_these_eighteen_runs():
    run_names = names(needed_runs())
    assert len(run_names) == len(PARENTS) == 18
    assert set(run_names) == set(PARENTS)


def test_the_classification_tables_need_the_fourteen_that_predict_classes():
    assert set(names(needed_runs(table_numbers("scores")))) == {n for n in PARENTS if "cr_" not in n}


@pytest.mark.parametrize("staged", [True, False])
def test_parents_come_before_children(staged):
    runs = needed_runs(seeds=(0, 1), parent_of=partial(Run.parent, staged=staged))
    assert len(set(runs)) == len(runs)
    for run in runs:
        parent = run.parent(staged=staged)
        assert parent is None or runs.index(parent) < runs.index(run)


def test_seeds_multiply_the_runs():
    run_names = names(needed_runs(seeds=(0, 1, 7)))
    assert len(run_names) == 3 * 18
    assert set(run_names) == {name.replace("_s0", f"_s{seed}") for name in PARENTS for seed in (0, 1, 7)}


def test_a_parent_has_the_seed_of_its_child():
    for run in needed_runs(seeds=(3,)):
        parent = run.parent()
        assert parent is None or parent.seed == 3


def test_a_table_alone_needs_its_own_runs_and_their_ancestors():
    ancestors = {f"{net}_{S}_s0" for net in "DE" for S in ("256", "384", "256-512")}
    assert set(names(needed_runs(("5",)))) == ancestors | {"A_256_s0"}
    assert set(names(needed_runs(("5",), parent_of=partial(Run.parent, staged=False)))) == ancestors


def test_tables_3_to_5_do_not_need_the_jittered_d_of_the_submission():
    assert "D_256-512_fc_s0" not in names(needed_runs(("3", "4", "5")))
    assert "D_256-512_fc_s0" in names(needed_runs(("6",)))


@pytest.mark.parametrize("number", EVALUATIONS)
def test_a_table_needs_exactly_these_evaluations(number):
    evaluations = paths(table_evaluations(number))
    assert len(set(evaluations)) == len(evaluations)
    assert set(evaluations) == stores(EVALUATIONS[number])


def test_seeds_multiply_the_evaluations():
    evaluations = paths(table_evaluations("6", (0, 1)))
    assert set(evaluations) == {p.replace("_s0", f"_s{seed}") for p in stores(EVALUATIONS["6"]) for seed in (0, 1)}


def test_a_run_is_evaluated_at_the_scales_of_all_tables():
    assert scales_of(Run("B", "256"), "dense") == (224, 256, 288)
    assert scales_of(Run("B", "256"), "centre-crop") == (256,)
    assert scales_of(Run("E", "256-512", seed=5), "multi-crop") == (256, 384, 512)
    assert scales_of(Run("A", "256"), "multi-crop") == ()


def test_what_the_paper_does_not_print_is_made_when_it_is_asked_for():
    """The two nets more, and the test scales more, come with the tables that need them, and not before."""
    assert not set(unprinted_tables()) & set(table_numbers())
    assert set(table_numbers(unprinted=unprinted_tables())) == {*table_numbers(), *unprinted_tables()}
    more = set(names(needed_runs(table_numbers(unprinted=unprinted_tables())))) - set(PARENTS)
    assert more == {"D_256_scr_fc_s0", "D_256_pcr_fc_s0"}
    assert scales_of(Run("D", "256"), "dense") == (224, 256, 288)
    assert scales_of(Run("D", "256"), "dense", ("scale-gap",)) == (224, 256, 288, 512)
    assert all(
        cell.value is None for n in unprinted_tables() for r in published_table(n).rows for cell in r.cells.values()
    )


def test_labels_of_localised_boxes_come_from_the_best_system_of_table_6():
    assert best_classification() == named("6", protocol="multi-crop & dense").system


def test_table_10_repeats_the_fusion_of_table_9():
    assert named("10", method="VGG").system == published_table("9").rows[-1].system


def test_table_7_repeats_systems_of_tables_5_and_6():
    two, one, seven = (row.system for row in published_table("7").rows[:3])
    assert two == named("6", protocol="multi-crop & dense").system
    assert one == named("5", net="E", protocol="multi-crop & dense").system
    assert seven == named("6", group="ILSVRC submission").system


def with_bold(cell: Published) -> str:
    return f"**{cell.text}**" if cell.bold else cell.text


@pytest.mark.parametrize("number", PRINTED)
def test_every_cell_is_as_printed(number):
    columns, *rows = PRINTED[number]
    printed = [
        " | ".join([" ".join(row.keys[c] for c in columns.split()), *map(with_bold, row.cells.values())])
        for row in published_table(number).rows
    ]
    assert printed == rows


@pytest.mark.parametrize("number", PRINTED)
def test_a_cell_has_a_value_exactly_where_a_number_is_printed(number):
    for row in published_table(number).rows:
        for cell in row.cells.values():
            first = re.match(r"[\d.]+", cell.text)
            assert cell.value == (float(first[0]) if first else None)


@pytest.mark.parametrize("row", STACKS)
def test_the_stacks_of_table_1_are_as_printed(row):
    cells = named("1", row=row).cells
    assert " | ".join(cells[net].text for net in NETS_OF_TABLE_1) == STACKS[row]


def test_table_1_has_its_rows_and_nets_in_order():
    rows = published_table("1").rows
    assert [row.keys["row"] for row in rows] == ROWS_OF_TABLE_1
    assert tuple(rows[0].cells) == NETS_OF_TABLE_1


def test_table_2_is_as_printed():
    (row,) = published_table("2").rows
    assert {net: row.cells[net].text for net in PARAMETERS} == PARAMETERS


def convolutions(net):
    """(kernel, outputs) of every convolution in a column of Table 1."""
    stacks = ", ".join(row.cells[net].text for row in published_table("1").rows)
    layers = re.findall(r"conv(\d)-(\d+)(?: x(\d))?", stacks)
    return [(int(k), int(outputs)) for k, outputs, times in layers for _ in range(int(times or 1))]


@pytest.mark.parametrize("net", LAYERS)
def test_the_stacks_of_table_1_have_as_many_weight_layers_as_printed(net):
    assert named("1", row="weight layers").cells[net].text == str(LAYERS[net])
    assert len(convolutions(net)) + 3 == LAYERS[net]


@pytest.mark.parametrize("net", [net for net in LAYERS if net != "A-LRN"])
def test_the_stacks_of_table_1_have_as_many_parameters_as_table_2_prints(net):
    widths = [3] + [outputs for _, outputs in convolutions(net)]
    total = sum((k * k * c + 1) * n for (k, n), c in zip(convolutions(net), widths, strict=False))
    total += (512 * 49 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    printed = next(millions for nets, millions in PARAMETERS.items() if net in nets.split(", "))
    assert f"{total / 1e6:.0f}" == printed


def test_rows_of_other_methods_have_no_system():
    rows = published_table("7").rows
    assert [row.system is None for row in rows] == [False] * 3 + [True] * 12


@pytest.mark.parametrize("number", OURS)
def test_only_rows_that_are_measured_here_name_a_system(number):
    measured = {
        row.keys["method"]: [text for text in list(row.keys.values())[1:] if text]
        for row in published_table(number).rows
    }
    assert {method: " ".join(texts) for method, texts in measured.items() if texts} == OURS[number]


@pytest.mark.parametrize("number", ["3", "4", "5", "6", "8", "9"])
def test_rows_of_the_paper_itself_have_a_system(number):
    assert all(row.system for row in published_table(number).rows)


def test_the_text_subtracts_b_from_its_shallow_twin():
    rows = published_table("text").rows
    assert [row.minus is not None for row in rows[:4]] == [False, False, True, False]
    assert all((row.system is None) == (row.cells["stated"].value is not None) for row in rows)
    assert paths(e for e, _ in rows[2].system) == ["B-5x5_256_s0/centre-crop/256"]
    assert paths(e for e, _ in rows[2].minus) == ["B_256_s0/centre-crop/256"]


def test_only_numbers_behind_evaluation_servers_are_withheld():
    numbers = [str(number) for number in range(3, 13)] + ["text"]
    withheld = {c.name for number in numbers for c in published_table(number).columns if c.split == "withheld"}
    assert withheld == {"top5_test", "localisation_test", "voc2012_map", "actions_map"}


@pytest.mark.parametrize("number", ["11", "12"])
def test_a_mark_has_a_footnote(number):
    marks = {c.mark for row in published_table(number).rows for c in row.cells.values() if c.mark}
    assert marks == set(published_table(number).footnotes) == {"*"}


@pytest.mark.parametrize("number", ["", "0", "13", "03", "table03", "Text"])
def test_an_unknown_table_is_refused(number):
    with pytest.raises(ValueError, match="no table"):
        published_table(number)


@pytest.mark.parametrize(
    ("text", "value", "spread", "bold", "mark", "spanned"),
    [
        ("29.6", 29.6, None, False, "", False),
        ("7", 7.0, None, False, "", False),
        ("**25.5**", 25.5, None, True, "", False),
        ("-", None, None, False, "", False),
        ("<", None, None, False, "", True),
        ("86.5 +- 0.5", 86.5, 0.5, False, "", False),
        ("**93.4 +- 0.5**", 93.4, 0.5, True, "", False),
        ("70.2*", 70.2, None, False, "*", False),
        ("81.5 (85.2*)", 81.5, None, False, "*", False),
    ],
)
def test_a_cell_is_read_as_it_is_printed(text, value, spread, bold, mark, spanned):
    assert Published.parse(text) == Published(text.strip("*") if bold else text, value, spread, bold, mark, spanned)


def test_the_marks_for_bold_are_not_printed():
    assert Published.parse("**93.4 +- 0.5**").text == "93.4 +- 0.5"
    # those of a second number are: no other mark says which of the two is bold
    assert Published.parse("81.7 (**90.3***)").text == "81.7 (**90.3***)"


@pytest.mark.parametrize("text", ["", " ", "x", "--", "**", "**-**", "<<", "nan", "inf", "+- 0.5", "(85.2*)", "*70.2"])
def test_a_cell_without_a_number_is_refused(text):
    with pytest.raises(ValueError, match="a published cell reads"):
        Published.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "+1",
        "1e3",
        "25,5",
        "25.5%",
        "25.",
        ".5",
        "25.5.1",
        "25 .5",
        "25.5 26.5",
        "25.5 +-0.5",
        "81.5 (85.2)",
        "**25.5",
        "25**.5",
        "70.2**",
    ],
)
def test_a_number_written_otherwise_is_refused(text):
    with pytest.raises(ValueError, match="a published cell reads"):
        Published.parse(text)
