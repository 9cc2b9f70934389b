"""Names, labels and parents of runs are those of the paper."""

import itertools
import random
import re

import pytest

from tests.paper.printed import (
    PARENTS,
)
from vggrepro.paper.nets import NETS
from vggrepro.paper.runs import OBJECTIVES, SMALLEST_SCALE, TRAINING_STAGES, Run


@pytest.mark.parametrize("name", PARENTS)
def test_a_run_is_initialised_from_the_run_of_section_3_1(name):
    parent = Run.parse(name).parent()
    assert (parent and parent.name) == PARENTS[name]


@pytest.mark.parametrize("name", PARENTS)
def test_unstaged_runs_at_256_have_no_parent_and_the_others_keep_theirs(name):
    parent = Run.parse(name).parent(staged=False)
    random = "_256_s0" in name
    assert (parent and parent.name) == (None if random else PARENTS[name])


def test_parse_inverts_name():
    seen = set()
    scales = ("256", "384", "256-512")
    for net, S, layers, seed, objective in itertools.product(NETS, scales, ("all", "fc"), (0, 1, 12), OBJECTIVES):
        if layers == "fc" and S == "256" and objective == "classification":
            continue
        run = Run(net, S, layers, seed, objective)
        assert Run.parse(run.name) == run
        seen.add(run.name)
    assert len(seen) == 7 * 3 * (3 * 6 - 1)


def scales_at_random(count=200):
    """Training scales: single ones and ranges, the smallest of each kind among them."""
    rng, least = random.Random(0), SMALLEST_SCALE
    lows = [rng.randint(least, 1000) for _ in range(count)]
    return [str(least), f"{least}-{least + 1}", *map(str, lows), *(f"{S}-{S + rng.randint(1, 500)}" for S in lows)]


def runs_at_random_scales():
    return [
        Run("E", S, layers, 3, objective)
        for S, layers, objective in itertools.product(scales_at_random(), ("all", "fc"), OBJECTIVES)
        if S != "256"
    ]


def test_a_run_at_any_scale_is_read_back_from_its_name_and_from_its_label():
    for run in runs_at_random_scales():
        assert Run.parse(run.name) == run
        assert Run.parse_label(run.label).name == run.name.replace("_s3", "_s0")


def test_at_any_scale_the_chain_of_parents_goes_through_the_papers_scales_to_a():
    """A single scale follows S = 256 of its net and a range S = 384, whatever they are."""
    for run in runs_at_random_scales():
        chain = [run]
        while parent := chain[-1].parent():
            chain.append(parent)
        own = [each.S for each in chain[1:] if each.net == run.net]
        assert own == [run.S] * run.localises + ["384"] * ("-" in run.S) + ["256"]
        assert chain[-1].name == "A_256_s3"


def test_a_stage_of_training_has_the_stage_before_it_as_parent():
    stages = list(TRAINING_STAGES)
    for run in runs_at_random_scales():
        if not run.localises and (parent := run.parent()):
            assert stages.index(parent.stage) == stages.index(run.stage) - 1


def test_the_name_of_an_added_net_may_have_letters_digits_and_dashes(monkeypatch):
    monkeypatch.setattr("vggrepro.paper.runs.NETS", (*NETS, "Wide-7b"))
    for run in (Run("Wide-7b", "384", "fc"), Run("Wide-7b", "256-512", objective="PCR", variant="x-2")):
        assert Run.parse(run.name) == run
        assert Run.parse_label(run.label) == run


@pytest.mark.parametrize(
    "S",
    [
        "",
        "0",
        "223",
        "0256",
        "256-",
        "-512",
        "512-256",
        "256-256",
        "200-512",
        "256-512-640",
        "2.5e2",
        "256;512",
        "256\n",
    ]
    + ["256-512\n", " 256", "\u0662\u0665\u0666"],
)
def test_a_scale_below_the_nets_input_or_a_range_without_extent_is_refused(S):
    with pytest.raises(ValueError, match=re.escape(f"no run has {S!r}: expected a training scale S of at least 224")):
        Run("D", S)


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
    [
        "a_256_s0",
        "F_256_s0",
        "D_200_s0",
        "D_512-256_s0",
        "D_256-_s0",
        "D_0256_s0",
        "D_[256;512]_s0",
        "D-fc_384_s0",
        "D_256-512_s0_fc",
        "D_256_fc_pcr_s0",
    ]
    + ["D_256_pcr_scr_s0", "D_256_PCR_s0"],
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
    with pytest.raises(ValueError, match=re.escape(f"no run has {wrong!r}")):
        Run(net, S, layers, objective=objective)


@pytest.mark.parametrize(("S", "layers", "seed"), [("256", "fc", 0), ("256", "all", -1)])
def test_fc_only_needs_a_trained_net_and_seeds_count_from_0(S, layers, seed):
    with pytest.raises(ValueError, match="no run is called A_256"):
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
