"""Systems are parsed from the text of a table, and their weights are those of the paper."""

import re
from fractions import Fraction

import pytest

from tests.paper.printed import EVALUATIONS, SUBMISSION, TWO_NETS, named, paths, stores
from vggrepro.paper.systems import parse_system, with_seed
from vggrepro.paper.tables import (
    published_table,
)


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


def test_an_evaluation_named_twice_has_twice_the_weight():
    system = parse_system("D/256/256 + D/256/256,384", "dense")
    assert {e.Q: weight for e, weight in system} == {256: Fraction(3, 4), 384: Fraction(1, 4)}


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


@pytest.mark.parametrize(
    "text",
    ["d/256/256", "F/256/256", "D/200/256", "D/[384;256]/256", "D/[256;256]/256", "D/256-512/256", "D-fc-fc/256/256"],
)
def test_a_system_of_unknown_nets_or_scales_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no system")):
        parse_system(text, "dense")


@pytest.mark.parametrize(
    "protocol", ["", "Dense", "centre crop", "dense &", "dense, multi-crop", "dense & ten-crop", "dense & dense"]
)
def test_an_unknown_protocol_is_refused(protocol):
    with pytest.raises(ValueError, match="protocol"):
        parse_system("D/256/256", protocol)
