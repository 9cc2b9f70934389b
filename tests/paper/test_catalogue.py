"""The catalogue against the paper: every number, run and evaluation below was typed a second time from the paper itself.

A cell is compared as it is printed: `**25.5**` is bold, `-` a dash, `<` the continuation of the cell to its left.
"""

import itertools
import re
import shutil
from fractions import Fraction

import pytest

from vggrepro.paper import tables
from vggrepro.paper.runs import NETS, OBJECTIVES, SCALES, Run
from vggrepro.paper.systems import parse_system, with_seed
from vggrepro.paper.tables import (
    PUBLISHED,
    Published,
    best_classification,
    needed_runs,
    published_table,
    scales_of,
    table_evaluations,
    table_numbers,
)

# PAPER 3.1: run -> the run it is initialised from. PAPER 4.4: the jittered D of the submission moved its FC layers only.
# PAPER A.1: a net that predicts boxes begins as the classification net of its scale.
PARENTS = {
    "A_256_s0": None,
    "A-LRN_256_s0": None,
    "B_256_s0": "A_256_s0",
    "B-5x5_256_s0": "A_256_s0",
    "C_256_s0": "A_256_s0",
    "C_384_s0": "C_256_s0",
    "C_256-512_s0": "C_384_s0",
    "D_256_s0": "A_256_s0",
    "D_384_s0": "D_256_s0",
    "D_256-512_s0": "D_384_s0",
    "D_256-512_fc_s0": "D_384_s0",
    "E_256_s0": "A_256_s0",
    "E_384_s0": "E_256_s0",
    "E_256-512_s0": "E_384_s0",
    "D_384_scr_fc_s0": "D_384_s0",
    "D_384_pcr_fc_s0": "D_384_s0",
    "D_384_pcr_s0": "D_384_s0",
    "D_256_pcr_s0": "D_256_s0",
}

SUBMISSION = """
    D_256/dense/224,256,288 D_384/dense/352,384,416 D_256-512_fc/dense/256,384,512
    C_256/dense/224,256,288 C_384/dense/352,384,416 E_256/dense/224,256,288 E_384/dense/352,384,416
"""
TWO_NETS = """
    D_256-512/dense/256,384,512 D_256-512/multi-crop/256,384,512
    E_256-512/dense/256,384,512 E_256-512/multi-crop/256,384,512
"""
EVALUATIONS = {
    "3": """
        A_256/dense/256 A-LRN_256/dense/256 B_256/dense/256
        C_256/dense/256 C_384/dense/384 C_256-512/dense/384
        D_256/dense/256 D_384/dense/384 D_256-512/dense/384
        E_256/dense/256 E_384/dense/384 E_256-512/dense/384
    """,
    "4": """
        B_256/dense/224,256,288
        C_256/dense/224,256,288 C_384/dense/352,384,416 C_256-512/dense/256,384,512
        D_256/dense/224,256,288 D_384/dense/352,384,416 D_256-512/dense/256,384,512
        E_256/dense/224,256,288 E_384/dense/352,384,416 E_256-512/dense/256,384,512
    """,
    "5": TWO_NETS,
    "6": SUBMISSION + TWO_NETS,
    "7": SUBMISSION + TWO_NETS,
    "8": "D_384_scr_fc/centre-crop/384 D_384_pcr_fc/centre-crop/384 D_384_pcr/centre-crop/384",
    "9": "D_256_pcr/dense/256 D_384_pcr/dense/352,384",
    "10": "D_256_pcr/dense/256 D_384_pcr/dense/352,384",
    "text": "B-5x5_256/centre-crop/256 B_256/centre-crop/256 E_256-512/dense/256,384,512",
}

# Table -> the key columns that name a row here, and its rows: name | cell | cell ...
PRINTED = {
    "3": (
        "net S Q protocol",
        "A 256 256 dense | 29.6 | 10.4",
        "A-LRN 256 256 dense | 29.7 | 10.5",
        "B 256 256 dense | 28.7 | 9.9",
        "C 256 256 dense | 28.1 | 9.4",
        "C 384 384 dense | 28.1 | 9.3",
        "C [256;512] 384 dense | 27.3 | 8.8",
        "D 256 256 dense | 27.0 | 8.8",
        "D 384 384 dense | 26.8 | 8.7",
        "D [256;512] 384 dense | 25.6 | 8.1",
        "E 256 256 dense | 27.3 | 9.0",
        "E 384 384 dense | 26.9 | 8.7",
        "E [256;512] 384 dense | **25.5** | **8.0**",
    ),
    "4": (
        "net S Q protocol",
        "B 256 224,256,288 dense | 28.2 | 9.6",
        "C 256 224,256,288 dense | 27.7 | 9.2",
        "C 384 352,384,416 dense | 27.8 | 9.2",
        "C [256;512] 256,384,512 dense | 26.3 | 8.2",
        "D 256 224,256,288 dense | 26.6 | 8.6",
        "D 384 352,384,416 dense | 26.5 | 8.6",
        "D [256;512] 256,384,512 dense | **24.8** | **7.5**",
        "E 256 224,256,288 dense | 26.9 | 8.7",
        "E 384 352,384,416 dense | 26.7 | 8.6",
        "E [256;512] 256,384,512 dense | **24.8** | **7.5**",
    ),
    "5": (
        "net S Q protocol",
        "D [256;512] 256,384,512 dense | 24.8 | 7.5",
        "D [256;512] 256,384,512 multi-crop | 24.6 | 7.5",
        "D [256;512] 256,384,512 multi-crop & dense | **24.4** | **7.2**",
        "E [256;512] 256,384,512 dense | 24.8 | 7.5",
        "E [256;512] 256,384,512 multi-crop | 24.6 | 7.4",
        "E [256;512] 256,384,512 multi-crop & dense | **24.4** | **7.1**",
    ),
    "6": (
        "group protocol",
        "ILSVRC submission dense | 24.7 | 7.5 | 7.3",
        "post-submission dense | 24.0 | 7.1 | 7.0",
        "post-submission multi-crop | 23.9 | 7.2 | -",
        "post-submission multi-crop & dense | **23.7** | **6.8** | **6.8**",
    ),
    "7": (
        "method",
        "VGG (2 nets, multi-crop & dense) | **23.7** | **6.8** | **6.8**",
        "VGG (1 net, multi-crop & dense) | 24.4 | 7.1 | 7.0",
        "VGG (ILSVRC submission, 7 nets, dense) | 24.7 | 7.5 | 7.3",
        "GoogLeNet (Szegedy et al., 2014) (1 net) | - | 7.9 | <",
        "GoogLeNet (Szegedy et al., 2014) (7 nets) | - | **6.7** | <",
        "MSRA (He et al., 2014) (11 nets) | - | - | 8.1",
        "MSRA (He et al., 2014) (1 net) | 27.9 | 9.1 | 9.1",
        "Clarifai (Russakovsky et al., 2014) (multiple nets) | - | - | 11.7",
        "Clarifai (Russakovsky et al., 2014) (1 net) | - | - | 12.5",
        "Zeiler & Fergus (2013) (6 nets) | 36.0 | 14.7 | 14.8",
        "Zeiler & Fergus (2013) (1 net) | 37.5 | 16.0 | 16.1",
        "OverFeat (Sermanet et al., 2014) (7 nets) | 34.0 | 13.2 | 13.6",
        "OverFeat (Sermanet et al., 2014) (1 net) | 35.7 | 14.2 | -",
        "Krizhevsky et al. (2012) (5 nets) | 38.1 | 16.4 | 16.4",
        "Krizhevsky et al. (2012) (1 net) | 40.7 | 18.2 | -",
    ),
    "8": (
        "net S Q protocol layers objective",
        "D 384 384 centre-crop fc SCR | 36.4",
        "D 384 384 centre-crop fc PCR | 34.3",
        "D 384 384 centre-crop all PCR | **33.1**",
    ),
    "9": (
        "systems protocol objective layers",
        "D/256/256 dense PCR all | 29.5 | -",
        "D/384/384 dense PCR all | 28.2 | 26.7",
        "D/384/352,384 dense PCR all | 27.5 | -",
        "D/256/256 + D/384/352,384 dense PCR all | **26.9** | **25.3**",
    ),
    "10": (
        "method",
        "VGG | **26.9** | **25.3**",
        "GoogLeNet (Szegedy et al., 2014) | - | 26.7",
        "OverFeat (Sermanet et al., 2014) | 30.0 | 29.9",
        "Krizhevsky et al. (2012) | - | 34.2",
    ),
    "11": (
        "method",
        "Zeiler & Fergus (2013) | - | 79.0 | 86.5 +- 0.5 | 74.2 +- 0.3",
        "Chatfield et al. (2014) | 82.4 | 83.2 | 88.4 +- 0.6 | 77.6 +- 0.1",
        "He et al. (2014) | 82.4 | - | **93.4 +- 0.5** | -",
        "Wei et al. (2014) | 81.5 (85.2*) | 81.7 (**90.3***) | - | -",
        "VGG Net-D (16 layers) | 89.3 | 89.0 | 91.8 +- 1.0 | 85.0 +- 0.2",
        "VGG Net-E (19 layers) | 89.3 | 89.0 | 92.3 +- 0.5 | 85.1 +- 0.3",
        "VGG Net-D & Net-E | **89.7** | **89.3** | 92.7 +- 0.5 | **86.2 +- 0.3**",
    ),
    "12": (
        "method",
        "Oquab et al. (2014) | 70.2*",
        "Gkioxari et al. (2014) | 73.6",
        "Hoai (2014) | 76.3",
        "VGG Net-D & Net-E, image-only | **79.2**",
        "VGG Net-D & Net-E, image and bounding box | **84.0**",
    ),
    "text": (
        "systems minus protocol",
        "B-5x5/256/256  centre-crop | - | - | -",
        "B/256/256  centre-crop | - | - | -",
        "B-5x5/256/256 B/256/256 centre-crop | 7 | - | -",
        "E/[256;512]/256,384,512  dense | - | - | 7.3",
    ),
}
NETS_OF_TABLE_1 = ("A", "A-LRN", "B", "C", "D", "E")
STACKS = {
    "block 1": "conv3-64 | conv3-64, **LRN** | conv3-64, **conv3-64** | conv3-64 x2 | conv3-64 x2 | conv3-64 x2",
    "block 2": "conv3-128 | conv3-128 | conv3-128, **conv3-128** | conv3-128 x2 | conv3-128 x2 | conv3-128 x2",
    "block 3": "conv3-256 x2 | conv3-256 x2 | conv3-256 x2 "
    "| conv3-256 x2, **conv1-256** | conv3-256 x2, **conv3-256** | conv3-256 x3, **conv3-256**",
    "block 4": "conv3-512 x2 | conv3-512 x2 | conv3-512 x2 "
    "| conv3-512 x2, **conv1-512** | conv3-512 x2, **conv3-512** | conv3-512 x3, **conv3-512**",
    "block 5": "conv3-512 x2 | conv3-512 x2 | conv3-512 x2 "
    "| conv3-512 x2, **conv1-512** | conv3-512 x2, **conv3-512** | conv3-512 x3, **conv3-512**",
    "classifier": "FC-4096 x2, FC-1000, soft-max | < | < | < | < | <",
}
# Localisation and transfer: what our own rows measure, in the key columns beside the method.
OURS = {
    "10": {"VGG": "D/256/256 + D/384/352,384 dense PCR all"},
    "11": {
        "VGG Net-D (16 layers)": "D/[256;512]",
        "VGG Net-E (19 layers)": "E/[256;512]",
        "VGG Net-D & Net-E": "D/[256;512] + E/[256;512]",
    },
    "12": {
        "VGG Net-D & Net-E, image-only": "D/[256;512] + E/[256;512] image",
        "VGG Net-D & Net-E, image and bounding box": "D/[256;512] + E/[256;512] image and box",
    },
}
PARAMETERS = {"A": "133", "A-LRN": "<", "B": "133", "C": "134", "D": "138", "E": "144"}
LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}


def stores(text):
    """`D_256/dense/224,256` -> D_256_s0/dense/224 and D_256_s0/dense/256."""
    parts = [word.split("/") for word in text.split()]
    return {f"{run}_s0/{protocol}/{q}" for run, protocol, scales in parts for q in scales.split(",")}


def names(runs):
    return [run.name for run in runs]


def paths(evaluations):
    return [evaluation.path for evaluation in evaluations]


def named(number, **keys):
    """The first row of a table with these key columns."""
    return next(row for row in published_table(number).rows if keys.items() <= row.keys.items())


# Runs


def test_the_tables_need_these_eighteen_runs():
    found = names(needed_runs())
    assert len(found) == len(PARENTS) == 18
    assert set(found) == set(PARENTS)


def test_the_classification_tables_need_the_fourteen_that_predict_classes():
    assert set(names(needed_runs(table_numbers("scores")))) == {n for n in PARENTS if "cr_" not in n}


@pytest.mark.parametrize("name", PARENTS)
def test_a_run_starts_from_the_run_of_section_3_1(name):
    parent = Run.parse(name).parent()
    assert (parent and parent.name) == PARENTS[name]


@pytest.mark.parametrize("name", PARENTS)
def test_without_stages_a_run_at_256_starts_from_random_weights_and_the_others_as_before(name):
    parent = Run.parse(name).parent(staged=False)
    random = "_256_s0" in name
    assert (parent and parent.name) == (None if random else PARENTS[name])


@pytest.mark.parametrize("staged", [True, False])
def test_parents_come_before_children(staged):
    found = needed_runs(seeds=(0, 1), staged=staged)
    assert len(set(found)) == len(found)
    for run in found:
        parent = run.parent(staged=staged)
        assert parent is None or found.index(parent) < found.index(run)


def test_seeds_multiply_the_runs():
    found = names(needed_runs(seeds=(0, 1, 7)))
    assert len(found) == 3 * 18
    assert set(found) == {name.replace("_s0", f"_s{seed}") for name in PARENTS for seed in (0, 1, 7)}


def test_a_parent_has_the_seed_of_its_child():
    for run in needed_runs(seeds=(3,)):
        parent = run.parent()
        assert parent is None or parent.seed == 3


def test_a_table_alone_needs_its_own_runs_and_their_ancestors():
    ancestors = {f"{net}_{S}_s0" for net in "DE" for S in ("256", "384", "256-512")}
    assert set(names(needed_runs(("5",)))) == ancestors | {"A_256_s0"}
    assert set(names(needed_runs(("5",), staged=False))) == ancestors


def test_tables_3_to_5_do_not_need_the_jittered_d_of_the_submission():
    assert "D_256-512_fc_s0" not in names(needed_runs(("3", "4", "5")))
    assert "D_256-512_fc_s0" in names(needed_runs(("6",)))


def test_parse_inverts_name():
    seen = set()
    for net, S, layers, seed, objective in itertools.product(NETS, SCALES, ("all", "fc"), (0, 1, 12), OBJECTIVES):
        if layers == "fc" and S == "256" and objective == "classification":
            continue
        run = Run(net, S, layers, seed, objective)
        assert Run.parse(run.name) == run
        seen.add(run.name)
    assert len(seen) == 7 * 3 * (3 * 6 - 1)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "A_256",
        "A_256_s",
        "A_256_s-1",
        "A_256_s0.5",
        "A_256_s0\n",
        " A_256_s0",
        "x/A_256_s0",
        "_256_s0",
        "A_256_S0",
        "A_256_FC_s0",
        "A_256_s00",
    ],
)
def test_a_name_of_another_shape_is_no_run(name):
    with pytest.raises(ValueError, match="no run"):
        Run.parse(name)


@pytest.mark.parametrize(
    "name",
    ["a_256_s0", "F_256_s0", "D_512_s0", "D_[256;512]_s0", "D-fc_384_s0", "D_256-512_s0_fc", "D_256_fc_pcr_s0"]
    + ["D_256_bbox_s0", "D_256_PCR_s0"],
)
def test_a_name_with_unknown_parts_is_no_run(name):
    with pytest.raises(ValueError, match="no run"):
        Run.parse(name)


@pytest.mark.parametrize(
    ("net", "S", "layers", "objective", "wrong"),
    [
        ("F", "256", "all", "PCR", "F"),
        ("A", "[256;512]", "all", "PCR", "[256;512]"),
        ("A", "256", "conv", "PCR", "conv"),
        ("A", "256", "all", "pcr", "pcr"),
    ],
)
def test_a_run_has_a_net_a_scale_layers_and_an_objective_of_the_paper(net, S, layers, objective, wrong):
    with pytest.raises(ValueError, match=re.escape(f"no run with {wrong!r}")):
        Run(net, S, layers, objective=objective)


@pytest.mark.parametrize(("S", "layers", "seed"), [("256", "fc", 0), ("256", "all", -1)])
def test_fc_only_needs_a_trained_net_and_seeds_count_from_0(S, layers, seed):
    with pytest.raises(ValueError, match="no run A_256"):
        Run("A", S, layers, seed)


def test_a_label_is_printed_as_in_the_paper():
    assert [Run.parse(name).label for name in ("A-LRN_256_s0", "D_256-512_s0", "D_256-512_fc_s0")] == [
        "A-LRN/256",
        "D/[256;512]",
        "D-fc/[256;512]",
    ]
    assert [Run.parse(name).label for name in ("D_384_scr_fc_s0", "D_256_pcr_s0")] == ["D-SCR-fc/384", "D-PCR/256"]


def test_a_net_has_an_output_per_class_four_or_four_per_class():
    outputs = {name: Run.parse(name).outputs(1000) for name in ("D_384_s0", "D_384_scr_fc_s0", "D_384_pcr_s0")}
    assert outputs == {"D_384_s0": 1000, "D_384_scr_fc_s0": 4, "D_384_pcr_s0": 4000}


# Evaluations and systems


@pytest.mark.parametrize("number", EVALUATIONS)
def test_a_table_needs_exactly_these_evaluations(number):
    found = paths(table_evaluations(number))
    assert len(set(found)) == len(found)
    assert set(found) == stores(EVALUATIONS[number])


def test_seeds_multiply_the_evaluations():
    found = paths(table_evaluations("6", (0, 1)))
    assert set(found) == {p.replace("_s0", f"_s{seed}") for p in stores(EVALUATIONS["6"]) for seed in (0, 1)}


def test_a_run_is_evaluated_at_the_scales_of_all_tables():
    assert scales_of(Run("B", "256"), "dense") == (224, 256, 288)
    assert scales_of(Run("B", "256"), "centre-crop") == (256,)
    assert scales_of(Run("E", "256-512", seed=5), "multi-crop") == (256, 384, 512)
    assert scales_of(Run("A", "256"), "multi-crop") == ()


def test_the_seven_nets_of_the_submission_weigh_the_same_at_every_scale():
    system = named("6", group="ILSVRC submission").system
    assert set(paths(e for e, _ in system)) == stores(SUBMISSION)
    assert [weight for _, weight in system] == [Fraction(1, 21)] * 21


def test_two_nets_under_two_protocols_at_three_scales_weigh_a_twelfth_each():
    system = named("6", protocol="multi-crop & dense").system
    assert set(paths(e for e, _ in system)) == stores(TWO_NETS)
    assert [weight for _, weight in system] == [Fraction(1, 12)] * 12


@pytest.mark.parametrize("protocol", ["dense", "multi-crop"])
def test_two_nets_under_one_protocol_weigh_a_sixth_each(protocol):
    system = named("6", group="post-submission", protocol=protocol).system
    assert set(paths(e for e, _ in system)) == {path for path in stores(TWO_NETS) if f"/{protocol}/" in path}
    assert [weight for _, weight in system] == [Fraction(1, 6)] * 6


@pytest.mark.parametrize("number", EVALUATIONS)
def test_the_weights_of_a_system_sum_to_one(number):
    systems = [s for row in published_table(number).rows for s in (row.system, row.minus) if s]
    assert systems
    assert all(sum(weight for _, weight in system) == 1 for system in systems)


def test_a_net_with_more_scales_does_not_weigh_more():
    system = parse_system("D/256/256 + E/384/352,384,416", "dense")
    assert [weight for _, weight in system] == [Fraction(1, 2)] + [Fraction(1, 6)] * 3


def test_an_evaluation_that_is_named_twice_weighs_twice():
    system = parse_system("D/256/256 + D/256/256,384", "dense")
    assert {e.Q: weight for e, weight in system} == {256: Fraction(3, 4), 384: Fraction(1, 4)}


def test_labels_of_localised_boxes_come_from_the_best_system_of_table_6():
    assert best_classification() == named("6", protocol="multi-crop & dense").system


def test_table_10_repeats_the_fusion_of_table_9():
    assert named("10", method="VGG").system == published_table("9").rows[-1].system


def test_table_7_repeats_systems_of_tables_5_and_6():
    two, one, seven = (row.system for row in published_table("7").rows[:3])
    assert two == named("6", protocol="multi-crop & dense").system
    assert one == named("5", net="E", protocol="multi-crop & dense").system
    assert seven == named("6", group="ILSVRC submission").system


def test_with_seed_changes_the_seed_only():
    system = named("4", net="E", S="384").system
    changed = with_seed(system, 4)
    assert [e.path for e, _ in changed] == [e.path.replace("_s0", "_s4") for e, _ in system]
    assert with_seed(changed, 0) == system


@pytest.mark.parametrize(
    "text",
    [
        "",
        "//",
        "D",
        "D/256",
        "D/256/",
        "D/256/256,",
        "D/256/x",
        "D/256/256/1",
        "D/256/256 + ",
        "D/256/256+E/256/256",
        "D/256/-5",
        "D/256/0",
        "D/256/ 256",
        "D/256/2_56",
        "D/256]/256",
        "D/256/224,224",
    ],
)
def test_a_malformed_system_is_refused(text):
    with pytest.raises(ValueError, match="is no system"):
        parse_system(text, "dense")


@pytest.mark.parametrize("text", ["d/256/256", "F/256/256", "D/300/256", "D/[256;384]/256", "D-fc-fc/256/256"])
def test_a_system_of_unknown_nets_or_scales_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no system")):
        parse_system(text, "dense")


@pytest.mark.parametrize(
    "protocol", ["", "Dense", "centre crop", "dense &", "dense, multi-crop", "dense & ten-crop", "dense & dense"]
)
def test_an_unknown_protocol_is_refused(protocol):
    with pytest.raises(ValueError, match="protocol"):
        parse_system("D/256/256", protocol)


# Cells


@pytest.mark.parametrize("number", PRINTED)
def test_every_cell_is_as_printed(number):
    columns, *rows = PRINTED[number]
    found = [
        " | ".join([" ".join(row.keys[c] for c in columns.split()), *(cell.text for cell in row.cells.values())])
        for row in published_table(number).rows
    ]
    assert found == rows


@pytest.mark.parametrize("number", PRINTED)
def test_a_cell_has_a_value_exactly_where_a_number_is_printed(number):
    for row in published_table(number).rows:
        for cell in row.cells.values():
            first = re.match(r"[\d.]+", cell.printed)
            assert cell.value == (float(first[0]) if first else None)


@pytest.mark.parametrize("row", STACKS)
def test_the_stacks_of_table_1_are_as_printed(row):
    cells = named("1", row=row).cells
    assert " | ".join(cells[net].text for net in NETS_OF_TABLE_1) == STACKS[row]


def test_table_1_has_its_rows_and_nets_in_order():
    rows = published_table("1").rows
    assert [row.keys["row"] for row in rows] == ["weight layers", *STACKS]
    assert tuple(rows[0].cells) == NETS_OF_TABLE_1


def test_table_2_is_as_printed():
    (row,) = published_table("2").rows
    assert {net: row.cells[net].text for net in PARAMETERS} == PARAMETERS


def convolutions(net):
    """(kernel, outputs) of every convolution in a column of Table 1."""
    stacks = ", ".join(row.cells[net].text for row in published_table("1").rows)
    found = re.findall(r"conv(\d)-(\d+)(?: x(\d))?", stacks)
    return [(int(k), int(outputs)) for k, outputs, times in found for _ in range(int(times or 1))]


@pytest.mark.parametrize("net", LAYERS)
def test_the_stacks_of_table_1_have_as_many_weight_layers_as_printed(net):
    assert named("1", row="weight layers").cells[net].text == str(LAYERS[net])
    assert len(convolutions(net)) + 3 == LAYERS[net]


@pytest.mark.parametrize("net", [net for net in LAYERS if net != "A-LRN"])
def test_the_stacks_of_table_1_have_as_many_parameters_as_table_2_prints(net):
    widths = [3] + [outputs for _, outputs in convolutions(net)]
    total = sum((k * k * c + 1) * n for (k, n), c in zip(convolutions(net), widths, strict=False))
    total += (512 * 49 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert f"{total / 1e6:.0f}" == PARAMETERS[net]


def test_rows_of_other_methods_have_no_system():
    rows = published_table("7").rows
    assert [row.system is None for row in rows] == [False] * 3 + [True] * 12


@pytest.mark.parametrize("number", OURS)
def test_only_our_own_rows_say_what_they_measure(number):
    told = {
        row.keys["method"]: [text for text in list(row.keys.values())[1:] if text]
        for row in published_table(number).rows
    }
    assert {method: " ".join(texts) for method, texts in told.items() if texts} == OURS[number]


@pytest.mark.parametrize("number", ["3", "4", "5", "6", "8", "9", "text"])
def test_rows_of_the_paper_itself_have_a_system(number):
    assert all(row.system for row in published_table(number).rows)


def test_the_text_subtracts_b_from_its_shallow_twin():
    rows = published_table("text").rows
    assert [row.minus is not None for row in rows] == [False, False, True, False]
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
    assert Published.parse(text) == Published(text, value, spread, bold, mark, spanned)


def test_the_marks_for_bold_are_not_printed():
    assert Published.parse("**93.4 +- 0.5**").printed == "93.4 +- 0.5"
    assert Published.parse("81.7 (**90.3***)").printed == "81.7 (90.3*)"


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


# The paper is data: a line added to a CSV is all that it takes


def forget():
    for cached in (published_table, tables._described, tables._scales_by_run):
        cached.cache_clear()


@pytest.fixture
def append(tmp_path, monkeypatch):
    """A function that adds a line to a copy of a CSV, which the catalogue then reads."""
    folder = shutil.copytree(PUBLISHED, tmp_path / "published")
    monkeypatch.setattr("vggrepro.paper.tables.PUBLISHED", folder)

    def add(name, line):
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        forget()

    forget()
    yield add
    forget()


def test_a_line_more_adds_its_run_its_ancestors_and_its_evaluation(append):
    append("table03.csv", "B,[256;512],384,dense,-,-")
    assert set(names(needed_runs())) - set(PARENTS) == {"B_384_s0", "B_256-512_s0"}
    assert set(paths(table_evaluations("3"))) - stores(EVALUATIONS["3"]) == {"B_256-512_s0/dense/384"}


def test_a_line_more_adds_a_scale_to_a_known_run(append):
    append("table04.csv", 'A,256,"224,320",dense,-,-')
    assert set(names(needed_runs())) == set(PARENTS)
    assert scales_of(Run("A", "256"), "dense") == (224, 256, 320)


def test_a_line_more_adds_an_ensemble(append):
    append("table06.csv", 'ours,"C/[256;512]/256,384 + E-fc/[256;512]/384",multi-crop,-,-,-')
    added = set(paths(table_evaluations("6"))) - stores(EVALUATIONS["6"])
    assert added == stores("C_256-512/multi-crop/256,384 E_256-512_fc/multi-crop/384")
    assert set(names(needed_runs())) - set(PARENTS) == {"E_256-512_fc_s0"}


def test_a_difference_needs_both_sides(append):
    append("text.csv", "C against D,4.1,C/256/256,D/256/256,centre-crop,-,-,-")
    added = set(paths(table_evaluations("text"))) - stores(EVALUATIONS["text"])
    assert added == stores("C_256/centre-crop/256 D_256/centre-crop/256")


def test_a_line_more_adds_a_net_that_predicts_boxes(append):
    append("table09.csv", "E/384/384,dense,SCR,fc,-,-")
    assert set(names(needed_runs())) - set(PARENTS) == {"E_384_scr_fc_s0"}
    assert set(paths(table_evaluations("9"))) - stores(EVALUATIONS["9"]) == {"E_384_scr_fc_s0/dense/384"}


def test_a_line_of_another_method_adds_a_row_only(append):
    append("table07.csv", "Somebody (2015),,,20.1,-,4.9")
    assert published_table("7").rows[-1].system is None
    assert set(paths(table_evaluations("7"))) == stores(EVALUATIONS["7"])


@pytest.mark.parametrize(
    "line",
    ["F,256,256,dense,-,-", "A,256,x,dense,-,-", "A,256,256,denes,-,-", "A,256,256,dense,,-", "A,256,256,dense,?,-"]
    + ["A,256,256,dense,-", "A,256,256,dense,-,-,9", "A,256,256,,-,-"],
)
def test_a_malformed_line_is_named_in_the_error(append, line):
    append("table03.csv", line)
    with pytest.raises(ValueError, match=r"table03\.csv, line 14"):
        published_table("3")


def test_a_missing_column_is_named_in_the_error(append, tmp_path):
    (tmp_path / "published" / "table03.csv").write_text("net,S,Q,protocol,top1_val\nA,256,256,dense,29.6\n")
    with pytest.raises(ValueError, match=r"table03\.csv, line 2: .*top5_val"):
        published_table("3")
