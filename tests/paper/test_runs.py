"""Names, labels and parents of runs are those of the paper."""

import itertools
import re

import pytest

from tests.paper.printed import (
    PARENTS,
)
from vggrepro.paper.nets import NETS
from vggrepro.paper.runs import OBJECTIVES, SCALES, Run


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
